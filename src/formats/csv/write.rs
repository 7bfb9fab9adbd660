//! Writes rows. The only code that quotes cells and guards them against formula injection.

use crate::formats::value::{Value, pascal};

/// How strings are written as cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::formats) enum Cells {
    /// A string that a spreadsheet would run as a formula gets a `'` prefix.
    Guarded,
    /// Unchanged, as in the reports that clients send.
    AsTheyAre,
}

/// Removes the guard from a cell.
pub fn unguarded(cell: &str) -> &str {
    cell.strip_prefix('\'').unwrap_or(cell)
}

/// Whether a string needs the guard: it begins like a formula, or with `'` itself.
fn needs_guard(text: &str) -> bool {
    text.starts_with(['=', '+', '-', '@', '\'', '\t', '\r'])
}

/// Writes a header in .NET spelling and one row.
pub(in crate::formats) fn write(members: &[(&'static str, Value<'_>)], cells: Cells) -> String {
    header(members.iter().map(|(name, _)| *name)) + &write_row(members, cells)
}

/// Writes a header in .NET spelling.
pub fn header(names: impl IntoIterator<Item = &'static str>) -> String {
    let names: Vec<_> = names.into_iter().map(pascal).collect();
    names.join(",") + "\r\n"
}

/// Writes one row, with the members that the header names.
pub(in crate::formats) fn write_row(members: &[(&'static str, Value<'_>)], cells: Cells) -> String {
    let mut out = String::new();
    for (index, (_, value)) in members.iter().enumerate() {
        if index > 0 {
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

/// Writes a cell. A cell is quoted, and its quotes are doubled, if it has a special character or
/// begins like JSV.
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
