//! Answers as flat records, and lists of them, in every format.

use std::borrow::Cow;

use super::value::Value;
use super::{Format, csv, xml};
use crate::billable::{Billable, Entry, Field, Report, Reported, Text};

/// An object whose members are texts or booleans.
#[derive(Clone, Debug)]
pub struct Record<'a> {
    /// The element in XML.
    name: &'static str,
    /// Members by their JSON names, in the order that JSON gets.
    members: Vec<(&'static str, Value<'a>)>,
}

impl<'a> Record<'a> {
    /// A record with those members.
    pub fn new(name: &'static str, members: Vec<(&'static str, Value<'a>)>) -> Self {
        Self { name, members }
    }

    /// A report as a client writes it.
    pub fn report(report: &'a Report) -> Self {
        let fields = report.reported.fields().into_iter();
        let mut members: Vec<_> = fields
            .map(|(field, value)| (field.camel(), Value::text(value)))
            .collect();
        let occurred_at = report.occurred_at.map(|instant| instant.to_string());
        members.push((Field::OccurredAt.camel(), Value::text(occurred_at)));
        Self::new("NewBillable", members)
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
        let text = |text: Option<&'a Text>| Value::text(text.map(Text::as_str));
        let voided = billable.voided.as_ref();
        let word = |word: Cow<'a, str>| Value::Text(word);
        Self::new(
            "Billable",
            vec![
                ("id", word(id.to_string().into())),
                ("accountId", text(account_id.as_ref())),
                ("customerId", text(customer_id.as_ref())),
                ("sessionId", text(session_id.as_ref())),
                ("callSid", text(call_sid.as_ref())),
                ("state", word(billable.state().as_str().into())),
                ("billedAccountId", text(pair.map(|pair| &pair.account_id))),
                ("billedCustomerId", text(pair.map(|pair| &pair.customer_id))),
                ("occurredAt", word(occurred_at.to_string().into())),
                ("recordedAt", word(recorded_at.to_string().into())),
                (
                    "voidReason",
                    text(voided.and_then(|entry| entry.reason.as_ref())),
                ),
            ],
        )
    }

    /// The record with one more member at its end.
    pub fn with(mut self, name: &'static str, value: Value<'a>) -> Self {
        self.members.push((name, value));
        self
    }

    /// The record as a body.
    pub fn write(self, format: Format) -> String {
        match format {
            Format::Json => Value::Object(self.members).to_json(),
            Format::Jsv => Value::Object(self.members).to_jsv(),
            Format::Xml => {
                let mut out = xml::open(self.name, xml::NAMESPACE);
                self.write_members(&mut out);
                xml::close(&mut out, self.name);
                out
            }
            Format::Csv => csv::write(&self.members),
        }
    }

    /// The record as an item of a [`list`].
    pub fn write_item(self, format: Format, is_first: bool) -> String {
        let separated = |object: String| match is_first {
            true => object,
            false => format!(",{object}"),
        };
        match format {
            Format::Json => separated(Value::Object(self.members).to_json()),
            Format::Jsv => separated(Value::Object(self.members).to_jsv()),
            Format::Xml => {
                let mut out = format!("<{}>", self.name);
                self.write_members(&mut out);
                xml::close(&mut out, self.name);
                out
            }
            Format::Csv if is_first => csv::write(&self.members),
            Format::Csv => csv::write_row(&self.members),
        }
    }

    /// Members in alphabetical order, as data contracts have them.
    fn write_members(&self, out: &mut String) {
        let mut members: Vec<_> = self
            .members
            .iter()
            .map(|(name, value)| (pascal(name), value))
            .collect();
        members.sort_by(|one, other| one.0.cmp(&other.0));
        for (name, value) in members {
            match value {
                Value::Text(text) => xml::member(out, &name, Some(text)),
                Value::Bool(value) => xml::member(out, &name, Some(&value.to_string())),
                Value::Null | Value::List(_) | Value::Object(_) => xml::member(out, &name, None),
            }
        }
    }
}

/// A list, piece by piece, so that nobody has to hold the whole of it. Its items are records of
/// one kind with the same members; `name` is their element in XML, where an empty list needs it.
pub fn list(
    name: &str,
    items: impl Iterator<Item = String>,
    format: Format,
) -> impl Iterator<Item = String> {
    let (start, end) = match format {
        Format::Json | Format::Jsv => ("[".to_owned(), "]".to_owned()),
        Format::Xml => {
            let root = format!("ArrayOf{name}");
            let mut end = String::new();
            xml::close(&mut end, &root);
            (xml::open(&root, xml::NAMESPACE), end)
        }
        Format::Csv => (String::new(), String::new()),
    };
    std::iter::once(start)
        .chain(items)
        .chain(std::iter::once(end))
}

/// The answer to `count` operations that return nothing.
pub fn write_nulls(count: usize, format: Format) -> String {
    match format {
        Format::Json => Value::List(vec![Value::Null; count]).to_json(),
        Format::Jsv => Value::List(vec![Value::Null; count]).to_jsv(),
        Format::Xml => {
            let mut out = xml::open("ArrayOfanyType", xml::ARRAYS);
            out.push_str(&"<anyType i:nil=\"true\" />".repeat(count));
            xml::close(&mut out, "ArrayOfanyType");
            out
        }
        // Rows without columns.
        Format::Csv => String::new(),
    }
}

/// A JSON name as .NET writes it.
pub(super) fn pascal(camel: &str) -> String {
    let (first, rest) = camel.split_at(1);
    first.to_ascii_uppercase() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records() -> Vec<Record<'static>> {
        let record = |id: &'static str, call: Option<&'static str>, replayed| {
            Record::new(
                "Billable",
                vec![
                    ("id", Value::text(Some(id))),
                    ("callSid", Value::text(call)),
                    ("replayed", Value::Bool(replayed)),
                ],
            )
        };
        vec![
            record("1", Some("a,\"b\":\n"), true),
            record("2", None, false),
        ]
    }

    #[test]
    fn a_list_is_written_in_every_format() {
        let write = |format| {
            let records = records().into_iter().enumerate();
            let items = records.map(|(place, record)| record.write_item(format, place == 0));
            list("Billable", items, format).collect::<String>()
        };
        assert_eq!(
            write(Format::Json),
            r#"[{"id":"1","callSid":"a,\"b\":\n","replayed":true},{"id":"2","replayed":false}]"#
        );
        assert_eq!(
            write(Format::Jsv),
            "[{id:1,callSid:\"a,\"\"b\"\":\n\",replayed:True},{id:2,replayed:False}]"
        );
        assert_eq!(
            write(Format::Csv),
            "Id,CallSid,Replayed\r\n1,\"a,\"\"b\"\":\n\",True\r\n2,,False\r\n"
        );
        assert!(write(Format::Xml).ends_with(concat!(
            "Voice.Api.Billing\"><Billable><CallSid>a,\"b\":\n</CallSid><Id>1</Id><Replayed>true</Replayed></Billable>",
            "<Billable><CallSid i:nil=\"true\" /><Id>2</Id><Replayed>false</Replayed></Billable></ArrayOfBillable>"
        )));
        let empty = |format| list("Billable", std::iter::empty(), format).collect::<String>();
        assert_eq!(empty(Format::Json), "[]");
        assert_eq!(empty(Format::Csv), "");
        assert!(empty(Format::Xml).ends_with("></ArrayOfBillable>"));
    }

    #[test]
    fn operations_that_return_nothing_are_counted() {
        assert_eq!(write_nulls(2, Format::Json), "[null,null]");
        assert_eq!(write_nulls(0, Format::Json), "[]");
        assert!(write_nulls(2, Format::Xml).ends_with(concat!(
            "xmlns=\"http://schemas.microsoft.com/2003/10/Serialization/Arrays\">",
            "<anyType i:nil=\"true\" /><anyType i:nil=\"true\" /></ArrayOfanyType>"
        )));
    }
}
