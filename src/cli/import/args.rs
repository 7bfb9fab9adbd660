//! The arguments of an import, checked.

use std::path::PathBuf;

use super::row::{Column, Reading};
use crate::billable::{ClientName, Field};
use crate::cli::arguments::assignment;
use crate::cli::records::{FileArgs, Mapping};
use crate::cli::{Failure, token};

/// What to import, and how to read its rows.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Files to import: CSV, JSON, or a sender's records.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    reading: FileArgs,
    /// Read a field of every report from a column with another name, such as callSid=CallID.
    ///
    /// Fields: accountId, customerId, sessionId, callSid, occurredAt, key (the idempotency key). In
    /// JSON, /data/id is a member of a member. A mapped field must be there.
    #[arg(long = "map", value_name = "FIELD=COLUMN", value_parser = assignment)]
    columns: Vec<(String, String)>,
    /// Set a field of every report to a value, such as accountId=A.
    #[arg(long = "set", value_name = "FIELD=VALUE", value_parser = assignment)]
    values: Vec<(String, String)>,
    /// Pattern of occurredAt, such as '%d.%m.%Y %H:%M:%S'; without it, every form that cannot be
    /// misread.
    #[arg(long, value_name = "PATTERN")]
    time_format: Option<String>,
    /// Time zone of an occurredAt without an offset, such as Europe/Rome.
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// Name of the client that the imported entries belong to.
    #[arg(long, value_name = "NAME", default_value = "import", value_parser = client)]
    client: ClientName,
    /// File to write refused rows to, each with its line number and the reason.
    #[arg(long, value_name = "FILE")]
    refused: Option<PathBuf>,
    /// Store nothing, and print what an import would do.
    #[arg(long)]
    dry_run: bool,
}

/// What an import does.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) files: Vec<PathBuf>,
    pub(super) args: FileArgs,
    pub(super) mapping: Mapping,
    pub(super) reading: Reading,
    pub(super) refused: Option<PathBuf>,
    pub(super) dry_run: bool,
}

impl Args {
    /// # Errors
    /// The arguments contradict each other.
    pub(super) fn plan(self) -> Result<Plan, Failure> {
        let columns = columns_of("--map", self.columns)?;
        let values = columns_of("--set", self.values)?;
        let taken =
            |(column, _): &(Column, String)| columns.iter().any(|(known, _)| known == column);
        if values.iter().any(taken) {
            let reason = "a field can have a column (--map) or a value (--set), not both";
            return Err(Failure::Usage(reason.to_owned()));
        }
        let (mut mapping, mut key) = (Mapping::default(), None);
        for (column, at) in columns {
            match column {
                Column::Field(field) => mapping.fields.push((field, at)),
                Column::Key => key = Some(at),
            }
        }
        mapping.key.clone_from(&key);
        mapping.is_import = true;
        for (column, _) in &values {
            match column {
                Column::Field(Field::CallSid) | Column::Key => {
                    let reason = "--set gives every row the same value, so it cannot set callSid or key: all rows would be one billable";
                    return Err(Failure::Usage(reason.to_owned()));
                }
                Column::Field(field) => mapping.set.push(*field),
            }
        }
        (mapping.time_format, mapping.time_zone) = (self.time_format, self.time_zone);
        Ok(Plan {
            files: self.files,
            reading: Reading {
                key,
                mapped: mapping.fields.iter().map(|(field, _)| *field).collect(),
                values,
                client: self.client,
                has_sender: self.reading.sender.is_some(),
                // Over HTTP nothing is trimmed, and a record must have the same id here.
                trims: !self.reading.no_trim && self.reading.sender.is_none(),
            },
            args: self.reading,
            mapping,
            refused: self.refused,
            dry_run: self.dry_run,
        })
    }
}

/// Returns the fields that `FIELD=…` arguments name, each with its column or value. Each may be
/// named once.
fn columns_of(flag: &str, given: Vec<(String, String)>) -> Result<Vec<(Column, String)>, Failure> {
    let mut columns: Vec<(Column, String)> = Vec::new();
    for (name, value) in given {
        let column = Column::from_name(&name).ok_or_else(|| {
            Failure::Usage(format!(
                "{flag}: {name} is not a field; use accountId, customerId, sessionId, callSid, occurredAt or key"
            ))
        })?;
        if columns.iter().any(|(known, _)| *known == column) {
            return Err(Failure::Usage(format!("{flag} names {name} twice")));
        }
        columns.push((column, value));
    }
    Ok(columns)
}

pub(in crate::cli) fn client(name: &str) -> Result<ClientName, String> {
    match ClientName::parse(name) {
        Some(client) if client.as_str() == "import" => Ok(client),
        _ => token::client(name),
    }
}
