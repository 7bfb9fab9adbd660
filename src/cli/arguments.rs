//! Argument types and parsers that several commands share.

use clap::ValueEnum;

use super::Failure;
use crate::billable::{Field, Text, Timestamp};
use crate::calendar::{DaysError, Period, Zone};
use crate::config::zone;
use crate::formats::Format;

/// The format of the rows of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum RowFormat {
    /// One JSON object per line.
    Ndjson,
    /// Comma-separated values with a header row.
    Csv,
}

impl From<RowFormat> for Format {
    fn from(format: RowFormat) -> Self {
        match format {
            RowFormat::Ndjson => Self::Ndjson,
            RowFormat::Csv => Self::Csv,
        }
    }
}

/// A range of time, as timestamps or as whole days.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct PeriodArgs {
    /// Only calls that happened at this RFC 3339 timestamp or later.
    #[arg(long, value_name = "TIMESTAMP", value_parser = timestamp, conflicts_with_all = ["start_date", "end_date"])]
    from: Option<Timestamp>,
    /// Only calls that happened before this RFC 3339 timestamp.
    #[arg(long, value_name = "TIMESTAMP", value_parser = timestamp, conflicts_with_all = ["start_date", "end_date"])]
    to: Option<Timestamp>,
    /// Only calls of this day or later, such as 2026-03-01.
    #[arg(long, value_name = "DATE")]
    start_date: Option<String>,
    /// Only calls of this day or earlier.
    #[arg(long, value_name = "DATE")]
    end_date: Option<String>,
    /// Time zone of the days, such as Europe/Rome.
    #[arg(long, env = "BILLABLES_TIME_ZONE", value_name = "ZONE", default_value = "UTC", value_parser = zone)]
    time_zone: Zone,
}

impl PeriodArgs {
    /// # Errors
    /// A day is not a date, or the last is before the first.
    pub(super) fn period(&self) -> Result<Period, Failure> {
        let (first, last) = (self.start_date.as_deref(), self.end_date.as_deref());
        if first.is_none() && last.is_none() {
            return Ok(Period {
                from: self.from,
                to: self.to,
            });
        }
        Period::of_days(&self.time_zone, first, last).map_err(|error| {
            let date = "must be a date from 1980-01-01 to 2999-12-31, such as 2026-03-01";
            Failure::Usage(match error {
                DaysError::First => format!("--start-date {date}"),
                DaysError::Last => format!("--end-date {date}"),
                DaysError::Order => "--end-date must not be before --start-date".to_owned(),
            })
        })
    }
}

pub(super) fn account(id: &str) -> Result<Text, String> {
    text(Field::AccountId, id)
}

pub(super) fn customer(id: &str) -> Result<Text, String> {
    text(Field::CustomerId, id)
}

pub(super) fn session(id: &str) -> Result<Text, String> {
    text(Field::SessionId, id)
}

pub(super) fn call(id: &str) -> Result<Text, String> {
    text(Field::CallSid, id)
}

pub(super) fn timestamp(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text)
        .ok_or_else(|| "must be an RFC 3339 timestamp such as 2026-03-01T09:30:00Z".to_owned())
}

/// Splits `NAME=VALUE`.
pub(super) fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !value.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("must be FIELD= followed by a value".to_owned()),
    }
}

/// Parses a value by the rules for reports, because no billable can have any other value.
fn text(field: Field, value: &str) -> Result<Text, String> {
    if value.trim().is_empty() {
        return Err("must not be blank".to_owned());
    }
    Text::parse(field, value.to_owned()).map_err(|error| error.message)
}

/// Parses the address of a service.
pub(super) fn base_url(text: &str) -> Result<String, String> {
    let is_base = ["http://", "https://"]
        .iter()
        .any(|scheme| text.starts_with(scheme));
    if is_base && !text.contains(['?', '#']) {
        return Ok(text.to_owned());
    }
    Err("must be like https://billables.example.com".to_owned())
}
