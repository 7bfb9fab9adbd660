//! Parses JSON objects with case-insensitive member names, as in reports.

use serde::de::value::StringDeserializer;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, Visitor};
use serde::forward_to_deserialize_any;

/// Parses an object. Only white space may follow it.
///
/// # Errors
/// The text is not an object of this type.
pub fn from_slice<'de, T: Deserialize<'de>>(text: &'de [u8]) -> serde_json::Result<T> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let value = T::deserialize(Folded(&mut deserializer))?;
    deserializer.end()?;
    Ok(value)
}

struct Folded<D>(D);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Folded<D> {
    type Error = D::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let visitor = Named { visitor, fields };
        self.0.deserialize_struct(name, fields, visitor)
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// Accepts only an object. serde alone would also accept an array of the fields' values.
struct Named<V> {
    visitor: V,
    fields: &'static [&'static str],
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Named<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        let fields = self.fields;
        self.visitor.visit_map(CaseInsensitive { map, fields })
    }
}

struct CaseInsensitive<A> {
    map: A,
    fields: &'static [&'static str],
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for CaseInsensitive<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        let Some(name) = self.map.next_key::<String>()? else {
            return Ok(None);
        };
        let mut fields = self.fields.iter();
        let known = fields.find(|field| field.eq_ignore_ascii_case(&name));
        let name: StringDeserializer<A::Error> = known
            .map_or(name, |field| (*field).to_owned())
            .into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq, Eq, serde::Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct In {
        call_sids: Option<Vec<String>>,
        reason: Option<String>,
    }

    #[test]
    fn names_are_known_in_any_letter_case_and_others_are_ignored() {
        let read = |text: &'static str| from_slice::<In>(text.as_bytes());
        let expected = In {
            call_sids: Some(vec!["CA1".to_owned()]),
            reason: None,
        };
        for text in [
            r#"{"callSids":["CA1"],"reason":null}"#,
            r#"{"CALLSIDS":["CA1"],"Other":{"reason":[1]}}"#,
            r#" {"CallSids" : ["CA1"], "call_sids": 1} "#,
        ] {
            assert_eq!(read(text).expect(text), expected);
        }
        for text in [
            "[]",
            "null",
            "\"x\"",
            r#"{"reason":1}"#,
            r#"{"reason":"a","Reason":"b"}"#,
            "{} {}",
            "{",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
