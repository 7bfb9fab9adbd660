//! Addresses: where a value is in a request.

use std::fmt;

use http::HeaderName;
use serde::Deserialize;

/// The maximum number of steps of a path.
const MAX_STEPS: usize = 32;

/// Where a value is in a request.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) enum Address {
    /// `/a/b`: a member of a JSON record (RFC 6901). A step into an array is an index.
    Json(Vec<String>),
    /// `xml:/a/b`: the text of an element, from the record's own element on. Namespaces do not
    /// count.
    Xml(Vec<String>),
    /// `form:name`: a field of a form, in any letter case.
    Form(String),
    /// `query:name`: a parameter of the URL, in any letter case.
    Query(String),
    /// `header:name`: a header of the request.
    Header(String),
    /// `column:name` or `column:3`: a cell of a row, by the column's name in any letter case, or by
    /// its number from 1 on in a file without a header.
    Column(String),
    /// `appended:`: what the sender appended to the URL, behind the text that the profile names.
    Appended,
}

impl Address {
    /// Parses an address.
    ///
    /// # Errors
    /// It is none; the message is a predicate for a subject such as the address.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if let Some(pointer) = text.strip_prefix('/') {
            return Ok(Self::Json(steps(pointer, unescaped)?));
        }
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        let named = |make: fn(String) -> Self| match rest {
            "" => Err(format!("must name something behind {kind}:")),
            name => Ok(make(name.to_owned())),
        };
        match kind {
            "form" => named(Self::Form),
            "query" => named(Self::Query),
            "header" if rest.parse::<HeaderName>().is_err() => {
                Err("must name a header behind header:".to_owned())
            }
            "header" => named(Self::Header),
            "column" => named(Self::Column),
            "appended" if text == "appended:" => Ok(Self::Appended),
            "xml" => match rest.strip_prefix('/') {
                Some(path) => Ok(Self::Xml(steps(path, |step| Ok(step.to_owned()))?)),
                None => Err("must go on with /ELEMENT behind xml:".to_owned()),
            },
            _ => Err(
                "must be /json/pointer, xml:/path, form:NAME, query:NAME, header:NAME or column:NAME"
                    .to_owned(),
            ),
        }
    }
}

fn steps(path: &str, read: impl Fn(&str) -> Result<String, String>) -> Result<Vec<String>, String> {
    let steps: Vec<_> = path.split('/').map(read).collect::<Result<_, _>>()?;
    if steps.len() > MAX_STEPS {
        return Err(format!("must have at most {MAX_STEPS} steps"));
    }
    if steps.iter().any(String::is_empty) {
        return Err("must not have an empty step".to_owned());
    }
    Ok(steps)
}

/// Decodes a step of a JSON pointer: `~1` is `/`, and `~0` is `~`.
fn unescaped(step: &str) -> Result<String, String> {
    let mut parts = step.split('~');
    let mut decoded = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (character, rest) = match part.split_at_checked(1) {
            Some(("0", rest)) => ('~', rest),
            Some(("1", rest)) => ('/', rest),
            _ => return Err("must write ~ as ~0 and / in a name as ~1".to_owned()),
        };
        decoded.push(character);
        decoded.push_str(rest);
    }
    Ok(decoded)
}

impl TryFrom<String> for Address {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).map_err(|rule| format!("the address {text:?} {rule}"))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(steps) => steps
                .iter()
                .try_for_each(|step| write!(f, "/{}", step.replace('~', "~0").replace('/', "~1"))),
            Self::Xml(steps) => write!(f, "xml:/{}", steps.join("/")),
            Self::Form(name) => write!(f, "form:{name}"),
            Self::Query(name) => write!(f, "query:{name}"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Column(name) => write!(f, "column:{name}"),
            Self::Appended => f.write_str("appended:"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_as_it_was_written() {
        for text in [
            "/a",
            "/a~1b/~0c/0",
            "/data/payload/call_session_id",
            "xml:/cdr/variables/uuid",
            "form:CallSid",
            "query:a b",
            "header:X-Id",
            "column:Start Time",
            "column:3",
            "appended:",
        ] {
            let address = Address::parse(text).expect("an address");
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let deep = "/a".repeat(33);
        for text in [
            "",
            "/",
            "a",
            "header:a b",
            "/a//b",
            "/a/",
            "/a~",
            "/a~2",
            "form:",
            "form",
            "query:",
            "xml:",
            "xml:a",
            "xml:/",
            "json:/a",
            "appended:x",
            "$.a",
            &deep,
        ] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
    }
}
