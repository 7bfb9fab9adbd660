//! A parsed body, and how the fields of a query are merged into it.

use super::parameters::Parameters;
use super::{ReadError, lossless};
use crate::billable::{Field, RawReport};

/// The maximum number of reports in one body.
pub const MAX_ITEMS: usize = 10_000;

/// A parsed body: one report, or a batch of reports in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    items: Vec<Item>,
    is_batch: bool,
    unrecognised: Vec<String>,
}

/// A report, and what else its body has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) report: RawReport,
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

/// How a query binds to a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// Its fields override those of the body.
    Override,
    /// Its fields fill in missing ones.
    Fill,
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

    /// The number of reports.
    pub fn count(&self) -> usize {
        self.items.len()
    }

    /// Whether the document is a batch. A batch may have one report or none.
    pub fn is_batch(&self) -> bool {
        self.is_batch
    }

    /// Returns members of the body that nobody reads, if the URL names whom to bill and nothing names
    /// the call: it is from a sender whose members are not known.
    pub fn unrecognised(&self) -> &[String] {
        &self.unrecognised
    }

    /// Returns the reports.
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
    /// `names_pair` says whether something else in the URL names whom to bill.
    pub fn bind(
        &mut self,
        query: &str,
        binding: Binding,
        names_pair: bool,
    ) -> Result<(), BindError> {
        if self.is_batch {
            let fields: Vec<_> = Parameters::parse(query)?.report().fields().collect();
            if !fields.is_empty() {
                return Err(BindError::Fields(fields));
            }
            return Ok(());
        }
        for Item { report, unread } in &mut self.items {
            let pair = [Field::AccountId, Field::CustomerId];
            let names_half = pair.iter().any(|field| report.is_given(*field));
            let query = Parameters::parse(query)?;
            let parameters = query.report();
            let has_pair = pair.iter().all(|field| parameters.is_given(*field));
            let has_subject = names_pair || has_pair || parameters.is_given(Field::SessionId);
            let is_overriding = binding == Binding::Override;
            if is_overriding {
                report.overlay(parameters)
            } else {
                report.fill_from(parameters)
            }
            if has_subject && (is_overriding || !names_half) {
                self.unrecognised = std::mem::take(&mut unread.0);
            }
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
        let binding = if query_wins {
            Binding::Override
        } else {
            Binding::Fill
        };
        document.bind(query, binding, false)?;
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
}
