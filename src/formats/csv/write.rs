//! Writes rows. The only code that quotes cells and guards them against formula injection.

use crate::formats::value::{Value, pascal};

/// Removes the guard from a cell, if it has one.
fn unguarded(cell: &str) -> &str {
    let guarded = cell.strip_prefix('\'').filter(|rest| needs_guard(rest));
    guarded.unwrap_or(cell)
}

/// Works like [`unguarded`], for a cell that is kept.
pub fn unguard(cell: String) -> String {
    match unguarded(&cell) {
        rest if rest.len() < cell.len() => rest.to_owned(),
        _ => cell,
    }
}

/// Whether a string needs the guard: it begins with `'`, or like a formula after characters that a
/// spreadsheet may drop.
fn needs_guard(text: &str) -> bool {
    // The full-width forms are formulas in spreadsheets set to Chinese, Japanese or Korean.
    const STARTS: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];
    text.starts_with(['\'', '\t', '\r']) || text.trim_start_matches(is_unseen).starts_with(STARTS)
}

/// Whether a character takes no ink: white space, and characters that are not shown.
fn is_unseen(character: char) -> bool {
    character.is_whitespace()
        || matches!(
            character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
                | '\u{115f}' | '\u{1160}' | '\u{2800}' | '\u{3164}' | '\u{ffa0}' | '\u{e0020}'..='\u{e007f}'
                | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        )
}

/// Writes a header in .NET spelling and one row.
pub(in crate::formats) fn write(members: &[(&'static str, Value<'_>)]) -> String {
    header(members.iter().map(|(name, _)| *name)) + &write_row(members)
}

/// Writes a header in .NET spelling.
pub fn header(names: impl IntoIterator<Item = &'static str>) -> String {
    let names: Vec<_> = names.into_iter().map(pascal).collect();
    names.join(",") + "\r\n"
}

/// Writes one row, with the members that the header names.
pub(in crate::formats) fn write_row(members: &[(&'static str, Value<'_>)]) -> String {
    let mut out = String::new();
    for (index, (_, value)) in members.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        match value {
            Value::Null => {}
            Value::Text(text) if needs_guard(text) => {
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
        let row = |text| write(&[("id", Value::text(Some(text)))]);
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

    #[test]
    fn case_26_a_cell_that_looks_like_a_formula_is_guarded_and_only_that_guard_is_removed() {
        for text in [
            "＝1+1",
            "＋1",
            "－1",
            "＠a",
            "\u{200b}=1",
            " \u{feff}\u{2060}=1",
            "\u{a0}@a",
            "\t=1",
            "'",
            "''",
        ] {
            assert!(needs_guard(text), "{text}");
            assert_eq!(unguarded(&format!("'{text}")), text);
        }
        for text in ["", " ", "a=1", "１", "\u{200b}a", "．1"] {
            assert!(!needs_guard(text), "{text}");
            assert_eq!(unguarded(text), text);
        }
        // A quote that guards nothing is a part of the value.
        assert_eq!(unguarded("'a"), "'a");
    }
}
