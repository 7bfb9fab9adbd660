//! CSV: a header row, then one report or record a row.

use ::csv::{ErrorKind, ReaderBuilder};

use super::record::pascal;
use super::value::Value;
use super::{Document, Items, ReadError};
use crate::billable::{Field, Given, RawReport};

/// Reads reports: header names bind in any letter case, white space around them aside, and of
/// columns with the same name the last one counts. An empty cell is not given. A row may have
/// fewer cells than the header, never more.
///
/// # Errors
/// A row is longer than the header, or there are too many rows.
pub(super) fn read(text: &str) -> Result<Document, ReadError> {
    let mut reader = ReaderBuilder::new()
        .flexible(true)
        .from_reader(text.as_bytes());
    let malformed = |error: ::csv::Error| {
        let line = error.position().map_or(0, ::csv::Position::line);
        match error.kind() {
            ErrorKind::Utf8 { .. } => malformed(line, "splits a character"),
            _ => malformed(line, "cannot be read"),
        }
    };
    let header = reader.headers().map_err(malformed)?;
    let columns: Vec<_> = header
        .iter()
        .map(|name| Field::from_name(name.trim()))
        .collect();
    let mut items = Items::default();
    for row in reader.records() {
        let row = row.map_err(malformed)?;
        if row.len() > columns.len() {
            let line = row.position().map_or(0, ::csv::Position::line);
            return Err(self::malformed(line, "has more cells than the header"));
        }
        let mut report = RawReport::default();
        for (cell, column) in row.iter().zip(&columns) {
            if let Some(field) = column {
                let given = (!cell.is_empty()).then(|| Given::Text(cell.to_owned()));
                report.set(*field, given);
            }
        }
        items.push(report)?;
    }
    // A header alone is a report without fields, as an empty body is.
    Ok(match items.into_reports() {
        reports if reports.len() > 1 => Document::Many(reports),
        mut reports => Document::one(reports.pop().unwrap_or_default()),
    })
}

fn malformed(line: u64, what: &str) -> ReadError {
    ReadError::Malformed(format!("the CSV {what} (line {line})"))
}

/// Writes a header in .NET's spelling and one row.
pub(super) fn write(members: &[(&'static str, Value<'_>)]) -> String {
    let header: Vec<_> = members.iter().map(|(name, _)| pascal(name)).collect();
    format!("{}\r\n{}", header.join(","), write_row(members))
}

/// Writes one more row with the same members.
pub(super) fn write_row(members: &[(&'static str, Value<'_>)]) -> String {
    let mut out = String::new();
    for (place, (_, value)) in members.iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        match value {
            Value::Null => {}
            Value::Text(text) => write_cell(text, &mut out),
            value => write_cell(&value.to_jsv(), &mut out),
        }
    }
    out.push_str("\r\n");
    out
}

/// Quotes a cell that has to be, doubling its quotes; a cell that begins like JSV is quoted too.
fn write_cell(text: &str, out: &mut String) {
    if text.contains(['"', ',', '\r', '\n']) || text.starts_with(['[', '{']) {
        out.extend(["\"", &text.replace('"', "\"\""), "\""]);
    } else {
        out.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sessions(text: &str) -> Result<Vec<Option<String>>, ReadError> {
        let reports = match read(text)? {
            Document::One { report, .. } => vec![report],
            Document::Many(reports) => reports,
        };
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
    fn a_row_that_is_longer_than_the_header_is_refused() {
        assert!(sessions("sessionId\nS1,x\n").is_err());
        assert!(sessions("sessionId\nS1\nS2,x\n").is_err());
    }

    #[test]
    fn a_cell_is_quoted_when_it_has_to_be() {
        let row = |text| write(&[("id", Value::text(Some(text)))]);
        assert_eq!(row("a b'c"), "Id\r\na b'c\r\n");
        for (text, cell) in [
            ("a,b", "\"a,b\""),
            ("a\"", "\"a\"\"\""),
            ("[x", "\"[x\""),
            ("{", "\"{\""),
            ("a\rb", "\"a\rb\""),
        ] {
            assert_eq!(row(text), format!("Id\r\n{cell}\r\n"));
        }
    }
}
