//! JSON: strict syntax (RFC 8259), names in any letter case, scalars as their source text.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::Malformed;
use crate::billable::{Field, Given, RawReport};

/// Reads a report. Unknown members are skipped, to a depth of 128; of a repeated member the
/// last one counts.
///
/// # Errors
/// The text is not one JSON object.
pub fn read_report(body: &str) -> Result<RawReport, Malformed> {
    let Members(report) = serde_json::from_str(body).map_err(|error| {
        let what = match error.classify() {
            Category::Eof => "ends too early",
            Category::Data => "must be an object",
            Category::Syntax | Category::Io => "is not valid or is nested too deep",
        };
        Malformed(format!(
            "the JSON {what} (line {}, column {})",
            error.line(),
            error.column()
        ))
    })?;
    Ok(report)
}

struct Members(RawReport);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut report = RawReport::default();
        while let Some(name) = map.next_key::<String>()? {
            match Field::from_name(&name) {
                Some(field) => {
                    report.set(field, given(map.next_value()?).map_err(A::Error::custom)?)
                }
                None => {
                    map.next_value::<Skipped>()?;
                }
            }
        }
        Ok(Members(report))
    }
}

fn given(value: &RawValue) -> serde_json::Result<Option<Given>> {
    Ok(match value.get() {
        "null" => None,
        text if text.starts_with('"') => Some(Given::Text(serde_json::from_str(text)?)),
        text if text.starts_with(['{', '[']) => Some(Given::Structure),
        scalar => Some(Given::Text(scalar.to_owned())),
    })
}

/// A value that nobody wants. Unlike serde's own it visits what it skips, so that the parser's
/// depth limit and its checks of strings hold there too.
struct Skipped;

impl<'de> Deserialize<'de> for Skipped {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SkippedVisitor)
    }
}

struct SkippedVisitor;

impl<'de> Visitor<'de> for SkippedVisitor {
    type Value = Skipped;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Skipped, E> {
        Ok(Skipped)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Skipped, E> {
        Ok(Skipped)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Skipped, E> {
        Ok(Skipped)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Skipped, E> {
        Ok(Skipped)
    }

    fn visit_str<E>(self, _: &str) -> Result<Skipped, E> {
        Ok(Skipped)
    }

    fn visit_unit<E>(self) -> Result<Skipped, E> {
        Ok(Skipped)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Skipped, A::Error> {
        while seq.next_element::<Skipped>()?.is_some() {}
        Ok(Skipped)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Skipped, A::Error> {
        while map.next_entry::<Skipped, Skipped>()?.is_some() {}
        Ok(Skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call_sid(body: &str) -> Result<Option<Given>, Malformed> {
        read_report(body).map(|report| report.get(Field::CallSid).cloned())
    }

    #[test]
    fn names_bind_in_any_case_and_the_last_one_wins() {
        let text = |text: &str| Ok(Some(Given::Text(text.to_owned())));
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
            assert_eq!(call_sid(&body), Ok(Some(Given::Text(scalar.to_owned()))));
        }
        assert_eq!(
            call_sid(r#"{"callSid":{"a":1}}"#),
            Ok(Some(Given::Structure))
        );
        assert_eq!(call_sid(r#"{"callSid":[]}"#), Ok(Some(Given::Structure)));
    }

    #[test]
    fn escapes_are_decoded_and_lone_surrogates_refused() {
        let decoded = call_sid(r#"{"callSid":"\ud83d\ude00\"\\\/\u0041"}"#);
        assert_eq!(decoded, Ok(Some(Given::Text("😀\"\\/A".to_owned()))));
        assert!(call_sid(r#"{"callSid":"\ud83d"}"#).is_err());
        assert!(call_sid(r#"{"other":"\ud83d"}"#).is_err());
    }

    #[test]
    fn what_is_not_one_object_is_refused() {
        let deep = format!(r#"{{"x":{}"#, "[".repeat(100_000));
        let closed = format!(r#"{{"x":{}{}}}"#, "[".repeat(200), "]".repeat(200));
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
            &closed,
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
