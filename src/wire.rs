//! The formats: which one a body is in, which one an answer gets, and how each is read and
//! written. Knows no routes and no status codes.

mod csv;
mod form;
mod json;
mod jsv;
pub mod negotiation;
pub mod parameters;
pub mod record;
pub mod sender;
pub mod status;
pub mod value;
mod xml;

use crate::billable::{Field, RawReport};
use parameters::Parameters;
use sender::Hints;

/// The most reports in one body.
pub const MAX_ITEMS: usize = 10_000;

/// A format of answers, and of most requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JSON.
    Json,
    /// XML as .NET's data contracts have it.
    Xml,
    /// ServiceStack's own.
    Jsv,
    /// Comma-separated values with a header row.
    Csv,
}

impl Format {
    /// Every format, the one that the server prefers first.
    pub const ALL: [Self; 4] = [Self::Json, Self::Xml, Self::Jsv, Self::Csv];

    /// The name in suffixes, routes and `?format=`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Xml => "xml",
            Self::Jsv => "jsv",
            Self::Csv => "csv",
        }
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
    /// One JSON object a line.
    JsonLines,
    /// A url-encoded form.
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
    pub fn of(content_type: Option<&str>, body: &str) -> Result<Self, ReadError> {
        let label = content_type.filter(|label| !label.trim().is_empty());
        let sniffed = match body.trim_start().chars().next() {
            Some('{' | '[') => Some(Self::Plain(Format::Json)),
            Some('<') => Some(Self::Plain(Format::Xml)),
            _ => None,
        };
        let labelled = match label {
            _ if body.is_empty() && label.is_none_or(|label| Self::labelled(label).is_none()) => {
                Some(Self::Plain(Format::Json))
            }
            Some(label) if is_utf8(label) => Self::labelled(label),
            Some(_) => None,
            None => sniffed.clone(),
        };
        match labelled {
            Some(Self::Form) => Ok(sniffed.unwrap_or(Self::Form)),
            other => other.ok_or(ReadError::UnsupportedType),
        }
    }

    /// The format of a body on a route that has a format: a form by its label, else the route's.
    pub fn of_route(format: Format, content_type: Option<&str>, body: &str) -> Self {
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
            "application/x-ndjson"
            | "application/ndjson"
            | "application/jsonl"
            | "application/x-jsonlines"
            | "text/jsonl" => Some(Self::JsonLines),
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
    /// It is not of this format, or has too many items.
    pub fn read(&self, body: &str) -> Result<Document, ReadError> {
        match (self, body) {
            (Self::JsonLines, body) => json::read_lines(body),
            (_, "") => Ok(Document::one(RawReport::default())),
            (Self::Plain(Format::Json), body) => json::read(body),
            (Self::Plain(Format::Xml), body) => xml::read(body),
            (Self::Plain(Format::Jsv), body) => jsv::read(body),
            (Self::Plain(Format::Csv), body) => csv::read(body),
            (Self::Form, body) => form::read(body),
            (Self::Multipart(boundary), body) => form::read_multipart(body, boundary),
        }
    }
}

/// What a body contains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// One report, and what a stock sender says of it in words of its own.
    One {
        /// The report.
        report: RawReport,
        /// The rest.
        hints: Hints,
    },
    /// Several, in order: a batch, if only of one or none.
    Many(Vec<RawReport>),
}

/// How a route binds a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Whether the query's fields win over the body's; else they fill what it leaves out.
    pub query_wins: bool,
    /// Whether the words of stock senders count.
    pub takes_hints: bool,
}

impl Document {
    fn one(report: RawReport) -> Self {
        Self::One {
            report,
            hints: Hints::default(),
        }
    }

    /// The reports, whatever else it says.
    pub fn into_reports(self) -> Vec<RawReport> {
        match self {
            Self::One { report, .. } => vec![report],
            Self::Many(reports) => reports,
        }
    }

    /// Binds the fields of a query to the report; of several reports none may be in the query.
    ///
    /// # Errors
    /// The query is malformed, or names fields beside several reports.
    pub fn bind(&mut self, query: &str, binding: Binding) -> Result<(), BindError> {
        let Self::One { report, hints } = self else {
            let fields: Vec<_> = Parameters::parse(query)?.report().fields().collect();
            return match fields.is_empty() {
                true => Ok(()),
                false => Err(BindError::Fields(fields)),
            };
        };
        let mut hints = match binding.takes_hints {
            true => std::mem::take(hints),
            false => Hints::default(),
        };
        let parameters = hints.read_query(query)?.report();
        match binding.query_wins {
            true => report.overlay(parameters),
            false => report.underlay(parameters),
        }
        hints.fill(report);
        Ok(())
    }
}

/// Why a query cannot be bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BindError {
    /// It cannot be read.
    Read(ReadError),
    /// It names these fields of a report, but there are several reports.
    Fields(Vec<Field>),
}

impl From<ReadError> for BindError {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

/// Reports as they are read, up to [`MAX_ITEMS`]: what is too long is not even collected.
#[derive(Debug, Default)]
struct Items(Vec<RawReport>);

impl Items {
    fn push(&mut self, report: RawReport) -> Result<(), ReadError> {
        if self.0.len() == MAX_ITEMS {
            return Err(ReadError::TooManyItems);
        }
        self.0.push(report);
        Ok(())
    }

    fn into_reports(self) -> Vec<RawReport> {
        self.0
    }
}

/// A body's text: valid UTF-8, a byte order mark dropped.
///
/// # Errors
/// It is not UTF-8.
pub fn text(body: &[u8]) -> Result<&str, ReadError> {
    let text = std::str::from_utf8(body).map_err(|error| {
        ReadError::Malformed(format!(
            "the body is not UTF-8: the byte at offset {} is no part of it",
            error.valid_up_to()
        ))
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
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
    use crate::billable::Given;

    #[test]
    fn a_body_is_known_by_its_label_or_its_first_character() {
        use BodyFormat::{Form, JsonLines, Multipart};
        let of = |label: Option<&str>, body| BodyFormat::of(label, body).ok();
        let [json, xml, jsv, csv] = Format::ALL.map(|format| Some(BodyFormat::Plain(format)));
        assert_eq!(
            of(Some("Application/JSON; charset=\"UTF-8\""), "{}"),
            json.clone()
        );
        assert_eq!(of(Some("application/vnd.x+json"), "{}"), json.clone());
        assert_eq!(of(Some("text/xml;charset=us-ascii"), "<a/>"), xml.clone());
        assert_eq!(of(Some("application/json; charset=utf-16"), "{}"), None);
        assert_eq!(of(Some("application/octet-stream"), "{}"), None);
        assert_eq!(of(Some("application/octet-stream"), ""), json.clone());
        assert_eq!(of(None, " \n{"), json.clone());
        assert_eq!(of(None, "<a/>"), xml.clone());
        assert_eq!(of(None, "a=b"), None);
        assert_eq!(of(Some(" "), "{}"), json.clone());
        assert_eq!(of(Some("text/jsv"), "{}"), jsv);
        assert_eq!(of(Some("text/csv"), "a"), csv);
        assert_eq!(of(Some("application/vnd.x+csv"), "a"), None);
        assert_eq!(of(Some("application/x-ndjson"), "{}"), Some(JsonLines));
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
        let of = |label: &str| BodyFormat::of_route(Format::Xml, Some(label), "a=b");
        assert_eq!(of("application/json"), BodyFormat::Plain(Format::Xml));
        assert_eq!(of("text/plain; charset=x"), BodyFormat::Plain(Format::Xml));
        assert_eq!(of("application/x-ndjson"), BodyFormat::Plain(Format::Xml));
        assert_eq!(of("application/x-www-form-urlencoded"), BodyFormat::Form);
    }

    fn bind(body: &str, query: &str, query_wins: bool) -> Result<RawReport, BindError> {
        let format = BodyFormat::of(None, body).expect("a format");
        let mut document = format.read(body).expect("a document");
        let binding = Binding {
            query_wins,
            takes_hints: query_wins,
        };
        document.bind(query, binding)?;
        Ok(document.into_reports().remove(0))
    }

    fn shown(report: Result<RawReport, BindError>) -> [Option<String>; Field::ALL.len()] {
        let report = report.expect("a report");
        Field::ALL.map(|field| match report.get(field) {
            Some(Given::Text(text)) => Some(text.clone()),
            Some(Given::Structure) | None => None,
        })
    }

    #[test]
    fn a_query_wins_or_fills() {
        let body = r#"{"sessionId":"S1","callSid":" "}"#;
        let query = "sessionId=S2&callSid=CA1";
        let [_, _, session, call, _] = shown(bind(body, query, true));
        assert_eq!(
            (session.as_deref(), call.as_deref()),
            (Some("S2"), Some("CA1"))
        );
        let [_, _, session, call, _] = shown(bind(body, query, false));
        assert_eq!(
            (session.as_deref(), call.as_deref()),
            (Some("S1"), Some("CA1"))
        );
        let list = bind("[{}]", "format=xml&callSid=CA1", true);
        assert_eq!(list, Err(BindError::Fields(vec![Field::CallSid])));
        assert!(bind("[{}]", "format=xml&callSid=", true).is_ok());
    }

    #[test]
    fn a_call_detail_record_gives_call_and_time_and_undoes_the_appended_question_mark() {
        let some = |text: &str| Some(text.to_owned());
        let cdr = r#"{"core-uuid":"x","variables":{"uuid":"u-1","start_epoch":"1396984221","start_uepoch":"1396984221278217"}}"#;
        let own = "accountId=acc&customerId=cus";
        let expected = [
            some("acc"),
            some("cus"),
            None,
            some("u-1"),
            some("2014-04-08T19:10:21.278217Z"),
        ];
        for query in [
            own.to_owned(),
            format!("{own}?uuid=u-1"),
            format!("{own}&?uuid=a_u-1"),
            format!("uuid=u-2&{own}"),
        ] {
            assert_eq!(shown(bind(cdr, &query, true)), expected, "{query}");
        }
        // What is said outright wins; elsewhere nothing of it counts.
        let [.., call, at] = shown(bind(cdr, "callSid=CA1&occurredAt=now", true));
        assert_eq!((call, at), (some("CA1"), some("now")));
        assert_eq!(shown(bind(cdr, "", false)), [const { None }; 5]);
        let [_, customer, ..] = shown(bind("{}", "customerId=cus?uuid=u-1", true));
        assert_eq!(customer, some("cus?uuid=u-1"));
        // Zero is FreeSWITCH's word for never; a record without a uuid has the appended one.
        let bare = r#"{"variables":{"start_uepoch":"0","start_epoch":"1396984221"}}"#;
        let [_, customer, _, call, at] = shown(bind(bare, "customerId=c?uuid=u%201", true));
        assert_eq!(
            (customer, call, at),
            (some("c"), some("u 1"), some("2014-04-08T19:10:21.000000Z"))
        );
        for other in [
            r#"{"variables":[1]}"#,
            r#"{"variables":null}"#,
            r#"{"Variables":{"uuid":"u"}}"#,
        ] {
            assert_eq!(
                shown(bind(other, "uuid=u", true)),
                [const { None }; 5],
                "{other}"
            );
        }
        assert!(
            BodyFormat::Plain(Format::Json)
                .read(r#"{"variables":"\ud800"}"#)
                .is_err()
        );
    }

    #[test]
    fn a_callback_gives_its_time_and_a_form_may_hold_a_record() {
        let read = |form: &str| {
            let mut document = BodyFormat::Form.read(form).expect("a form");
            let binding = Binding {
                query_wins: false,
                takes_hints: true,
            };
            document
                .bind("accountId=a&customerId=c&callSid=q", binding)
                .map(|()| document.into_reports().remove(0))
        };
        let some = |text: &str| Some(text.to_owned());
        let [_, _, _, call, at] = shown(read(
            "CallSid=CA1&Timestamp=Sun%2C%2025%20Mar%202018%2009%3A53%3A19%20%2B0000",
        ));
        assert_eq!(
            (call, at),
            (some("CA1"), some("2018-03-25T09:53:19.000000Z"))
        );
        let [_, _, _, _, at] = shown(read("CallSid=CA1&Timestamp=1521971599"));
        assert_eq!(at, None);
        let [_, _, _, call, at] = shown(read(
            "Timestamp=Sun%2C%2025%20Mar%202018%2009%3A53%3A19%20%2B0000",
        ));
        assert_eq!((call, at), (some("q"), None));
        let [account, _, _, call, at] = shown(read(
            "cdr=%7B%22variables%22%3A%7B%22uuid%22%3A%22u%22%2C%22start_epoch%22%3A%2286400%22%7D%7D&callSid=f",
        ));
        assert_eq!(
            (account, call, at),
            (some("a"), some("f"), some("1970-01-02T00:00:00.000000Z"))
        );
        assert!(BodyFormat::Form.read("cdr=%3Ccdr%2F%3E").is_err());
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
                (BodyFormat::JsonLines, "{}\n".repeat(count)),
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
                .read(&body)
                .map(|document| document.into_reports().len());
            assert_eq!(count, Ok(MAX_ITEMS), "{format:?}");
        }
        for (format, body) in bodies(MAX_ITEMS + 1) {
            assert_eq!(
                format.read(&body),
                Err(ReadError::TooManyItems),
                "{format:?}"
            );
        }
    }
}
