//! The formats: which one a body is in, which one an answer gets, and how each is read and
//! written. Knows no routes and no status codes.

pub mod billing;
pub mod csv;
mod document;
mod form;
pub mod json;
mod jsv;
pub mod negotiation;
pub mod parameters;
pub mod record;
pub mod status;
pub mod value;
mod vendors;
mod xml;

use crate::billable::RawReport;
pub use document::{BindError, Binding, Document, MAX_ITEMS};

/// What a UTF-8 text may begin with to say that it is one.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// A format of answers, and of most requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    /// XML as .NET's data contracts have it.
    Xml,
    /// ServiceStack's own.
    Jsv,
    /// Comma-separated values with a header row.
    Csv,
    /// One JSON object a line.
    Ndjson,
}

impl Format {
    /// Every format, the one that the server prefers first.
    pub const ALL: [Self; 5] = [Self::Json, Self::Xml, Self::Jsv, Self::Csv, Self::Ndjson];

    /// The name in suffixes, routes and `?format=`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Xml => "xml",
            Self::Jsv => "jsv",
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
        }
    }

    /// Whether it has a row for each item and no room for anything about all of them.
    pub fn is_rows(self) -> bool {
        matches!(self, Self::Csv | Self::Ndjson)
    }

    /// The format of that name; letter case counts.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// As the `Content-Type` of an answer has it.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json; charset=utf-8",
            other => other.media_types()[0],
        }
    }

    /// The media types that mean this format, the canonical one first.
    fn media_types(self) -> &'static [&'static str] {
        match self {
            Self::Json => &["application/json", "text/json"],
            Self::Xml => &["application/xml", "text/xml"],
            Self::Jsv => &["application/jsv", "text/jsv"],
            Self::Csv => &["text/csv"],
            Self::Ndjson => &[
                "application/x-ndjson",
                "application/ndjson",
                "application/jsonl",
                "application/x-jsonlines",
                "text/jsonl",
            ],
        }
    }

    /// The format of a media type, parameters and letter case aside.
    pub fn from_content_type(content_type: &str) -> Option<Self> {
        let essence = essence(content_type);
        Self::ALL.into_iter().find(|format| {
            let is_suffixed = matches!(format, Self::Json | Self::Xml)
                && essence
                    .rsplit_once('+')
                    .is_some_and(|(_, suffix)| suffix == format.name());
            is_suffixed || format.media_types().contains(&&*essence)
        })
    }
}

/// Why a body or a query cannot be read. The texts are safe to show to the caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// It is not what its format says.
    #[error("{0}")]
    Malformed(String),
    /// It has more than [`MAX_ITEMS`] items.
    #[error("a batch has at most {MAX_ITEMS} items")]
    TooManyItems,
    /// Its `Content-Type` is none of ours, or names another character encoding than UTF-8.
    #[error("the body's Content-Type is none that is understood here")]
    UnsupportedType,
}

/// How a request's body is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyFormat {
    /// In a format that answers have as well.
    Plain(Format),
    Form,
    /// A multipart form with that boundary.
    Multipart(String),
}

impl BodyFormat {
    /// The format of a body by its label, else by its first character that is not blank. A body
    /// labelled as a url-encoded form that begins like JSON or XML is that: no form begins so,
    /// and libcurl labels everything as one unless it is told otherwise.
    ///
    /// # Errors
    /// [`ReadError::UnsupportedType`] when neither says a format of ours.
    pub fn of(content_type: Option<&str>, body: &[u8]) -> Result<Self, ReadError> {
        let label = content_type.filter(|label| !label.trim().is_empty());
        let unmarked = body
            .strip_prefix(BYTE_ORDER_MARK.as_bytes())
            .unwrap_or(body);
        let sniffed = match unmarked.trim_ascii_start().first() {
            Some(b'{' | b'[') => Some(Self::Plain(Format::Json)),
            Some(b'<') => Some(Self::Plain(Format::Xml)),
            _ => None,
        };
        let format = match label {
            Some(label) if is_utf8(label) => Self::labelled(label),
            Some(_) => None,
            None => sniffed.clone(),
        };
        match format {
            Some(Self::Form) => Ok(sniffed.unwrap_or(Self::Form)),
            // Nothing is the same in every format, whatever it is called.
            None if body.is_empty() => Ok(Self::Plain(Format::Json)),
            other => other.ok_or(ReadError::UnsupportedType),
        }
    }

    /// The format of a body on a route that has a format: a form by its label, else the route's.
    pub fn of_route(format: Format, content_type: Option<&str>, body: &[u8]) -> Self {
        match content_type.and_then(Self::labelled) {
            Some(Self::Form | Self::Multipart(_)) => {
                Self::of(content_type, body).unwrap_or(Self::Plain(format))
            }
            _ => Self::Plain(format),
        }
    }

    fn labelled(content_type: &str) -> Option<Self> {
        match &*essence(content_type) {
            "application/x-www-form-urlencoded" => Some(Self::Form),
            "multipart/form-data" => form::boundary_of(content_type).map(Self::Multipart),
            _ => Format::from_content_type(content_type).map(Self::Plain),
        }
    }

    /// Whether the fields are those of a form, which win over a query everywhere.
    pub fn is_form(&self) -> bool {
        matches!(self, Self::Form | Self::Multipart(_))
    }

    /// Reads a body. An empty one is a report without fields, or no lines.
    ///
    /// # Errors
    /// It is not of this format, not UTF-8, or has too many items.
    pub fn read(&self, body: &[u8]) -> Result<Document, ReadError> {
        match self {
            Self::Plain(Format::Ndjson) => json::read_lines(text(body)?),
            _ if body.is_empty() => Ok(Document::one(RawReport::default())),
            Self::Plain(Format::Json) => json::read(text(body)?),
            Self::Plain(Format::Xml) => xml::read(text(body)?),
            Self::Plain(Format::Jsv) => jsv::read(text(body)?),
            Self::Plain(Format::Csv) => csv::read(text(body)?),
            Self::Form => form::read(text(body)?),
            Self::Multipart(boundary) => form::read_multipart(body, boundary),
        }
    }
}

/// A body's text: valid UTF-8, a byte order mark dropped.
fn text(body: &[u8]) -> Result<&str, ReadError> {
    let text = std::str::from_utf8(body).map_err(|error| {
        ReadError::Malformed(format!(
            "the body is not UTF-8: the byte at offset {} is no part of it",
            error.valid_up_to()
        ))
    })?;
    Ok(text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text))
}

/// A media type or range without parameters, in lower case.
fn essence(value: &str) -> String {
    value
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase()
}

/// Whether a label leaves the encoding open or names UTF-8 or its subset US-ASCII.
fn is_utf8(content_type: &str) -> bool {
    content_type
        .split(';')
        .skip(1)
        .all(|parameter| match parameter.split_once('=') {
            Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
                let value = value.trim().trim_matches('"');
                ["utf-8", "utf8", "us-ascii"]
                    .iter()
                    .any(|known| value.eq_ignore_ascii_case(known))
            }
            _ => true,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_known_by_its_label_or_its_first_character() {
        use BodyFormat::{Form, Multipart};
        let of = |label: Option<&str>, body: &str| BodyFormat::of(label, body.as_bytes()).ok();
        let [json, xml, jsv, csv, ndjson] =
            Format::ALL.map(|format| Some(BodyFormat::Plain(format)));
        assert_eq!(
            of(Some("Application/JSON; charset=\"UTF-8\""), "{}"),
            json.clone()
        );
        assert_eq!(of(Some("application/vnd.x+json"), "{}"), json.clone());
        assert_eq!(of(Some("text/xml;charset=us-ascii"), "<a/>"), xml.clone());
        assert_eq!(of(Some("application/json; charset=utf-16"), "{}"), None);
        assert_eq!(of(Some("application/octet-stream"), "{}"), None);
        assert_eq!(of(Some("application/octet-stream"), ""), json.clone());
        assert_eq!(of(None, "\u{feff} \n{"), json.clone());
        assert_eq!(of(None, "<a/>"), xml.clone());
        assert_eq!(of(None, "a=b"), None);
        assert_eq!(of(Some(" "), "{}"), json.clone());
        assert_eq!(of(Some("text/jsv"), "{}"), jsv);
        assert_eq!(of(Some("text/csv"), "a"), csv);
        assert_eq!(of(Some("application/vnd.x+csv"), "a"), None);
        assert_eq!(of(Some("application/x-ndjson"), "{}"), ndjson);
        let form = "application/x-www-form-urlencoded";
        assert_eq!(of(Some(form), "a=%7B"), Some(Form));
        assert_eq!(of(Some(form), " {\"a\":1}"), json);
        assert_eq!(of(Some(form), "<a/>"), xml);
        assert_eq!(
            of(Some("multipart/form-data; boundary=b"), ""),
            Some(Multipart("b".to_owned()))
        );
        assert_eq!(of(Some("multipart/form-data"), "--b--"), None);
    }

    #[test]
    fn a_route_with_a_format_heeds_the_label_of_a_form_only() {
        let of = |label: &str| BodyFormat::of_route(Format::Xml, Some(label), b"a=b");
        assert_eq!(of("application/json"), BodyFormat::Plain(Format::Xml));
        assert_eq!(of("text/plain; charset=x"), BodyFormat::Plain(Format::Xml));
        assert_eq!(of("application/x-ndjson"), BodyFormat::Plain(Format::Xml));
        assert_eq!(of("application/x-www-form-urlencoded"), BodyFormat::Form);
    }

    #[test]
    fn more_items_than_a_batch_may_have_are_refused_in_every_format() {
        let xml = |items| format!("<ArrayOfNewBillable>{items}</ArrayOfNewBillable>");
        let bodies = |count: usize| {
            [
                (
                    BodyFormat::Plain(Format::Json),
                    format!("[{}]", vec!["{}"; count].join(",")),
                ),
                (BodyFormat::Plain(Format::Ndjson), "{}\n".repeat(count)),
                (
                    BodyFormat::Plain(Format::Xml),
                    xml("<NewBillable/>".repeat(count)),
                ),
                (
                    BodyFormat::Plain(Format::Jsv),
                    format!("[{}]", vec!["{}"; count].join(",")),
                ),
                (
                    BodyFormat::Plain(Format::Csv),
                    format!("callSid\n{}", "a\n".repeat(count)),
                ),
            ]
        };
        for (format, body) in bodies(MAX_ITEMS) {
            let count = format
                .read(body.as_bytes())
                .map(|document| document.into_reports().len());
            assert_eq!(count, Ok(MAX_ITEMS), "{format:?}");
        }
        for (format, body) in bodies(MAX_ITEMS + 1) {
            assert_eq!(
                format.read(body.as_bytes()),
                Err(ReadError::TooManyItems),
                "{format:?}"
            );
        }
    }
}
