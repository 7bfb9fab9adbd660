//! Answers as flat records of named texts, and their writers.

use std::borrow::Cow;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::{Format, xml};
use crate::billable::{Billable, Entry, Reported, Text};

/// An object whose members are texts. A member without a value is left out of JSON and nil in
/// XML.
#[derive(Clone, Debug)]
pub struct Record<'a> {
    /// The root element in XML.
    name: &'static str,
    /// Members by their JSON names, in the order that JSON gets.
    members: Vec<(&'static str, Option<Cow<'a, str>>)>,
}

impl<'a> Record<'a> {
    /// A record with those members.
    pub fn new(name: &'static str, members: Vec<(&'static str, Option<Cow<'a, str>>)>) -> Self {
        Self { name, members }
    }

    /// The billable as every route shows it.
    pub fn billable(billable: &'a Billable) -> Self {
        let Entry {
            id,
            reported,
            occurred_at,
            recorded_at,
            ..
        } = &billable.recorded;
        let Reported {
            account_id,
            customer_id,
            session_id,
            call_sid,
        } = reported;
        let pair = billable.pair();
        let text = |text: Option<&'a Text>| text.map(|text| Cow::Borrowed(text.as_str()));
        Self::new(
            "Billable",
            vec![
                ("id", Some(id.to_string().into())),
                ("accountId", text(account_id.as_ref())),
                ("customerId", text(customer_id.as_ref())),
                ("sessionId", text(session_id.as_ref())),
                ("callSid", text(call_sid.as_ref())),
                ("state", Some(billable.state().as_str().into())),
                ("billedAccountId", text(pair.map(|pair| &pair.account_id))),
                ("billedCustomerId", text(pair.map(|pair| &pair.customer_id))),
                ("occurredAt", Some(occurred_at.to_string().into())),
                ("recordedAt", Some(recorded_at.to_string().into())),
                (
                    "voidReason",
                    text(
                        billable
                            .voided
                            .as_ref()
                            .and_then(|entry| entry.reason.as_ref()),
                    ),
                ),
            ],
        )
    }

    /// The record as a body.
    pub fn write(&self, format: Format) -> String {
        match format {
            Format::Json => serde_json::to_string(self).expect("texts serialise"),
            Format::Xml => self.write_xml(),
        }
    }

    /// Members in alphabetical order, as data contracts have them.
    fn write_xml(&self) -> String {
        let mut members: Vec<_> = self
            .members
            .iter()
            .map(|(name, value)| (pascal(name), value))
            .collect();
        members.sort();
        let mut out = xml::open(self.name, xml::NAMESPACE);
        for (name, value) in members {
            xml::member(&mut out, &name, value.as_deref());
        }
        xml::close(&mut out, self.name);
        out
    }
}

impl Serialize for Record<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in &self.members {
            if let Some(value) = value {
                map.serialize_entry(name, value)?;
            }
        }
        map.end()
    }
}

fn pascal(camel: &str) -> String {
    let (first, rest) = camel.split_at(1);
    first.to_ascii_uppercase() + rest
}
