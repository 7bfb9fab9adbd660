//! Reads a row of a file: a billable as `export` writes it, or a report whose columns are named on
//! the command line.

use uuid::Uuid;

use crate::billable::identity::random_id;
use crate::billable::{
    BillableState, ClientName, Entry, Field, IdempotencyKey, Identity, Pair, RawReport, RawValue,
    Report, Text, Timestamp,
};
use crate::cli::arguments::RowFormat;
use crate::cli::records::Row;
use crate::formats::csv::unguarded;

/// The log entry that a row describes, and its void.
#[derive(Debug)]
pub(super) struct Meant {
    /// The entry that records the billable.
    pub(super) entry: Entry,
    /// `Some` if the billable is voided, with the reason if there is one.
    pub(super) voided: Option<Option<Text>>,
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

/// How the rows of this import are read.
#[derive(Debug)]
pub(super) struct Reading {
    /// Columns with other names than their fields.
    pub(super) columns: Vec<(Column, String)>,
    /// Values that apply to every row.
    pub(super) values: Vec<(Column, String)>,
    /// The client that the entries belong to.
    pub(super) client: ClientName,
}

impl Reading {
    /// Returns the entry of a row, or the reason to refuse the row.
    pub(super) fn read(
        &self,
        row: &Row,
        format: RowFormat,
        now: Timestamp,
    ) -> Result<Meant, String> {
        let is_told = !self.columns.is_empty() || !self.values.is_empty();
        if !is_told && row.has("id") && row.has("state") {
            return self.billable(row, format, now);
        }
        let entry = self.report(row, now)?;
        let voided = None;
        Ok(Meant { entry, voided })
    }

    /// Reads an exported billable, which keeps its id, however that id was generated.
    fn billable(&self, row: &Row, format: RowFormat, now: Timestamp) -> Result<Meant, String> {
        let text = |name| {
            let text = row.text(name)?;
            Ok::<_, String>(text.map(|text| match format {
                RowFormat::Csv => unguarded(text),
                RowFormat::Ndjson => text,
            }))
        };
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
        })
    }

    /// Reads a report. It gets the identity that it would have if its sender had sent it.
    fn report(&self, row: &Row, now: Timestamp) -> Result<Entry, String> {
        let mut raw = RawReport::default();
        for field in Field::ALL {
            raw.set(field, self.given(row, Column::Field(field), field.camel())?);
        }
        let key = match self.given(row, Column::Key, "")? {
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
        let report = parse(raw, now)?;
        let identity = Identity::of(key, None, &report.reported);
        if identity == Identity::None {
            return Err(
                "the row has neither a callSid nor a key, so importing the file again would store it again"
                    .to_owned(),
            );
        }
        let id = identity.id(&self.client, &report.reported, || random_id(now));
        Ok(Entry::recorded(
            id,
            report,
            identity,
            self.client.clone(),
            now,
        ))
    }

    /// Returns the value from --set or else the unchanged cell of the column from --map, which
    /// defaults to `name`. The key has no default column.
    fn given(&self, row: &Row, column: Column, name: &str) -> Result<Option<RawValue>, String> {
        let of = |list: &[(Column, String)]| {
            let mut found = list.iter().filter(|(known, _)| *known == column);
            found.next().map(|(_, text)| text.clone())
        };
        if let Some(value) = of(&self.values) {
            return Ok(Some(RawValue::Text(value)));
        }
        match of(&self.columns) {
            Some(column) => row.get(&column).map(Option::<&RawValue>::cloned),
            None if column == Column::Key => Ok(None),
            None => row.get(name).map(Option::<&RawValue>::cloned),
        }
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
