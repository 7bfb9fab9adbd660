//! Responses as flat records, and as lists of records, in every format.

use sha2::{Digest, Sha256};

use super::value::{Value, pascal};
use super::{Format, csv, xml};
use crate::billable::{Billable, Entry, EntryKind, Field, IdempotencyKey, LogEntry, Report, Text};

/// The names of a billable's members, in JSON order.
pub const BILLABLE: [&str; 11] = [
    "id",
    "accountId",
    "customerId",
    "sessionId",
    "callSid",
    "state",
    "billedAccountId",
    "billedCustomerId",
    "occurredAt",
    "recordedAt",
    "voidReason",
];

/// The names of the members that say who did what to a billable, and when, in JSON order.
pub const PROVENANCE: [&str; 5] = [
    "client",
    "idempotencyKey",
    "attributedAt",
    "voidedAt",
    "voidedBy",
];

/// A flat object: its members are strings, numbers, booleans or lists of strings.
#[derive(Clone, Debug)]
pub struct Record<'a> {
    /// The name of the XML element.
    name: &'static str,
    /// The members with their JSON names, in JSON order.
    members: Vec<(&'static str, Value<'a>)>,
}

impl<'a> Record<'a> {
    /// Creates a record with these members.
    pub fn new(name: &'static str, members: Vec<(&'static str, Value<'a>)>) -> Self {
        Self { name, members }
    }

    /// Creates the record of a report, as a client writes it.
    pub fn report(report: &'a Report) -> Self {
        let fields = report.reported.fields().into_iter();
        let mut members: Vec<_> = fields
            .map(|(field, value)| (field.camel(), Value::text(value)))
            .collect();
        let occurred_at = report.occurred_at.map(|timestamp| timestamp.to_string());
        members.push((Field::OccurredAt.camel(), Value::text(occurred_at)));
        Self::new("NewBillable", members)
    }

    /// Creates the record of a billable. It is the same on every route.
    pub fn billable(billable: &'a Billable) -> Self {
        let Entry {
            billable_id,
            reported,
            occurred_at,
            recorded_at,
            ..
        } = &billable.recorded;
        let [account, customer, session, call] = reported.fields().map(|(_, value)| value);
        let pair = billable.pair();
        let voided = billable.voided.as_ref();
        let text = |text: Option<&'a Text>| Value::text(text.map(Text::as_str));
        let values = [
            Value::text(Some(billable_id.to_string())),
            Value::text(account),
            Value::text(customer),
            Value::text(session),
            Value::text(call),
            Value::text(Some(billable.state().as_str())),
            text(pair.map(|pair| &pair.account_id)),
            text(pair.map(|pair| &pair.customer_id)),
            Value::text(Some(occurred_at.to_string())),
            Value::text(Some(recorded_at.to_string())),
            text(voided.and_then(|entry| entry.reason.as_ref())),
        ];
        Self::new("Billable", BILLABLE.into_iter().zip(values).collect())
    }

    /// Adds who reported and voided a billable, and when it was attributed and voided. Only for a caller
    /// without account limit.
    pub fn with_provenance(mut self, billable: &'a Billable) -> Self {
        let at =
            |entry: Option<&Entry>| Value::text(entry.map(|entry| entry.recorded_at.to_string()));
        let voided = billable.voided.as_deref();
        let values = [
            Value::text(Some(billable.recorded.client.as_str())),
            key_of(&billable.recorded),
            at(billable.attributed.as_deref()),
            at(voided),
            Value::text(voided.map(|entry| entry.client.as_str())),
        ];
        self.members.extend(PROVENANCE.into_iter().zip(values));
        self
    }

    /// Creates the record of an event that is not stored, in a list of billables. A row has the
    /// columns of a billable, and the state `ignored`.
    pub fn ignored(reason: &'static str, format: Format) -> Self {
        let members = match format {
            Format::Csv => {
                let columns = BILLABLE.into_iter().chain(["replayed"]);
                let cell = |name| match name {
                    "state" => Value::text(Some("ignored")),
                    _ => Value::Null,
                };
                columns.map(|name| (name, cell(name))).collect()
            }
            _ => vec![("ignored", Value::text(Some(reason)))],
        };
        Self::new("Billable", members)
    }

    /// Creates the record of a log entry, as the feed shows it. A caller that sees only its own
    /// entries is shown neither the partition and the position, nor who made the entry.
    pub fn log_entry(log_entry: &'a LogEntry, is_limited: bool) -> Self {
        let LogEntry {
            partition,
            position,
            entry,
        } = log_entry;
        let shown = |value: i64| {
            if is_limited {
                Value::Null
            } else {
                Value::Number(value)
            }
        };
        let text = |text: Option<&'a Text>| Value::text(text.map(Text::as_str));
        let mut members = vec![
            ("kind", Value::text(Some(entry.kind.as_str()))),
            ("partition", shown(i64::from(*partition))),
            ("position", shown(*position)),
            (
                "billableId",
                Value::text(Some(entry.billable_id.to_string())),
            ),
        ];
        let fields = entry.reported.fields().into_iter();
        members.extend(fields.map(|(field, value)| (field.camel(), Value::text(value))));
        let pair = entry.pair.as_ref();
        members.extend([
            ("billedAccountId", text(pair.map(|pair| &pair.account_id))),
            ("billedCustomerId", text(pair.map(|pair| &pair.customer_id))),
            (
                "occurredAt",
                Value::text(Some(entry.occurred_at.to_string())),
            ),
            (
                "recordedAt",
                Value::text(Some(entry.recorded_at.to_string())),
            ),
            ("reason", text(entry.reason.as_ref())),
        ]);
        let client = (!is_limited).then(|| entry.client.as_str());
        members.push(("client", Value::text(client)));
        let is_report = entry.kind == EntryKind::Recorded;
        let key = if is_report && !is_limited {
            key_of(entry)
        } else {
            Value::Null
        };
        members.push(("idempotencyKey", key));
        Self::new("LogEntry", members)
    }

    /// Returns the record with one more member at the end.
    pub fn with(mut self, name: &'static str, value: Value<'a>) -> Self {
        self.members.push((name, value));
        self
    }

    /// Writes the record as a body.
    pub fn write(self, format: Format) -> String {
        match format {
            Format::Json => Value::Object(self.members).to_json(),
            Format::Ndjson => Value::Object(self.members).to_json() + "\n",
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

    /// Writes the record as an item of a [`list`].
    pub fn write_item(self, format: Format, is_first: bool) -> String {
        let separated = |object: String| {
            if is_first {
                object
            } else {
                format!(",{object}")
            }
        };
        match format {
            Format::Json => separated(Value::Object(self.members).to_json()),
            Format::Ndjson => Value::Object(self.members).to_json() + "\n",
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

    /// Writes members in alphabetical order, as data contracts do.
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
                Value::Number(value) => xml::member(out, &name, Some(&value.to_string())),
                Value::List(items) => xml::texts(out, &name, items),
                Value::Null | Value::Object(_) => xml::member(out, &name, None),
            }
        }
    }
}

/// The key by which repeats of a report are detected, if there is one.
fn key_of(entry: &Entry) -> Value<'_> {
    Value::text(entry.identity.key().map(IdempotencyKey::as_str))
}

/// Writes billables as rows, and keeps their count and a digest of the output.
#[derive(Clone, Debug)]
pub struct ExportRows {
    format: Format,
    text: String,
    count: usize,
    digest: Sha256,
}

impl ExportRows {
    /// Starts without rows. CSV starts with the header, with a byte order mark if it is for Excel.
    pub fn new(format: Format, is_excel: bool) -> Self {
        let text = match format {
            Format::Csv if is_excel => csv::BYTE_ORDER_MARK.to_owned() + &csv::header(BILLABLE),
            Format::Csv => csv::header(BILLABLE),
            Format::Json | Format::Xml | Format::Jsv | Format::Ndjson => String::new(),
        };
        Self {
            format,
            text,
            count: 0,
            digest: Sha256::new(),
        }
    }

    pub fn write(&mut self, billable: &Billable) {
        let row = Record::billable(billable).write_item(self.format, false);
        self.text.push_str(&row);
        self.count += 1;
    }

    /// Returns what was written since the last call.
    pub fn take(&mut self) -> String {
        self.digest.update(&self.text);
        std::mem::take(&mut self.text)
    }

    /// The number of rows written so far.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Returns the SHA-256 of everything that [`Self::take`] returned, in hexadecimal digits.
    pub fn sha256(self) -> String {
        let digest = self.digest.finalize();
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Returns a list piece by piece, so that it is never held in memory as a whole.
///
/// Its items are records of one kind with the same members. `name` is their XML element, from which
/// the root element is named.
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
        Format::Csv | Format::Ndjson => (String::new(), String::new()),
    };
    std::iter::once(start)
        .chain(items)
        .chain(std::iter::once(end))
}

/// Returns a page: a list with the cursor of the next page, and with the cut that it is of if that is
/// stated. Row formats contain only the items.
pub fn page<I: Iterator<Item = String>>(
    name: &str,
    items: I,
    next_cursor: Option<&str>,
    as_of: Option<&str>,
    format: Format,
) -> impl Iterator<Item = String> + use<I> {
    let ends = [("nextCursor", next_cursor), ("asOf", as_of)].into_iter();
    let ends = ends.filter_map(|(name, text)| Some((name, text?)));
    let (start, end) = match format {
        Format::Csv | Format::Ndjson => (String::new(), String::new()),
        Format::Json => {
            let ends: String = ends
                .map(|(name, text)| format!(",\"{name}\":\"{text}\""))
                .collect();
            ("{\"items\":[".to_owned(), format!("]{ends}}}"))
        }
        Format::Jsv => {
            let ends: String = ends.map(|(name, text)| format!(",{name}:{text}")).collect();
            ("{items:[".to_owned(), format!("]{ends}}}"))
        }
        Format::Xml => {
            let root = format!("ListOf{name}");
            let mut end = "</Items>".to_owned();
            xml::member(&mut end, "NextCursor", next_cursor);
            xml::close(&mut end, &root);
            let mut start = xml::open(&root, xml::NAMESPACE);
            if as_of.is_some() {
                xml::member(&mut start, "AsOf", as_of);
            }
            (start + "<Items>", end)
        }
    };
    std::iter::once(start)
        .chain(items)
        .chain(std::iter::once(end))
}

/// Writes the response to `count` operations that return nothing.
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
        Format::Ndjson => "null\n".repeat(count),
        // Rows without columns are empty.
        Format::Csv => String::new(),
    }
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
            let items = records.map(|(index, record)| record.write_item(format, index == 0));
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
        let written = |cursor: Option<&str>, format| {
            let records = records().into_iter().take(1);
            let items = records.map(|record| record.write_item(format, true));
            page("Billable", items, cursor, None, format).collect::<String>()
        };
        assert!(
            written(Some("c-1"), Format::Json)
                .ends_with(r#""replayed":true}],"nextCursor":"c-1"}"#)
        );
        assert!(written(None, Format::Json).ends_with(r#""replayed":true}]}"#));
        assert!(written(Some("c-1"), Format::Jsv).ends_with("replayed:True}],nextCursor:c-1}"));
        let xml = written(None, Format::Xml);
        assert!(xml.contains("><Items><Billable><CallSid>"));
        assert!(xml.ends_with("</Items><NextCursor i:nil=\"true\" /></ListOfBillable>"));
        assert!(written(Some("c"), Format::Ndjson).ends_with("\"replayed\":true}\n"));
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
