//! JSON: strict syntax (RFC 8259), case-insensitive names, scalars kept as their source text.

pub mod case_insensitive;
pub mod visit;

use serde::de::{DeserializeOwned, DeserializeSeed, IgnoredAny, MapAccess};
use serde_json::error::Category;

use super::document::{Document, Item, Items};
use super::{ReadError, trimmed};
use crate::billable::{Field, RawValue};
use visit::{Each, FromMembers, Object, next_raw};

/// Parses an object as one report, or an array of objects as a batch.
///
/// Unknown members are skipped. If a member is repeated, the last one counts.
///
/// # Errors
/// The text is neither, or there are too many items.
pub(super) fn read(text: &str) -> Result<Document, ReadError> {
    if !text.trim_start().starts_with('[') {
        return read_object(text).map(Document::one);
    }
    let (mut items, mut too_many) = (Items::default(), None);
    let push = |Object(item): Object<Item>| {
        too_many = items.push(item).err();
        too_many.is_none()
    };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let read = Each::new(push)
        .deserialize(&mut deserializer)
        .and_then(|()| deserializer.end());
    match (too_many, read) {
        (Some(error), _) => Err(error),
        (None, Err(error)) => Err(malformed(&error, 0)),
        (None, Ok(())) => Ok(items.into_document()),
    }
}

/// Parses one object per line. Blank lines are skipped.
///
/// # Errors
/// A line is not an object, or there are too many objects.
pub(super) fn read_lines(text: &str) -> Result<Document, ReadError> {
    let mut items = Items::default();
    for (before, line) in text.split('\n').enumerate() {
        if !line.trim().is_empty() {
            let Object(item) = serde_json::from_str::<Object<Item>>(line)
                .map_err(|error| malformed(&error, before))?;
            items.push(item)?;
        }
    }
    Ok(items.into_document())
}

/// Parses an object with member names in any letter case. Nothing means `{}`.
///
/// # Errors
/// The text is not an object of this type.
pub fn object<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ReadError> {
    let text = trimmed(bytes).trim_ascii_start();
    let text = if text.is_empty() { b"{}" } else { text };
    case_insensitive::from_slice(text).map_err(|error| {
        // The parser's own message may quote the text.
        let (line, column) = (error.line(), error.column());
        ReadError::Malformed(format!(
            "the JSON is malformed or has the wrong structure (line {line}, column {column})"
        ))
    })
}

fn read_object(text: &str) -> Result<Item, ReadError> {
    let Object(item) = serde_json::from_str(text).map_err(|error| malformed(&error, 0))?;
    Ok(item)
}

/// Returns an object's members in order: a string, a scalar's source text, `Structure` for an
/// object or array, or `None` for null.
///
/// # Errors
/// The text is not an object.
pub fn members_of(text: &str) -> Result<Vec<(String, Option<RawValue>)>, ReadError> {
    let Object(members) = serde_json::from_str(text).map_err(|error| malformed(&error, 0))?;
    Ok(members)
}

/// The messages of `serde_json` may quote the body, so they are not passed on.
pub(crate) fn malformed(error: &serde_json::Error, lines_before: usize) -> ReadError {
    let what = match error.classify() {
        Category::Eof => "ends too early",
        Category::Data => "must be an object",
        Category::Syntax | Category::Io => "is invalid or nested too deeply",
    };
    let (line, column) = (lines_before + error.line(), error.column());
    ReadError::Malformed(format!("the JSON {what} (line {line}, column {column})"))
}

impl FromMembers for Item {
    fn take<'de, A: MapAccess<'de>>(&mut self, name: String, map: &mut A) -> Result<(), A::Error> {
        match Field::from_name(&name) {
            Some(field) => self.report.set(field, next_raw(map)?),
            None => {
                map.next_value::<IgnoredAny>()?;
                self.unread.note(&name);
            }
        }
        Ok(())
    }
}

impl FromMembers for Vec<(String, Option<RawValue>)> {
    fn take<'de, A: MapAccess<'de>>(&mut self, name: String, map: &mut A) -> Result<(), A::Error> {
        self.push((name, next_raw(map)?));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call_sid(body: &str) -> Result<Option<RawValue>, ReadError> {
        read_object(body).map(|item| item.report.get(Field::CallSid).cloned())
    }

    fn call_sids(
        document: Result<Document, ReadError>,
    ) -> Result<Vec<Option<RawValue>>, ReadError> {
        let reports = document?.into_reports();
        Ok(reports
            .iter()
            .map(|report| report.get(Field::CallSid).cloned())
            .collect())
    }

    #[test]
    fn an_array_and_lines_are_several_reports() {
        let expected = Ok(vec![Some(RawValue::Text("a".to_owned())), None]);
        assert_eq!(
            call_sids(read(" [{\"callSid\":\"a\"},{\"x\":[]}] ")),
            expected
        );
        assert_eq!(
            call_sids(read_lines("\n{\"callSid\":\"a\"}\r\n\n {} ")),
            expected
        );
        assert_eq!(call_sids(read("[]")), Ok(Vec::new()));
        assert_eq!(call_sids(read_lines("")), Ok(Vec::new()));
        for list in [
            "[", "[{}", "[{},]", "[{}] x", "[null]", "[[]]", "[1]", "[\"a\"]",
        ] {
            assert!(read(list).is_err(), "{list}");
        }
        assert!(read_lines("{}\n[]").is_err() && read_lines("{\n}").is_err());
        let error = read_lines("{}\n\n{\"a\":}").expect_err("an error");
        assert!(error.to_string().contains("(line 3, column 6)"), "{error}");
    }

    #[test]
    fn names_bind_in_any_case_and_the_last_one_wins() {
        let text = |text: &str| Ok(Some(RawValue::Text(text.to_owned())));
        assert_eq!(
            call_sid(r#"{"CALLSID":"a","callSid":"b","call_sid":"c"}"#),
            text("b")
        );
        assert_eq!(call_sid(r#"{"callSid":"a","CallSid":null}"#), Ok(None));
        assert_eq!(
            call_sid(r#" {"x":{"callSid":[1,{"y":null}]},"callSid":""} "#),
            text("")
        );
    }

    #[test]
    fn scalars_keep_their_source_text_and_structures_do_not_bind() {
        for scalar in [
            "123",
            "1.50",
            "-1e3",
            "1e999",
            "true",
            "123456789012345678901234567890",
        ] {
            let body = format!(r#"{{"callSid":{scalar}}}"#);
            assert_eq!(call_sid(&body), Ok(Some(RawValue::Text(scalar.to_owned()))));
        }
        assert_eq!(
            call_sid(r#"{"callSid":{"a":1}}"#),
            Ok(Some(RawValue::Structure))
        );
        assert_eq!(call_sid(r#"{"callSid":[]}"#), Ok(Some(RawValue::Structure)));
    }

    #[test]
    fn escapes_are_decoded_and_half_a_surrogate_pair_is_bytes() {
        let decoded = call_sid(r#"{"callSid":"\ud83d\ude00\"\\\/\u0041"}"#);
        assert_eq!(decoded, Ok(Some(RawValue::Text("😀\"\\/A".to_owned()))));
        assert_eq!(
            call_sid(r#"{"callSid":"a\ud83d"}"#),
            Ok(Some(RawValue::Bytes((*b"a\xed\xa0\xbd").into())))
        );
        assert_eq!(call_sid(r#"{"other":"\ud83d","x":1e400}"#), Ok(None));
    }

    #[test]
    fn what_is_not_one_object_is_refused() {
        let deep = format!(r#"{{"x":{}"#, "[".repeat(100_000));
        let brackets = "[".repeat(100_000);
        for body in [
            " ",
            "null",
            "[]",
            "1",
            "\"a\"",
            "{",
            "{\"a\":1,}",
            "{} x",
            "{}{}",
            "{'a':1}",
            "{a:1}",
            "// c\n{}",
            "{\"callSid\":\"a\u{1}\"}",
            "{\"callSid\":01}",
            "{\"callSid\":tru}",
            &deep,
            &brackets,
        ] {
            assert!(
                call_sid(body).is_err(),
                "{}",
                body.chars().take(40).collect::<String>()
            );
        }
    }
}
