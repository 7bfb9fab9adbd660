//! CSV (RFC 4180): a header row, then one report or record a row.
//!
//! The reader is ours because it has to be strict: a quote that is never closed, or something
//! behind a closing one, makes a text of what was meant to be several cells, and libraries take
//! that as it comes.

use super::ReadError;
use super::document::{Document, Items};
use super::record::pascal;
use super::value::Value;
use crate::billable::{Field, Given, RawReport};

/// Columns of a header.
const MAX_COLUMNS: usize = 1000;

/// Reads reports: header names bind in any letter case, white space around them aside. An empty
/// cell is not given. A row may have fewer cells than the header, never more. Rows end with CRLF,
/// LF or CR; an empty line is a row of one empty cell, except at the end.
///
/// # Errors
/// Quotes are misplaced, the header names a field twice or has too many columns, a row is longer
/// than the header, or there are too many rows.
pub(super) fn read(text: &str) -> Result<Document, ReadError> {
    let mut rows = Rows {
        rest: Some(text.trim_end_matches(['\r', '\n'])),
        row: 0,
    };
    let mut columns = Vec::new();
    for name in rows.next(MAX_COLUMNS)?.unwrap_or_default() {
        let column = Field::from_name(name.trim());
        if column.is_some() && columns.contains(&column) {
            return Err(rows.malformed("names a field twice"));
        }
        columns.push(column);
    }
    let mut items = Items::default();
    while let Some(cells) = rows.next(columns.len())? {
        let mut report = RawReport::default();
        for (cell, column) in cells.into_iter().zip(&columns) {
            if let Some(field) = column {
                report.set(*field, (!cell.is_empty()).then_some(Given::Text(cell)));
            }
        }
        items.push(report)?;
    }
    Ok(items.into_rows())
}

/// What is left of a text, row by row.
struct Rows<'a> {
    /// `None` behind the last row.
    rest: Option<&'a str>,
    /// The row that was read last, counted from 1, which is the header.
    row: usize,
}

impl Rows<'_> {
    /// The cells of the next row, `most` at the most.
    fn next(&mut self, most: usize) -> Result<Option<Vec<String>>, ReadError> {
        let Some(rest) = self.rest else {
            return Ok(None);
        };
        self.row += 1;
        let (cells, rest) = next_row(rest, most).map_err(|what| self.malformed(what))?;
        self.rest = rest;
        Ok(Some(cells))
    }

    fn malformed(&self, what: &str) -> ReadError {
        ReadError::Malformed(format!("the CSV {what} (row {})", self.row))
    }
}

/// The cells of one row, `most` at the most, which has no line end but inside of quotes.
///
/// # Errors
/// What is wrong with it, behind `the row`.
pub fn cells_of(row: &str, most: usize) -> Result<Vec<String>, &'static str> {
    match next_row(row, most.min(MAX_COLUMNS))? {
        (cells, None) => Ok(cells),
        (_, Some(_)) => Err("is several rows"),
    }
}

/// The cells of a row, and what is behind its end; `None` where the text ends.
fn next_row(mut rest: &str, most: usize) -> Result<(Vec<String>, Option<&str>), &'static str> {
    let mut cells = Vec::new();
    loop {
        if cells.len() == most {
            return Err("has too many cells");
        }
        let cell;
        (cell, rest) = match rest.strip_prefix('"') {
            Some(quoted) => unquoted(quoted).ok_or("ends inside of quotes")?,
            None => {
                let end = rest.find([',', '\r', '\n']).unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        cells.push(cell);
        rest = match rest.as_bytes() {
            [b',', ..] => &rest[1..],
            [] => return Ok((cells, None)),
            [b'\r', b'\n', ..] => return Ok((cells, Some(&rest[2..]))),
            [b'\r' | b'\n', ..] => return Ok((cells, Some(&rest[1..]))),
            _ => return Err("has something behind a closing quote"),
        };
    }
}

/// A quoted cell behind its first quote, and what comes behind its last one.
fn unquoted(mut rest: &str) -> Option<(String, &str)> {
    let mut cell = String::new();
    loop {
        let (text, behind) = rest.split_once('"')?;
        cell.push_str(text);
        match behind.strip_prefix('"') {
            Some(behind) => {
                cell.push('"');
                rest = behind;
            }
            None => return Some((cell, behind)),
        }
    }
}

/// How texts become cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cells {
    /// A text that a spreadsheet would take for a formula gets one `'` in front.
    Guarded,
    /// As they are, as reports of clients have them.
    AsTheyAre,
}

/// Undoes what guarding does to a cell.
pub fn unguarded(cell: &str) -> &str {
    cell.strip_prefix('\'').unwrap_or(cell)
}

/// Whether a text gets a guard: what spreadsheets run, and the guard itself.
fn needs_guard(text: &str) -> bool {
    text.starts_with(['=', '+', '-', '@', '\'', '\t', '\r'])
}

/// Writes a header in .NET's spelling and one row.
pub(super) fn write(members: &[(&'static str, Value<'_>)], cells: Cells) -> String {
    header(members.iter().map(|(name, _)| *name)) + &write_row(members, cells)
}

/// Writes a header in .NET's spelling.
pub fn header(names: impl IntoIterator<Item = &'static str>) -> String {
    let names: Vec<_> = names.into_iter().map(pascal).collect();
    names.join(",") + "\r\n"
}

/// Writes one more row with the same members.
pub(super) fn write_row(members: &[(&'static str, Value<'_>)], cells: Cells) -> String {
    let mut out = String::new();
    for (place, (_, value)) in members.iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        match value {
            Value::Null => {}
            Value::Text(text) if cells == Cells::Guarded && needs_guard(text) => {
                write_cell(&format!("'{text}"), &mut out);
            }
            Value::Text(text) => write_cell(text, &mut out),
            value => write_cell(&value.to_jsv(), &mut out),
        }
    }
    out.push_str("\r\n");
    out
}

/// Quotes a cell that has to be, doubling its quotes; a cell that begins like JSV is quoted too.
fn write_cell(text: &str, out: &mut String) {
    let is_special = |byte| matches!(byte, b'"' | b',' | b'\r' | b'\n');
    if text.bytes().any(is_special) || text.starts_with(['[', '{']) {
        out.extend(["\"", &text.replace('"', "\"\""), "\""]);
    } else {
        out.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sessions(text: &str) -> Result<Vec<Option<String>>, ReadError> {
        let reports = read(text)?.into_reports();
        let session = |report: &RawReport| match report.get(Field::SessionId) {
            Some(Given::Text(text)) => Some(text.clone()),
            Some(Given::Structure) | None => None,
        };
        Ok(reports.iter().map(session).collect())
    }

    #[test]
    fn a_row_is_a_report_and_quotes_are_undone() {
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
    fn nothing_is_taken_for_what_it_does_not_say() {
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
        // A quote elsewhere in a cell is a part of it; an empty line is a row.
        assert_eq!(
            sessions("sessionId\r\nS\"1\r\n\r\nS2\r\n\r\n"),
            Ok(vec![Some("S\"1".to_owned()), None, Some("S2".to_owned())])
        );
        assert!(!read("sessionId\nS1").expect("CSV").is_batch());
        assert!(read("sessionId\nS1\nS2").expect("CSV").is_batch());
    }

    #[test]
    fn a_cell_is_quoted_when_it_has_to_be() {
        let row = |text| write(&[("id", Value::text(Some(text)))], Cells::Guarded);
        assert_eq!(row("a b'c"), "Id\r\na b'c\r\n");
        for (text, cell) in [
            ("a,b", "\"a,b\""),
            ("a\"", "\"a\"\"\""),
            ("[x", "\"[x\""),
            ("{", "\"{\""),
            ("a\rb", "\"a\rb\""),
            ("=1+1", "'=1+1"),
            ("+39,06", "\"'+39,06\""),
            ("-", "'-"),
            ("@a", "'@a"),
            ("'a", "''a"),
        ] {
            assert_eq!(row(text), format!("Id\r\n{cell}\r\n"));
        }
    }
}
