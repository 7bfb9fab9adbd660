//! Reads a row of a file: a billable as `export` writes it, or a report whose columns are named on
//! the command line.

use uuid::Uuid;

use crate::billable::identity::random_id;
use crate::billable::{
    BillableState, ClientName, Entry, Field, IdempotencyKey, Identity, Pair, RawReport, RawValue,
    Report, Text, Timestamp,
};
use crate::cli::records::{FileReader, Named, Row, trimmed};
use crate::senders::{Event, Mapped};

/// The log entry that a row describes, and its void.
#[derive(Debug)]
pub(super) struct Meant {
    /// The entry that records the billable.
    pub(super) entry: Entry,
    /// `Some` if the billable is voided, with the reason if there is one.
    pub(super) voided: Option<Option<Text>>,
    /// Whether the row says when the call happened.
    pub(super) is_timed: bool,
    /// Whether blanks around a value were taken off.
    pub(super) is_trimmed: bool,
    /// Whether the zone's clocks show the local time twice or never.
    pub(super) is_ambiguous: bool,
}

/// A report of a row, before it is validated.
#[derive(Debug, Default)]
struct Found {
    report: RawReport,
    key: Option<RawValue>,
    is_ambiguous: bool,
}

/// A field of a report, or the idempotency key, as named on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Field(Field),
    Key,
}

impl Column {
    /// Returns the field or the key with this name, in any letter case.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case("key") {
            Some(Self::Key)
        } else {
            Field::from_name(name).map(Self::Field)
        }
    }
}

/// How the rows of this import become entries.
#[derive(Debug)]
pub(super) struct Reading {
    /// The column of the idempotency key.
    pub(super) key: Option<String>,
    /// The fields that have columns.
    pub(super) mapped: Vec<Field>,
    /// Values that apply to every row.
    pub(super) values: Vec<(Column, String)>,
    /// The client that the entries belong to.
    pub(super) client: ClientName,
    pub(super) has_sender: bool,
    pub(super) trims: bool,
}

impl Reading {
    /// Returns what each record of a row describes, or the reason to refuse the row. A record is
    /// `None` if a condition of the command line or of the sender's profile leaves it out.
    pub(super) fn read(
        &self,
        file: &FileReader,
        row: &Row,
        now: Timestamp,
    ) -> Result<Vec<Option<Meant>>, String> {
        let events = file.events(row)?;
        let named = if self.has_sender {
            None
        } else {
            Some(row.named()?)
        };
        let has_all = |names: &[&str]| {
            let named = named.as_ref();
            named.is_some_and(|named| names.iter().all(|name| named.has(name)))
        };
        if self.is_told() && has_all(&["id", "state", "recordedAt"]) {
            let reason = "the row is a billable of an export: leave --map and --set out, so that its id, its key and its void are kept";
            return Err(reason.to_owned());
        }
        if let Some(named) = named
            .as_ref()
            .filter(|_| !self.is_told() && has_all(&["id", "state"]))
        {
            let is_wanted = !matches!(events.as_deref(), Some([Event::Ignored { .. }]));
            let billable = is_wanted.then(|| self.billable(named, now));
            return Ok(vec![billable.transpose()?]);
        }
        let events = events.unwrap_or_else(|| vec![Event::Report(Mapped::default())]);
        let meaning = |event| match event {
            Event::Ignored { .. } => Ok(None),
            Event::Report(mapped) => {
                let found = self.found(file, row, named.as_ref(), mapped)?;
                Ok(Some(self.report(found, now)?))
            }
        };
        events.into_iter().map(meaning).collect()
    }

    /// Whether the command line says something about fields.
    fn is_told(&self) -> bool {
        self.key.is_some() || !self.mapped.is_empty() || !self.values.is_empty()
    }

    /// Reads an exported billable, which keeps its id, however that id was generated.
    fn billable(&self, row: &Named, now: Timestamp) -> Result<Meant, String> {
        let text = |name| row.text(name);
        let required = |name| text(name)?.ok_or_else(|| format!("the row has no {name}"));
        let named = |name| {
            let parsed = text(name)?.map(|text| Text::named(name, text.to_owned()));
            parsed.transpose().map_err(|(_, message)| message)
        };
        let id = Uuid::parse_str(required("id")?)
            .map_err(|_| "the row's id is not a UUID".to_owned())?;
        let state = required("state")?;
        let state = BillableState::from_name(state)
            .ok_or_else(|| "the row's state must be billable, unattributed or voided".to_owned())?;
        let recorded_at = timestamp("recordedAt", required("recordedAt")?)?;
        if recorded_at > now {
            return Err("the row's recordedAt is later than now".to_owned());
        }
        let mut raw = RawReport::default();
        for field in Field::ALL {
            raw.set(
                field,
                text(field.camel())?.map(|text| RawValue::Text(text.to_owned())),
            );
        }
        required("occurredAt")?;
        let report = parse(raw, now)?;
        let pair = match (named("billedAccountId")?, named("billedCustomerId")?) {
            (Some(account_id), Some(customer_id)) => Some(Pair {
                account_id,
                customer_id,
            }),
            (None, None) => None,
            _ => {
                return Err(
                    "the row has only one of billedAccountId and billedCustomerId".to_owned(),
                );
            }
        };
        let reason = named("voidReason")?;
        match (state, &pair, &reason) {
            (BillableState::Voided, ..) => {}
            (BillableState::Billable, Some(_), None)
            | (BillableState::Unattributed, None, None) => {}
            _ => {
                return Err(format!(
                    "the row's fields contradict state {}",
                    state.as_str()
                ));
            }
        }
        let identity = Identity::of(None, None, &report.reported);
        let recorded = Entry::recorded(id, report, identity, self.client.clone(), recorded_at);
        if recorded.pair.is_some() && pair.is_none() {
            return Err("the row names an account and a customer but bills nobody".to_owned());
        }
        if pair.as_ref().is_some_and(|pair| !recorded.accepts(pair)) {
            return Err("the row bills another account or customer than it names".to_owned());
        }
        Ok(Meant {
            entry: Entry { pair, ..recorded },
            voided: (state == BillableState::Voided).then_some(reason),
            is_timed: true,
            is_trimmed: false,
            is_ambiguous: false,
        })
    }

    /// Completes what a mapping found by our own names and by the values from --set.
    fn found(
        &self,
        file: &FileReader,
        row: &Row,
        named: Option<&Named>,
        mapped: Mapped,
    ) -> Result<Found, String> {
        let set = |column| {
            let mut values = self.values.iter();
            let found = values.find(|(known, _)| *known == column);
            found.map(|(_, text)| RawValue::Text(text.clone()))
        };
        let errors = mapped.errors.into_iter();
        let errors = errors.filter(|error| set(Column::Field(error.field)).is_none());
        let errors: Vec<_> = errors.map(|error| error.message).collect();
        if !errors.is_empty() {
            return Err(errors.join("; "));
        }
        let mut found = Found {
            report: mapped.report,
            key: set(Column::Key),
            is_ambiguous: mapped.is_ambiguous,
        };
        for field in Field::ALL {
            if let Some(value) = set(Column::Field(field)) {
                found.report.set(field, Some(value));
            } else if let Some(named) = named
                && !self.mapped.contains(&field)
            {
                let value = named.get(field.camel())?.cloned();
                let value = match (field, value) {
                    (Field::OccurredAt, Some(RawValue::Text(text))) if !text.trim().is_empty() => {
                        let (timestamp, is_ambiguous) = file
                            .time
                            .parse_told(&text)
                            .map_err(|what| format!("occurredAt {what}"))?;
                        found.is_ambiguous = is_ambiguous;
                        Some(RawValue::Text(timestamp.to_string()))
                    }
                    // An empty time is not now: the row may be none of a call.
                    (Field::OccurredAt, None | Some(RawValue::Text(_)))
                        if named.has(field.camel()) =>
                    {
                        return Err("the row has no occurredAt".to_owned());
                    }
                    (_, value) => value,
                };
                found.report.set(field, value);
            }
        }
        if let Some(column) = &self.key {
            let is_blank =
                |value: &RawValue| matches!(value, RawValue::Text(text) if text.trim().is_empty());
            found.key = row.value_at(column)?.filter(|value| !is_blank(value));
            if found.key.is_none() {
                return Err(format!("key is not given at {column}"));
            }
        }
        Ok(found)
    }

    /// Returns the entry of a report. It gets the identity that it would have if its sender had sent
    /// it.
    fn report(&self, mut found: Found, now: Timestamp) -> Result<Meant, String> {
        let mut is_trimmed = false;
        let mut trim = |value: RawValue| {
            let (value, had_blanks) = if self.trims {
                trimmed(value)
            } else {
                (value, false)
            };
            is_trimmed |= had_blanks;
            value
        };
        for field in Field::ALL {
            let value = found.report.get(field).cloned().map(&mut trim);
            found.report.set(field, value);
        }
        let key = match found.key.map(&mut trim) {
            Some(RawValue::Text(key)) if !key.trim().is_empty() => {
                let key = IdempotencyKey::parse(key.as_bytes());
                Some(key.ok_or_else(|| {
                    "the row's key must be 1 to 255 visible ASCII characters".to_owned()
                })?)
            }
            Some(RawValue::Structure | RawValue::Bytes(_)) => {
                return Err("the row's key must be a string".to_owned());
            }
            Some(RawValue::Text(_)) | None => None,
        };
        let report = parse(found.report, now)?;
        let identity = Identity::of(key, None, &report.reported);
        if identity == Identity::None {
            return Err(
                "the row has neither a callSid nor a key, so importing the file again would store it again"
                    .to_owned(),
            );
        }
        let is_timed = report.occurred_at.is_some();
        let id = identity.id(&self.client, &report.reported, || random_id(now));
        Ok(Meant {
            entry: Entry::recorded(id, report, identity, self.client.clone(), now),
            voided: None,
            is_timed,
            is_trimmed,
            is_ambiguous: found.is_ambiguous,
        })
    }
}

fn parse(raw: RawReport, now: Timestamp) -> Result<Report, String> {
    Report::parse(raw, now).map_err(|errors| {
        let messages: Vec<_> = errors.into_iter().map(|error| error.message).collect();
        messages.join("; ")
    })
}

/// Parses a timestamp that the log can hold.
fn timestamp(name: &str, text: &str) -> Result<Timestamp, String> {
    let timestamp = Timestamp::parse(text).filter(|timestamp| *timestamp >= Timestamp::MIN);
    timestamp
        .ok_or_else(|| format!("the row's {name} must be an RFC 3339 timestamp from 1970 or later"))
}
