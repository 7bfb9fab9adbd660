//! A parsed body, and how the fields of a query are merged into it.

use super::parameters::Parameters;
use super::vendors::Hints;
use super::{ReadError, lossless};
use crate::billable::{Field, RawReport};

/// The maximum number of reports in one body.
pub const MAX_ITEMS: usize = 10_000;

/// A parsed body: one report, or a batch of reports in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    items: Vec<Item>,
    is_batch: bool,
    has_hashed_call: bool,
    unrecognised: Vec<String>,
}

/// A report, the hints that a vendor format gives about it, and what else its body has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) report: RawReport,
    pub(super) hints: Hints,
    pub(super) unread: Unread,
}

/// The names of the members of a body that are no fields of a report: the first ones of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Unread(Vec<String>);

impl Unread {
    /// The maximum number of names, and of characters of each.
    const MAX_NAMES: usize = 10;
    const MAX_CHARACTERS: usize = 50;

    pub(super) fn note(&mut self, name: &str) {
        if self.0.len() < Self::MAX_NAMES {
            let name: String = name.chars().take(Self::MAX_CHARACTERS).collect();
            let bytes = lossless::bytes_of(&name).unwrap_or(name.into_bytes());
            self.0.push(String::from_utf8_lossy(&bytes).into_owned());
        }
    }
}

impl From<RawReport> for Item {
    fn from(report: RawReport) -> Self {
        Self {
            report,
            ..Self::default()
        }
    }
}

/// How a route binds a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Whether query fields override body fields; otherwise they only fill in missing ones.
    pub query_wins: bool,
    /// Whether vendor formats (FreeSWITCH, Twilio) are accepted. If not, a call detail record is
    /// rejected, because the fields that are read without the hints could bill the wrong account.
    pub takes_hints: bool,
}

impl Document {
    /// Creates a document with one report.
    pub(super) fn one(item: impl Into<Item>) -> Self {
        Self {
            items: vec![item.into()],
            ..Self::default()
        }
    }

    /// Returns the same reports as a batch.
    pub fn into_batch(self) -> Self {
        Self {
            is_batch: true,
            ..self
        }
    }

    /// Whether the document is a batch. A batch may have one report or none.
    pub fn is_batch(&self) -> bool {
        self.is_batch
    }

    /// Whether the call of a report is a hash, because its id cannot be stored.
    pub fn has_hashed_call(&self) -> bool {
        self.has_hashed_call
    }

    /// Returns members of the body that nobody reads, if the query names whom to bill and nothing names
    /// the call: it is from a sender whose members are not known.
    pub fn unrecognised(&self) -> &[String] {
        &self.unrecognised
    }

    /// Returns the reports without their hints.
    pub fn into_reports(self) -> Vec<RawReport> {
        self.items.into_iter().map(|item| item.report).collect()
    }

    /// Converts the fields back into what was sent: [`lossless::restore`].
    pub(super) fn restored(mut self) -> Self {
        for Item { report, .. } in &mut self.items {
            report.map_texts(lossless::restore);
        }
        self
    }

    /// Decodes the fields that are not UTF-8.
    pub fn decode_fields(&mut self, decode: impl Fn(&[u8]) -> String) {
        for Item { report, .. } in &mut self.items {
            report.map_bytes(&decode);
        }
    }

    /// Merges the fields of a query into the report. A batch allows no report fields in the query.
    pub fn bind(&mut self, query: &str, binding: Binding) -> Result<(), BindError> {
        let Binding {
            query_wins,
            takes_hints,
        } = binding;
        if !takes_hints && self.items.iter().any(|item| item.hints.is_cdr) {
            return Err(BindError::CallDetailRecord);
        }
        if self.is_batch {
            let fields: Vec<_> = Parameters::parse(query)?.report().fields().collect();
            if !fields.is_empty() {
                return Err(BindError::Fields(fields));
            }
        } else {
            for Item {
                report,
                hints,
                unread,
            } in &mut self.items
            {
                let pair = [Field::AccountId, Field::CustomerId];
                let names_half = pair.iter().any(|field| report.is_given(*field));
                let parameters = hints.read_query(query)?.report();
                let has_pair = pair.iter().all(|field| parameters.is_given(*field));
                if query_wins {
                    report.overlay(parameters)
                } else {
                    report.fill_from(parameters)
                }
                if has_pair && (query_wins || !names_half) {
                    self.unrecognised = std::mem::take(&mut unread.0);
                }
            }
        }
        if takes_hints {
            for Item { report, hints, .. } in &mut self.items {
                self.has_hashed_call |= std::mem::take(hints).fill(report);
            }
        }
        let names_call = |item: &Item| item.report.is_given(Field::CallSid);
        if !takes_hints || self.items.iter().any(names_call) {
            self.unrecognised.clear();
        }
        Ok(())
    }
}

/// Why a query could not be bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BindError {
    /// The query could not be parsed.
    Read(ReadError),
    /// The query names these report fields, but the body is a batch.
    Fields(Vec<Field>),
    /// The body is a call detail record, which this route does not accept.
    CallDetailRecord,
}

impl From<ReadError> for BindError {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

/// Collects reports while a body is parsed. Stops at [`MAX_ITEMS`], so the rest of a longer batch
/// is never collected.
#[derive(Debug, Default)]
pub(super) struct Items(Vec<Item>);

impl Items {
    pub(super) fn push(&mut self, item: impl Into<Item>) -> Result<(), ReadError> {
        if self.0.len() == MAX_ITEMS {
            return Err(ReadError::TooManyItems);
        }
        let mut item = item.into();
        // A batch takes no fields from a query, so nothing asks what else its items have.
        if !self.0.is_empty() {
            item.unread = Unread::default();
        }
        self.0.push(item);
        Ok(())
    }

    pub(super) fn into_document(self) -> Document {
        Document {
            items: self.0,
            is_batch: true,
            ..Document::default()
        }
    }

    /// Returns the document of a table. Two or more rows are a batch; no rows are one report
    /// without fields, like an empty body.
    pub(super) fn into_rows(mut self, unread: Unread) -> Document {
        if self.0.is_empty() {
            self.0.push(Item {
                unread,
                ..Item::default()
            });
        }
        Document {
            is_batch: self.0.len() > 1,
            items: self.0,
            ..Document::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::billable::RawValue;
    use crate::formats::BodyFormat;

    fn bind(body: &str, query: &str, query_wins: bool) -> Result<RawReport, BindError> {
        let format = BodyFormat::of(None, body.as_bytes()).expect("a format");
        let mut document = format.read(body.as_bytes()).expect("a document");
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
            Some(RawValue::Text(text)) => Some(text.clone()),
            _ => None,
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
        // A blank field counts as not given, so it overrides nothing.
        let [_, _, session, ..] = shown(bind(body, "sessionId=%20", true));
        assert_eq!(session.as_deref(), Some("S1"));
        let list = bind("[{}]", "format=xml&callSid=CA1", true);
        assert_eq!(list, Err(BindError::Fields(vec![Field::CallSid])));
        assert!(bind("[{}]", "format=xml&callSid=", true).is_ok());
    }

    #[test]
    fn a_call_detail_record_gives_call_and_time_despite_the_appended_query() {
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
            format!("{own}&?uuid=a_u-1&callSid=evil?uuid=m%ff"),
        ] {
            assert_eq!(shown(bind(cdr, &query, true)), expected, "{query}");
        }
        // Explicit fields win over the record. Other routes reject the record.
        let [.., call, at] = shown(bind(cdr, "callSid=CA1&occurredAt=now", true));
        assert_eq!((call, at), (some("CA1"), some("now")));
        assert_eq!(bind(cdr, "", false), Err(BindError::CallDetailRecord));
        let [_, customer, ..] = shown(bind("{}", "customerId=cus?uuid=u-1", true));
        assert_eq!(customer, some("cus?uuid=u-1"));
        // FreeSWITCH writes 0 for "never". A record without a uuid gets the appended one.
        let bare = r#"{"variables":{"start_uepoch":"0","start_epoch":"1396984221"}}"#;
        let [_, customer, _, call, at] = shown(bind(bare, "customerId=c?uuid=u%201&a", true));
        assert_eq!(
            (customer, call, at),
            (
                some("c"),
                some("u%201&a"),
                some("2014-04-08T19:10:21.000000Z")
            )
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
    }

    #[test]
    fn a_callback_gives_its_time_and_a_form_may_hold_a_record() {
        let read = |form: &str| {
            let mut document = BodyFormat::Form.read(form.as_bytes()).expect("a form");
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
        assert_eq!(at, some("1521971599"), "it is refused, not taken for now");
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
        assert!(BodyFormat::Form.read(b"cdr=%3Ccdr%2F%3E").is_err());
    }
}
