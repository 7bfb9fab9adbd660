//! Request and response formats: detection, negotiation, parsing and writing. Knows no routes and
//! no status codes.

pub mod billing;
pub mod charset;
pub mod csv;
pub mod decisions;
mod document;
pub(crate) mod form;
pub mod json;
mod jsv;
pub(crate) mod lossless;
pub mod negotiation;
pub mod parameters;
pub mod record;
pub mod statement;
pub mod status;
pub mod value;
mod xml;

use std::borrow::Cow;

use crate::billable::RawReport;
pub use document::{BindError, Binding, Document, MAX_ITEMS};

const BYTE_ORDER_MARK: &str = "\u{feff}";

/// A format of responses and of most requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    /// XML in the shape of .NET data contracts.
    Xml,
    /// ServiceStack's text format.
    Jsv,
    /// Comma-separated values with a header row.
    Csv,
    /// One JSON object per line.
    Ndjson,
}

impl Format {
    /// Every format, in the server's order of preference.
    pub const ALL: [Self; 5] = [Self::Json, Self::Xml, Self::Jsv, Self::Csv, Self::Ndjson];

    /// The name used in suffixes, routes and `?format=`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Xml => "xml",
            Self::Jsv => "jsv",
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
        }
    }

    /// Whether the format has one row per item and no place for data about the whole list.
    pub fn is_rows(self) -> bool {
        matches!(self, Self::Csv | Self::Ndjson)
    }

    /// Returns the format with this name. Case-sensitive.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// Returns the `Content-Type` of a response.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json; charset=utf-8",
            other => other.media_types()[0],
        }
    }

    /// The media types of this format, the canonical one first.
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

    /// Returns the format of a media type, ignoring parameters and letter case.
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

/// Why a body or a query could not be parsed. The messages are safe to show to the caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// It is malformed or exceeds a limit of its format.
    #[error("{0}")]
    Malformed(String),
    /// It has more than [`MAX_ITEMS`] items.
    #[error("a batch can have at most {MAX_ITEMS} items")]
    TooManyItems,
    /// Its `Content-Type` is not supported, or names a character encoding that is not.
    #[error("the body's Content-Type is not supported")]
    UnsupportedType,
    /// It is none that the sender's profile reads.
    #[error("{message}")]
    Unrecognised {
        message: String,
        /// The index of the item at fault in a batch.
        index: Option<usize>,
    },
}

/// The format of a request body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyFormat {
    /// A format that responses can have too.
    Plain(Format),
    Form,
    /// A multipart form with this boundary.
    Multipart(String),
}

impl BodyFormat {
    /// Detects the format of a body from its `Content-Type`, or else from its first non-blank
    /// character.
    ///
    /// A body that is labelled as a url-encoded form but begins like JSON or XML is read as JSON
    /// or XML: no form begins that way, and libcurl labels every body as a form by default.
    ///
    /// # Errors
    /// [`ReadError::UnsupportedType`] if neither identifies a supported format.
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
            Some(label) => Self::labelled(label),
            None => sniffed.clone(),
        };
        match format {
            Some(Self::Form) => Ok(sniffed.unwrap_or(Self::Form)),
            // An empty body with an unsupported label is one report without fields.
            None if body.is_empty() => Ok(Self::Plain(Format::Json)),
            other => other.ok_or(ReadError::UnsupportedType),
        }
    }

    /// Returns the format of a body on a route that names a format: a form if the body is labelled
    /// as one, else the route's format.
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

    /// Whether the body is a form. Form fields override query fields on every route.
    pub fn is_form(&self) -> bool {
        matches!(self, Self::Form | Self::Multipart(_))
    }

    /// Parses a body. An empty body is one report without fields; in NDJSON it is no reports.
    ///
    /// Bytes that are not UTF-8 are refused only in the fields of a report.
    ///
    /// # Errors
    /// The body is not in this format, or has too many items.
    pub fn read(&self, body: &[u8]) -> Result<Document, ReadError> {
        let is_lines = *self == Self::Plain(Format::Ndjson);
        if body.is_empty() && !is_lines {
            return Ok(Document::one(RawReport::default()));
        }
        let format = match self {
            Self::Plain(format) => format,
            Self::Form => return form::read(trimmed(body)),
            Self::Multipart(boundary) => return form::read_multipart(body, boundary),
        };
        let text = lossless::Decoder::default().decode(trimmed(body));
        // These have no escapes, so their fields are restored at the end, if there is need.
        let restored = |document: Document| match text {
            Cow::Owned(_) => document.restored(),
            Cow::Borrowed(_) => document,
        };
        match format {
            Format::Json => json::read(&text),
            Format::Ndjson => json::read_lines(&text),
            Format::Xml => xml::read(&text),
            Format::Jsv => jsv::read(&text).map(restored),
            Format::Csv => csv::read(&text).map(restored),
        }
    }
}

/// Drops a byte order mark, and NUL at the end: clients in C may count the end of a string.
pub(crate) fn trimmed(body: &[u8]) -> &[u8] {
    let is_end = |byte: &u8| matches!(byte, 0 | b'\r' | b'\n');
    let end = body.iter().rposition(|byte| !is_end(byte));
    let (rest, ends) = body.split_at(end.map_or(0, |last| last + 1));
    let body = if ends.contains(&0) { rest } else { body };
    let mark = BYTE_ORDER_MARK.as_bytes();
    body.strip_prefix(mark).unwrap_or(body)
}

/// Returns a media type or range without its parameters, in lower case.
fn essence(value: &str) -> String {
    value
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::billable::{Field, RawValue};

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
    fn a_route_with_a_format_ignores_content_type_except_a_forms() {
        let of = |label: &str| BodyFormat::of_route(Format::Xml, Some(label), b"a=b");
        assert_eq!(of("application/json"), BodyFormat::Plain(Format::Xml));
        assert_eq!(of("text/plain; charset=x"), BodyFormat::Plain(Format::Xml));
        assert_eq!(of("application/x-ndjson"), BodyFormat::Plain(Format::Xml));
        assert_eq!(of("application/x-www-form-urlencoded"), BodyFormat::Form);
    }

    /// A character that an escape makes is not taken for a byte of the body.
    #[test]
    fn escapes_are_decoded_after_bytes_that_are_not_utf8_are_restored() {
        let call = |format: Format, body: &[u8]| {
            let document = BodyFormat::Plain(format).read(body).expect("a report");
            document.into_reports()[0].get(Field::CallSid).cloned()
        };
        let text = |text: &str| Some(RawValue::Text(text.to_owned()));
        let private = "\u{10F7C3}\u{10F7A9}";
        for unread in [&b"x"[..], b"\xff"] {
            let escaped = br#"{"callSid":"\udbfd\udfc3\udbfd\udfa9","x":""#;
            let json = [escaped, unread, b"\"}"].concat();
            assert_eq!(call(Format::Json, &json), text(private));
            let escaped = b"<NewBillable><CallSid>&#x10F7C3;&#x10F7A9;</CallSid><X>";
            let xml = [&escaped[..], unread, b"</X></NewBillable>"].concat();
            assert_eq!(call(Format::Xml, &xml), text(private));
            let raw = format!("{{\"callSid\":\"{private}\",\"x\":\"");
            let json = [raw.as_bytes(), unread, b"\"}"].concat();
            assert_eq!(call(Format::Json, &json), text(private));
        }
        let bytes = Some(RawValue::Bytes((*b"\xe9\n").into()));
        assert_eq!(call(Format::Json, b"{\"callSid\":\"\xe9\\n\"}"), bytes);
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
