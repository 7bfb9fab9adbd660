//! The values in responses, and their writers for JSON and JSV.

use std::borrow::Cow;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::jsv;

/// A value. The members of an object keep their insertion order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Not given: omitted from objects in JSON and JSV, nil in XML, empty in CSV.
    Null,
    /// `true` or `false`; in JSV and CSV `True` or `False`, as .NET writes them.
    Bool(bool),
    Number(i64),
    Text(Cow<'a, str>),
    List(Vec<Self>),
    /// Members with their JSON names.
    Object(Vec<(&'static str, Self)>),
}

impl<'a> Value<'a> {
    /// Returns a string, or null for `None`.
    pub fn text(text: Option<impl Into<Cow<'a, str>>>) -> Self {
        text.map_or(Self::Null, |text| Self::Text(text.into()))
    }

    /// Returns the value as JSON without white space.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings serialise")
    }

    /// Returns the value as JSV.
    pub fn to_jsv(&self) -> String {
        let mut out = String::new();
        self.write_jsv(&mut out);
        out
    }

    fn write_jsv(&self, out: &mut String) {
        match self {
            // Null occurs only in lists of responses, which the parser, for which `null` is a
            // string, never reads.
            Self::Null => out.push_str("null"),
            Self::Bool(true) => out.push_str("True"),
            Self::Bool(false) => out.push_str("False"),
            Self::Number(number) => out.push_str(&number.to_string()),
            Self::Text(text) => jsv::write_text(text, out),
            Self::List(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    item.write_jsv(out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                let given = members.iter().filter(|(_, value)| *value != Self::Null);
                for (index, (name, value)) in given.enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    out.push_str(name);
                    out.push(':');
                    value.write_jsv(out);
                }
                out.push('}');
            }
        }
    }
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_none(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Number(number) => serializer.serialize_i64(*number),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(items) => serializer.collect_seq(items),
            Self::Object(members) => {
                let mut map = serializer.serialize_map(None)?;
                for (name, value) in members.iter().filter(|(_, value)| *value != Self::Null) {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    }
}

/// Converts a JSON name to .NET spelling (PascalCase).
pub(super) fn pascal(camel: &str) -> String {
    let (first, rest) = camel.split_at(1);
    first.to_ascii_uppercase() + rest
}
