//! JSV, ServiceStack's text format: JSON without quotes, except where a value needs CSV quoting.
//!
//! ```text
//! {AccountId:acc,CallSid:"a ""b"", c"}
//! ```
//!
//! The parser is more tolerant than the format, for JSV that is written by hand: spaces after a
//! colon and line ends around members are white space, not part of an unquoted value, and an
//! unquoted value may contain colons.

use super::ReadError;
use super::document::{Document, Item, Items};
use crate::billable::{Field, RawValue};

/// The maximum nesting depth of a member's value.
const MAX_DEPTH: usize = 64;

/// Characters that require a string to be quoted.
const SPECIAL: [char; 9] = ['"', ':', ',', '{', '}', '[', ']', '\r', '\n'];

/// Parses an object as one report, or a list of objects as a batch.
///
/// Names are case-insensitive and may be quoted. If a member is repeated, the last one counts. A
/// member without a value counts as not given, and `null` is a string.
///
/// # Errors
/// The text is neither, or there are too many items.
pub(super) fn read(text: &str) -> Result<Document, ReadError> {
    let mut parser = Parser { text, at: 0 };
    let document = parser.document();
    document.map_err(|reason| match reason {
        Reason::Malformed(what) => {
            ReadError::Malformed(format!("the JSV {what} (near byte {})", parser.at))
        }
        Reason::TooMany(error) => error,
    })
}

/// Writes a string, quoted if it is empty, begins with white space or has a special character.
pub(super) fn write_text(text: &str, out: &mut String) {
    if text.is_empty() || text.contains(SPECIAL) || text.starts_with(char::is_whitespace) {
        out.extend(["\"", &text.replace('"', "\"\""), "\""]);
    } else {
        out.push_str(text);
    }
}

enum Reason {
    Malformed(&'static str),
    TooMany(ReadError),
}

impl From<&'static str> for Reason {
    fn from(what: &'static str) -> Self {
        Self::Malformed(what)
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn document(&mut self) -> Result<Document, Reason> {
        let document = match self.peek_after_whitespace() {
            Some('{') => Document::one(self.report()?),
            Some('[') => self.reports()?,
            _ => return Err("must be an object or a list of objects".into()),
        };
        match self.peek_after_whitespace() {
            None => Ok(document),
            Some(_) => Err("has content after its end".into()),
        }
    }

    fn reports(&mut self) -> Result<Document, Reason> {
        let mut items = Items::default();
        self.sequence('[', ']', |parser| {
            let Some('{') = parser.peek_after_whitespace() else {
                return Err("has an item that is not an object".into());
            };
            items.push(parser.report()?).map_err(Reason::TooMany)
        })?;
        Ok(items.into_document())
    }

    fn report(&mut self) -> Result<Item, Reason> {
        let mut item = Item::default();
        self.object(0, &mut |name, value| match Field::from_name(name) {
            Some(field) => item.report.set(field, value),
            None => item.unread.note(name),
        })?;
        Ok(item)
    }

    fn object(
        &mut self,
        depth: usize,
        member: &mut dyn FnMut(&str, Option<RawValue>),
    ) -> Result<(), Reason> {
        self.sequence('{', '}', |parser| {
            let name = parser.name()?;
            let value = parser.value(depth)?;
            member(&name, value);
            Ok(())
        })
    }

    /// Parses comma-separated items between two brackets.
    fn sequence(
        &mut self,
        open: char,
        close: char,
        mut item: impl FnMut(&mut Self) -> Result<(), Reason>,
    ) -> Result<(), Reason> {
        self.at += open.len_utf8();
        if self.peek_after_whitespace() == Some(close) {
            self.at += close.len_utf8();
            return Ok(());
        }
        loop {
            item(self)?;
            match self.peek_after_whitespace() {
                Some(',') => self.at += 1,
                Some(found) if found == close => {
                    self.at += close.len_utf8();
                    return Ok(());
                }
                Some(_) => return Err("has no comma or closing bracket after a value".into()),
                None => return Err("ends too early".into()),
            }
        }
    }

    fn name(&mut self) -> Result<String, Reason> {
        let name = match self.peek_after_whitespace() {
            Some('"') => self.quoted()?,
            _ => {
                let rest = &self.text[self.at..];
                let length = rest.find(SPECIAL).unwrap_or(rest.len());
                self.at += length;
                rest[..length].trim_end().to_owned()
            }
        };
        match self.peek_after_whitespace() {
            Some(':') => {
                self.at += 1;
                Ok(name)
            }
            Some(_) => Err("has a member without a colon".into()),
            None => Err("ends too early".into()),
        }
    }

    fn value(&mut self, depth: usize) -> Result<Option<RawValue>, Reason> {
        match self.peek_after_whitespace() {
            Some('"') => self.quoted().map(|text| Some(RawValue::Text(text))),
            Some('{' | '[') if depth == MAX_DEPTH => Err("is nested too deeply".into()),
            Some('{') => {
                self.object(depth + 1, &mut |_, _| {})?;
                Ok(Some(RawValue::Structure))
            }
            Some('[') => {
                self.sequence('[', ']', |parser| parser.value(depth + 1).map(|_| ()))?;
                Ok(Some(RawValue::Structure))
            }
            _ => self.plain(),
        }
    }

    /// Parses an unquoted value, up to the comma or bracket that ends it.
    fn plain(&mut self) -> Result<Option<RawValue>, Reason> {
        let rest = &self.text[self.at..];
        let length = rest
            .find(['"', ',', '{', '}', '[', ']', '\r', '\n'])
            .unwrap_or(rest.len());
        self.at += length;
        let value = &rest[..length];
        Ok((!value.is_empty()).then(|| RawValue::Text(value.to_owned())))
    }

    fn quoted(&mut self) -> Result<String, Reason> {
        let mut value = String::new();
        self.at += 1;
        loop {
            let rest = &self.text[self.at..];
            let Some(length) = rest.find('"') else {
                self.at = self.text.len();
                return Err("has an unclosed quote".into());
            };
            value.push_str(&rest[..length]);
            self.at += length + 1;
            if !self.text[self.at..].starts_with('"') {
                return Ok(value);
            }
            value.push('"');
            self.at += 1;
        }
    }

    /// Skips white space and returns the next character, without consuming it.
    fn peek_after_whitespace(&mut self) -> Option<char> {
        let rest = &self.text[self.at..];
        let trimmed = rest.trim_start();
        self.at += rest.len() - trimmed.len();
        trimmed.chars().next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call_sid(text: &str) -> Result<Option<RawValue>, ReadError> {
        let document = read(text)?;
        assert!(!document.is_batch());
        Ok(document.into_reports()[0].get(Field::CallSid).cloned())
    }

    fn text(text: &str) -> Result<Option<RawValue>, ReadError> {
        Ok(Some(RawValue::Text(text.to_owned())))
    }

    #[test]
    fn values_are_plain_or_quoted_and_names_bind_in_any_case() {
        assert_eq!(call_sid("{AccountId:a,CALLSID:CA 1 }"), text("CA 1 "));
        assert_eq!(
            call_sid("{\"callSid\":\"a\"\"b:c{}[]\n\"}"),
            text("a\"b:c{}[]\n")
        );
        assert_eq!(call_sid("{CallSid:}"), Ok(None));
        assert_eq!(call_sid("{CallSid:a,CallSid:,x:y}"), Ok(None));
        assert_eq!(call_sid("{CallSid:\"\"}"), text(""));
        assert_eq!(call_sid("{CallSid:null}"), text("null"));
        assert_eq!(
            call_sid("{CallSid:2026-03-01T09:30:00Z}"),
            text("2026-03-01T09:30:00Z")
        );
        assert_eq!(call_sid("{}"), Ok(None));
        assert_eq!(call_sid("{CallSid:{a:b}}"), Ok(Some(RawValue::Structure)));
        assert_eq!(call_sid("{CallSid:[]}"), Ok(Some(RawValue::Structure)));
    }

    #[test]
    fn white_space_after_a_colon_and_line_ends_are_not_part_of_a_value() {
        let text_by_hand =
            "\n{\r\n\tAccountId : a,\r\n\tother: {x: [1, 2, {y:}]},\r\n\tCallSid: CA1\r\n}\r\n";
        assert_eq!(call_sid(text_by_hand), text("CA1"));
    }

    #[test]
    fn a_list_holds_objects_only() {
        let count = |text| read(text).map(|document| document.into_reports().len());
        assert_eq!(count("[{CallSid:a},{CallSid:b}]"), Ok(2));
        assert_eq!(count("[]"), Ok(0));
        assert!(count("[a]").is_err() && count("[{},]").is_err() && count("[[]]").is_err());
    }

    #[test]
    fn what_is_not_one_document_is_refused() {
        let deep = format!("{{x:{}", "[".repeat(100_000));
        let closed = format!("{{x:{}{}}}", "[".repeat(100), "]".repeat(100));
        for document in [
            "",
            " ",
            "SessionId:S1",
            "{",
            "{a",
            "{a:b",
            "{a:b,}",
            "{a:b}}",
            "{a:b}x",
            "{a:\"b}",
            "{a:\"b\"c}",
            "{a:b\"c\"}",
            "{a:b\nc}",
            "{a}",
            "{a:b]}",
            "[{a:b}",
            &deep,
            &closed,
        ] {
            assert!(call_sid(document).is_err(), "{document:.40}");
        }
        let fits = format!("{{x:{}{}}}", "[".repeat(60), "]".repeat(60));
        assert_eq!(call_sid(&fits), Ok(None));
    }

    #[test]
    fn what_is_written_reads_back() {
        for value in ["", " a", "a ", "a,b", "\"", "{}", "null", "é\n"] {
            let mut written = String::new();
            write_text(value, &mut written);
            assert_eq!(call_sid(&format!("{{CallSid:{written}}}")), text(value));
        }
    }
}
