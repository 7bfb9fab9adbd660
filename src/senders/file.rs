//! A profile's file: its form.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

use super::address::Address;
use super::condition::{Absent, RawCondition};
use super::rule::Encoding;
use crate::billable::Field;

/// The kind of document that a source reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Json,
    Form,
    Xml,
    Csv,
    /// The parameters of the URL; the body does not count.
    Query,
}

/// How a sender checks that a URL wants its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Handshake {
    /// Abuse protection of CloudEvents' webhooks: `OPTIONS` with `WebHook-Request-Origin`.
    CloudEvents,
}

/// What becomes of a document behind the last value that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Rest {
    /// It is not read, and need not be well-formed: callers choose it, and the sender does not escape
    /// it. The first one of repeated elements counts.
    Ignored,
}

/// A response.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reply {
    pub status: u16,
    #[serde(rename = "type")]
    pub content_type: String,
    /// `{url}` stands for the request's own URL.
    pub body: String,
}

/// A request as the sender writes it, and what becomes of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// The page that it was written from, and the date.
    pub page: String,
    /// The request: its first line, its headers, an empty line and its body.
    pub request: String,
    pub result: Expected,
}

/// What becomes of an example.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expected {
    pub account_id: Option<String>,
    pub customer_id: Option<String>,
    pub session_id: Option<String>,
    pub call_sid: Option<String>,
    pub occurred_at: Option<String>,
    /// The conditions by which the event is ignored: `only` or `answered`.
    pub ignored: Option<String>,
    /// The code of the error.
    pub error: Option<String>,
}

/// A profile as its file writes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawProfile {
    pub(super) name: String,
    pub(super) title: String,
    pub(super) docs: String,
    #[serde(default)]
    pub(super) automatic: bool,
    #[serde(default)]
    pub(super) appended: Vec<String>,
    pub(super) reply: Option<Reply>,
    pub(super) handshake: Option<Handshake>,
    pub(super) source: Vec<RawSource>,
    #[serde(default)]
    pub(super) setup: String,
    #[serde(default)]
    pub(super) example: Vec<Example>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RawSource {
    pub(super) kind: Kind,
    pub(super) within: Option<Address>,
    pub(super) records: Option<String>,
    pub(super) header: Option<bool>,
    pub(super) rest: Option<Rest>,
    #[serde(default)]
    pub(super) when: Vec<RawCondition>,
    #[serde(default)]
    pub(super) only: Vec<RawCondition>,
    #[serde(default)]
    pub(super) answered: Vec<RawCondition>,
    account_id: Option<RawRule>,
    customer_id: Option<RawRule>,
    session_id: Option<RawRule>,
    call_sid: Option<RawRule>,
    occurred_at: Option<RawRule>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRule {
    #[serde(default)]
    pub(super) at: Vec<Address>,
    #[serde(default)]
    pub(super) all: Vec<Address>,
    pub(super) join: Option<String>,
    pub(super) decode: Option<Encoding>,
    #[serde(default)]
    pub(super) unset: Vec<String>,
    #[serde(default)]
    pub(super) absent: Absent,
    pub(super) format: Option<String>,
    pub(super) zone: Option<String>,
    #[serde(default)]
    pub(super) zones: BTreeMap<String, String>,
    pub(super) minus: Option<Address>,
}

/// The name of a profile that only a mapping makes.
pub(super) const MAPPING: &str = "mapping";

impl RawProfile {
    /// A profile that only a mapping makes.
    pub(super) fn free(source: RawSource) -> Self {
        Self {
            name: MAPPING.to_owned(),
            title: "Mapping".to_owned(),
            docs: String::new(),
            automatic: false,
            appended: Vec::new(),
            reply: None,
            handshake: None,
            source: vec![source],
            setup: String::new(),
            example: Vec::new(),
        }
    }
}

impl RawSource {
    /// A source that reads this kind of document, without rules.
    pub(super) fn of(kind: Kind) -> Self {
        Self {
            kind,
            within: None,
            records: None,
            header: None,
            rest: None,
            when: Vec::new(),
            only: Vec::new(),
            answered: Vec::new(),
            account_id: None,
            customer_id: None,
            session_id: None,
            call_sid: None,
            occurred_at: None,
        }
    }

    /// Returns where this source has what a mapping has at an address: a sender that sends forms or
    /// queries has the same names in both. `None` if it has nothing there.
    pub(super) fn readable(&self, at: &Address) -> Option<Address> {
        let is_form = |within: &Option<Address>| matches!(within, Some(Address::Form(_)));
        match (at, self.kind) {
            (Address::Form(name), Kind::Query) => Some(Address::Query(name.clone())),
            (Address::Json(_), Kind::Json)
            | (Address::Xml(_), Kind::Xml)
            | (Address::Column(_), Kind::Csv)
            | (Address::Form(_), Kind::Form)
            | (Address::Query(_) | Address::Header(_) | Address::Appended, _) => Some(at.clone()),
            (Address::Form(_), _) if is_form(&self.within) => Some(at.clone()),
            _ => None,
        }
    }

    pub(super) fn rule(&self, field: Field) -> Option<&RawRule> {
        match field {
            Field::AccountId => self.account_id.as_ref(),
            Field::CustomerId => self.customer_id.as_ref(),
            Field::SessionId => self.session_id.as_ref(),
            Field::CallSid => self.call_sid.as_ref(),
            Field::OccurredAt => self.occurred_at.as_ref(),
        }
    }

    pub(super) fn rule_mut(&mut self, field: Field) -> &mut Option<RawRule> {
        match field {
            Field::AccountId => &mut self.account_id,
            Field::CustomerId => &mut self.customer_id,
            Field::SessionId => &mut self.session_id,
            Field::CallSid => &mut self.call_sid,
            Field::OccurredAt => &mut self.occurred_at,
        }
    }
}

impl RawRule {
    /// A rule for another address than the old one's. The sender encodes all its values alike.
    pub(super) fn instead(old: Option<&Self>, address: Address) -> Self {
        Self {
            at: vec![address],
            decode: old.and_then(|old| old.decode),
            ..Self::default()
        }
    }

    pub(super) fn is_time(&self) -> bool {
        self.format.is_some()
            || self.zone.is_some()
            || !self.zones.is_empty()
            || self.minus.is_some()
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json => "JSON",
            Self::Form => "a form",
            Self::Xml => "XML",
            Self::Csv => "CSV",
            Self::Query => "the query",
        })
    }
}
