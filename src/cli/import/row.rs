//! What a row of a file says: a billable as `export` writes it, or a report in columns that the
//! command line names.

use uuid::Uuid;

use crate::billable::identity::random_id;
use crate::billable::{
    BillableState, ClientName, Entry, Field, IdempotencyKey, Identity, Pair, RawReport, RawValue,
    Report, Text, Timestamp,
};
use crate::cli::arguments::RowFormat;
use crate::cli::records::Row;
use crate::formats::csv::unguarded;

/// A row as an entry of the log.
#[derive(Debug)]
pub(super) struct Meant {
    /// The entry that records it.
    pub(super) entry: Entry,
    /// Whether it is voided, and why.
    pub(super) voided: Option<Option<Text>>,
}

/// What a column or a value of the command line stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Field(Field),
    Key,
}

impl Column {
    /// The column of that name, in any letter case.
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
    /// Columns by other names than those of the fields.
    pub(super) columns: Vec<(Column, String)>,
    /// Values that every row has.
    pub(super) values: Vec<(Column, String)>,
    /// Whose the entries are.
    pub(super) client: ClientName,
}

impl Reading {
    /// The entry of a row, or why there is none.
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

    /// A billable: its id is its identity, whatever made it.
    fn billable(&self, row: &Row, format: RowFormat, now: Timestamp) -> Result<Meant, String> {
        let text = |name| {
            let text = row.text(name)?;
            Ok::<_, String>(text.map(|text| match format {
                RowFormat::Csv => unguarded(text),
                RowFormat::Ndjson => text,
            }))
        };
        let required = |name| text(name)?.ok_or_else(|| format!("it has no {name}"));
        let named = |name| {
            let parsed = text(name)?.map(|text| Text::named(name, text.to_owned()));
            parsed.transpose().map_err(|(_, message)| message)
        };
        let id = Uuid::parse_str(required("id")?).map_err(|_| "its id is not a UUID".to_owned())?;
        let state = required("state")?;
        let state = BillableState::from_name(state)
            .ok_or_else(|| "its state must be billable, unattributed or voided".to_owned())?;
        let recorded_at = timestamp("recordedAt", required("recordedAt")?)?;
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
            _ => return Err("it bills half of a pair".to_owned()),
        };
        let reason = named("voidReason")?;
        match (state, &pair, &reason) {
            (BillableState::Voided, ..) => {}
            (BillableState::Billable, Some(_), None)
            | (BillableState::Unattributed, None, None) => {}
            _ => return Err(format!("it cannot be {} as it stands", state.as_str())),
        }
        let identity = Identity::of(None, None, &report.reported);
        let recorded = Entry::recorded(id, report, identity, self.client.clone(), recorded_at);
        Ok(Meant {
            entry: Entry { pair, ..recorded },
            voided: (state == BillableState::Voided).then_some(reason),
        })
    }

    /// A report, recognised as if its sender had sent it here.
    fn report(&self, row: &Row, now: Timestamp) -> Result<Entry, String> {
        let mut raw = RawReport::default();
        for field in Field::ALL {
            raw.set(field, self.given(row, Column::Field(field), field.camel())?);
        }
        let key = match self.given(row, Column::Key, "")? {
            Some(RawValue::Text(key)) if !key.trim().is_empty() => {
                let key = IdempotencyKey::parse(key.as_bytes());
                Some(key.ok_or_else(|| {
                    "its key must be 1 to 255 visible ASCII characters".to_owned()
                })?)
            }
            Some(RawValue::Structure) => return Err("its key must be a text".to_owned()),
            Some(RawValue::Text(_)) | None => None,
        };
        let report = parse(raw, now)?;
        let identity = Identity::of(key, None, &report.reported);
        if identity == Identity::None {
            return Err(
                "it has neither a callSid nor a key: imported again, it would be stored again"
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

    /// What a row gives for a column: the command line's value, or a cell as it is. A column is
    /// the one that the command line names, else the one that has the field's `name`.
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

/// A timestamp that the log can have.
fn timestamp(name: &str, text: &str) -> Result<Timestamp, String> {
    let timestamp = Timestamp::parse(text).filter(|timestamp| *timestamp >= Timestamp::MIN);
    timestamp.ok_or_else(|| format!("its {name} must be an RFC 3339 timestamp of 1970 or later"))
}
