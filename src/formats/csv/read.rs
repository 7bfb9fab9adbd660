//! Parses CSV into reports.

use super::{MAX_COLUMNS, Splitter, unguard};
use crate::billable::{Field, RawReport, RawValue};
use crate::formats::ReadError;
use crate::formats::document::{Document, Item, Items, Unread};

/// Parses reports. Header names are case-insensitive; white space around them is ignored.
///
/// An empty cell counts as not given. A row may have fewer cells than the header, but not more.
/// Rows end with CRLF, LF or CR. Empty lines are skipped. The `'` before what a spreadsheet would run
/// is taken off, because our own CSV has it.
///
/// # Errors
/// Quotes are misplaced, the header names a field twice or has too many columns, a row has more
/// cells than the header, or there are too many rows.
pub(in crate::formats) fn read(text: &str) -> Result<Document, ReadError> {
    let mut rows = RowReader::new(text);
    let (mut columns, mut unread) = (Vec::new(), Unread::default());
    for name in rows.next()?.unwrap_or_default() {
        let column = Field::from_name(name.trim());
        if column.is_some() && columns.contains(&column) {
            return Err(rows.malformed("header names a field twice"));
        }
        if column.is_none() {
            unread.note(&name);
        }
        columns.push(column);
    }
    rows.limit(columns.len());
    let mut items = Items::default();
    while let Some(cells) = rows.next()? {
        let mut report = RawReport::default();
        for (cell, column) in cells.into_iter().zip(&columns) {
            if let Some(field) = column {
                let cell = unguard(cell);
                report.set(*field, (!cell.is_empty()).then_some(RawValue::Text(cell)));
            }
        }
        items.push(Item {
            report,
            unread: std::mem::take(&mut unread),
        })?;
    }
    Ok(items.into_rows(unread))
}

/// Reads the columns of these names, which the header may have in any letter case and order. A cell
/// that is empty or missing is not given.
///
/// # Errors
/// As for reports; there are more than `most` rows, or the first column is not there.
pub(in crate::formats) fn columns<const N: usize>(
    text: &str,
    names: [&'static str; N],
    most: usize,
) -> Result<Vec<[Option<String>; N]>, ReadError> {
    let mut rows = RowReader::new(text);
    let header = rows.next()?.unwrap_or_default();
    let mut columns = [None; N];
    for (column, name) in columns.iter_mut().zip(names) {
        let is_it = |cell: &&String| cell.trim().eq_ignore_ascii_case(name);
        if header.iter().filter(is_it).count() > 1 {
            return Err(rows.malformed(&format!("header names {name} twice")));
        }
        *column = header.iter().position(|cell| is_it(&cell));
    }
    if columns[0].is_none() {
        return Err(rows.malformed(&format!("header has no column {}", names[0])));
    }
    rows.limit(header.len());
    let mut found = Vec::new();
    while let Some(cells) = rows.next()? {
        if found.len() == most {
            return Err(ReadError::TooManyItems);
        }
        let cell = |column: Option<usize>| Some(unguard(cells.get(column?)?.clone()));
        found.push(columns.map(|column| cell(column).filter(|cell| !cell.trim().is_empty())));
    }
    Ok(found)
}

/// Reads the rest of a text row by row.
pub(crate) struct RowReader<'a> {
    rest: &'a [u8],
    splitter: Splitter,
    /// The number of the row that was read last. The header is row 1.
    row: usize,
    is_done: bool,
}

impl<'a> RowReader<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self {
            rest: text.trim_end_matches(['\r', '\n']).as_bytes(),
            splitter: Splitter::new(MAX_COLUMNS),
            row: 0,
            is_done: false,
        }
    }

    /// Sets the maximum number of cells for the following rows.
    pub(crate) fn limit(&mut self, most: usize) {
        self.splitter.limit(most);
    }

    /// Returns the cells of the next row, or `None` at the end. Empty lines are skipped.
    ///
    /// # Errors
    /// Quotes are misplaced, or the row has too many cells.
    pub(crate) fn next(&mut self) -> Result<Option<Vec<String>>, ReadError> {
        if self.is_done {
            return Ok(None);
        }
        loop {
            self.row += 1;
            let (taken, has_ended) = self.splitter.push(self.rest);
            let (text, rest) = self.rest.split_at(taken);
            self.rest = rest;
            // Trailing line ends were trimmed, so only the last row ends without one.
            self.is_done = !has_ended;
            let cells = self.splitter.take().map_err(|what| self.malformed(what))?;
            let is_blank = text.iter().all(|byte| matches!(byte, b'\r' | b'\n'));
            if self.is_done || !is_blank {
                return Ok(Some(cells));
            }
        }
    }

    /// An error in the row that was read last.
    pub(crate) fn malformed(&self, what: &str) -> ReadError {
        ReadError::Malformed(format!("the CSV {what} (row {})", self.row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::billable::RawValue;

    fn sessions(text: &str) -> Result<Vec<Option<String>>, ReadError> {
        let reports = read(text)?.into_reports();
        let session = |report: &RawReport| match report.get(Field::SessionId) {
            Some(RawValue::Text(text)) => Some(text.clone()),
            _ => None,
        };
        Ok(reports.iter().map(session).collect())
    }

    #[test]
    fn a_row_is_a_report_and_quotes_are_unescaped() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            sessions("x, SESSIONID \r\n1,\"a,\"\"b\"\"\n\"\r\n"),
            Ok(vec![some("a,\"b\"\n")])
        );
        assert_eq!(
            sessions("sessionId,x\nS1\n,2\n S2 ,3"),
            Ok(vec![some("S1"), None, some(" S2 ")])
        );
        assert_eq!(sessions("sessionId\n"), Ok(vec![None]));
        assert_eq!(sessions("a,b\n1,2\n"), Ok(vec![None]));
    }

    #[test]
    fn case_29_empty_lines_are_skipped_and_empty_cells_are_rows() {
        let some = |text: &str| Some(text.to_owned());
        for end in ["\n", "\r\n", "\r"] {
            let text = "\nsessionId\n\nS1\n\n\n\"\"\n\nS2\n\n".replace('\n', end);
            assert_eq!(sessions(&text), Ok(vec![some("S1"), None, some("S2")]));
        }
        let Err(error) = read("sessionId\n\n\nS1,x\n") else {
            panic!("a row with too many cells");
        };
        assert!(error.to_string().contains("(row 4)"), "{error}");
    }

    #[test]
    fn malformed_csv_is_refused() {
        let wide = format!("{}\n", ",".repeat(2000));
        for text in [
            "sessionId\nS1,x\n",
            "sessionId\nS1\nS2,x\n",
            "sessionId,SessionID\nS1,\n",
            "sessionId\n\"S1\"x\n",
            "sessionId\n\"S1",
            "sessionId\n\"S1\"\"\n",
            &wide,
        ] {
            assert!(sessions(text).is_err(), "{text:.40}");
        }
        // A quote inside an unquoted cell is literal.
        assert_eq!(
            sessions("sessionId\r\nS\"1\r\n"),
            Ok(vec![Some("S\"1".to_owned())])
        );
        assert!(!read("sessionId\nS1").expect("CSV").is_batch());
        assert!(read("sessionId\nS1\nS2").expect("CSV").is_batch());
    }
}
