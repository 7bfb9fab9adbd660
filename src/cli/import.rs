//! `billables import`: stores exported billables, or reports in arbitrary columns, in the log.
//!
//! Every row has an identity, so a file can be imported again, even after an interrupted import.
//! Rows are compared with the log one group at a time. The writer stores them the way it stores
//! reports, even while a server is running.

mod refusals;
mod row;
mod seen;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use self::refusals::Refusals;
use self::row::{Column, Meant, Reading};
use self::seen::{Seen, other_content};
use super::arguments::{RowFormat, assignment};
use super::progress::Progress;
use super::records::FileRows;
use super::{Failure, open_log, token};
use crate::api::check_clock;
use crate::billable::entry::partition_of;
use crate::billable::{Billable, ClientName, Entry, Timestamp, Void};
use crate::store::{LogInfo, Origin, Store};
use crate::writer::{AppendOutcome, WriteError, Writer, WriterTasks};

/// Rows that are stored together. 1,000 rows of 300 bytes commit in about 10 ms.
const GROUP: usize = 1000;

/// A group is complete when its rows have this many bytes in the file.
const GROUP_BYTES: usize = 8 * 1024 * 1024;

/// Rows between two progress updates.
const PROGRESS: u64 = 1000;

/// What to import, and how to read its rows.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Files to import: JSON lines (.ndjson, .jsonl) or CSV (.csv).
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Format of the files; derived from their names if omitted.
    #[arg(long, value_enum)]
    format: Option<RowFormat>,
    /// Read a field of every report from a column with another name, such as callSid=CallID.
    ///
    /// Fields: accountId, customerId, sessionId, callSid, occurredAt, key (the idempotency key).
    #[arg(long = "map", value_name = "FIELD=COLUMN", value_parser = assignment)]
    columns: Vec<(String, String)>,
    /// Set a field of every report to a value, such as accountId=A.
    #[arg(long = "set", value_name = "FIELD=VALUE", value_parser = assignment)]
    values: Vec<(String, String)>,
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

#[expect(clippy::print_stdout, reason = "the result of the command")]
pub(super) async fn run(url: &str, args: Args) -> Result<(), Failure> {
    let Args {
        files,
        format,
        columns,
        values,
        client,
        refused,
        dry_run,
    } = args;
    let reading = Reading {
        columns: columns_of("--map", columns)?,
        values: columns_of("--set", values)?,
        client,
    };
    let taken =
        |(column, _): &(Column, String)| reading.columns.iter().any(|(known, _)| known == column);
    if reading.values.iter().any(taken) {
        let reason = "a field can have a column (--map) or a value (--set), not both";
        return Err(Failure::Usage(reason.to_owned()));
    }
    let files: Result<Vec<_>, Failure> = files
        .into_iter()
        .map(|path| Ok((format_of(&path, format)?, path)))
        .collect();
    let (store, log) = open_log(url).await?;
    if let (_, Some(fault)) = check_clock(&store, Timestamp::now()).await? {
        return Err(Failure::Failed(format!(
            "the clock is implausible: {fault}"
        )));
    }
    let writing = (!dry_run).then(|| Writer::start(&store, log, 1, Origin::Import));
    let mut import = Import {
        store: store.clone(),
        log,
        writing,
        client: reading.client.clone(),
        group: Vec::new(),
        group_bytes: 0,
        seen: HashMap::new(),
        counts: ImportCounts::default(),
        refusals: Refusals::new(refused)?,
    };
    let done = import.all(&files?, &reading).await;
    let Import {
        writing,
        counts,
        refusals,
        ..
    } = import;
    if let Some((writer, mut tasks)) = writing {
        drop(writer);
        while tasks.join_next().await.is_some() {}
    }
    store.close().await;
    let count = refusals.count();
    // Also if the import failed: the stored rows are kept, and the refused ones are known.
    let refused = refusals.finish();
    done?;
    let ImportCounts { new, known, voided } = counts;
    let dry = if dry_run { "dry run: " } else { "" };
    println!("{dry}new {new}, already stored {known}, voided {voided}, refused {count}");
    refused?.into_result()
}

/// The number of rows by outcome. A voided row is also counted as new or known.
#[derive(Debug, Default)]
struct ImportCounts {
    new: u64,
    known: u64,
    voided: u64,
}

/// A row, and its file and line.
#[derive(Debug)]
struct Pending {
    file: Arc<str>,
    line: u64,
    text: String,
    meant: Meant,
}

/// An import in progress.
struct Import {
    store: Store,
    log: LogInfo,
    writing: Option<(Writer, WriterTasks)>,
    client: ClientName,
    group: Vec<Pending>,
    group_bytes: usize,
    /// What the log or an earlier row has, by id. A dry run keeps them from group to group: it
    /// stores nothing, so the log does not have the earlier groups.
    seen: HashMap<Uuid, Seen>,
    counts: ImportCounts,
    refusals: Refusals,
}

impl Import {
    async fn all(
        &mut self,
        files: &[(RowFormat, PathBuf)],
        reading: &Reading,
    ) -> Result<(), Failure> {
        let bytes = files
            .iter()
            .map(|(_, path)| fs::metadata(path))
            .filter_map(Result::ok)
            .map(|file| file.len())
            .sum();
        let mut progress = Progress::new("importing", Some(bytes));
        let (mut before, mut rows) = (0, 0);
        for (format, path) in files {
            let named: Arc<str> = path.display().to_string().into();
            let failed = |error| Failure::Failed(format!("cannot read {named}: {error}"));
            let mut file = FileRows::open(path, *format).map_err(failed)?;
            if let Some((_, column)) = reading
                .columns
                .iter()
                .find(|(_, name)| !file.may_have(name))
            {
                return Err(Failure::Usage(format!("{named} has no column {column}")));
            }
            while let Some(row) = file.next().map_err(failed)? {
                rows += 1;
                match row {
                    Ok(row) => match reading.read(&row, *format, Timestamp::now()) {
                        Ok(meant) => {
                            self.group_bytes += row.text.len();
                            self.group.push(Pending {
                                file: named.clone(),
                                line: row.line,
                                text: row.text,
                                meant,
                            });
                        }
                        Err(reason) => {
                            self.refusals
                                .add(&named, row.line, &reason, Some(&row.text))?;
                        }
                    },
                    Err(row) => {
                        self.refusals
                            .add(&named, row.line, &row.reason, row.text.as_deref())?;
                    }
                }
                if self.group.len() == GROUP || self.group_bytes >= GROUP_BYTES {
                    self.compare_and_store().await?;
                }
                if rows % PROGRESS == 0 {
                    progress.at(before + file.bytes_read(), rows);
                }
            }
            before += file.bytes_read();
        }
        self.compare_and_store().await
    }

    /// Compares the group with the log, then stores it.
    async fn compare_and_store(&mut self) -> Result<(), Failure> {
        self.group_bytes = 0;
        let group = std::mem::take(&mut self.group);
        let known = self.find(&group).await?;
        let mut kept = Vec::new();
        let mut voids = Vec::new();
        let now = Timestamp::now();
        for row in group {
            let Meant { entry, voided } = &row.meant;
            let of_log = known.get(&entry.billable_id);
            if let Some(billable) = of_log {
                self.seen
                    .entry(entry.billable_id)
                    .or_insert_with(|| Seen::of(billable));
            }
            let is_new = !self.seen.contains_key(&entry.billable_id);
            let seen = self
                .seen
                .entry(entry.billable_id)
                .or_insert_with(|| Seen::new(entry));
            if let Some(reason) = seen.differs(entry, of_log) {
                self.refusals
                    .add(&row.file, row.line, &reason, Some(&row.text))?;
                continue;
            }
            if is_new {
                self.counts.new += 1
            } else {
                self.counts.known += 1
            }
            if let Some(reason) = voided
                && !std::mem::replace(&mut seen.is_voided, true)
            {
                self.counts.voided += 1;
                voids.push(Void {
                    billable_id: entry.billable_id,
                    reason: reason.clone(),
                    client: self.client.clone(),
                    at: now,
                    accounts: None,
                });
            }
            kept.push((row, is_new));
        }
        self.store(kept, voids).await
    }

    async fn find(&self, group: &[Pending]) -> Result<HashMap<Uuid, Billable>, Failure> {
        if group.is_empty() {
            return Ok(HashMap::new());
        }
        let ids: Vec<_> = group
            .iter()
            .map(|row| {
                let id = row.meant.entry.billable_id;
                (partition_of(id, self.log.partitions), id)
            })
            .collect();
        let found = self.store.entries_find(&ids).await?;
        Ok(Billable::assemble(
            found.into_iter().map(|log_entry| log_entry.entry),
        ))
    }

    /// Stores rows. Rows that are already stored go to the writer too, because it waits until
    /// another process's commits have reached the synchronous standbys.
    async fn store(
        &mut self,
        rows: Vec<(Pending, bool)>,
        mut voids: Vec<Void>,
    ) -> Result<(), Failure> {
        let Some((writer, _)) = &self.writing else {
            return Ok(());
        };
        self.seen.clear();
        if rows.is_empty() {
            return Ok(());
        }
        let entries: Vec<Entry> = rows
            .iter()
            .map(|(row, _)| row.meant.entry.clone())
            .collect();
        let outcomes = writer.append(entries, None).await;
        assert_eq!(rows.len(), outcomes.len(), "an outcome for each row");
        for ((row, is_new), outcome) in rows.into_iter().zip(outcomes) {
            match outcome.map_err(|error| unsure(&error))? {
                AppendOutcome::Stored(_) => {}
                // Another process has stored the id since the comparison.
                AppendOutcome::Replayed(_) => {
                    if is_new {
                        self.counts.new -= 1;
                        self.counts.known += 1;
                    }
                }
                AppendOutcome::Conflict(fields, _) => {
                    if is_new {
                        self.counts.new -= 1
                    } else {
                        self.counts.known -= 1
                    }
                    let id = row.meant.entry.billable_id;
                    let before = voids.len();
                    voids.retain(|void| void.billable_id != id);
                    self.counts.voided -= (before - voids.len()) as u64;
                    let reason = other_content(&fields);
                    self.refusals
                        .add(&row.file, row.line, &reason, Some(&row.text))?;
                }
            }
        }
        if !voids.is_empty() {
            writer.void(voids).await.map_err(|error| unsure(&error))?;
        }
        Ok(())
    }
}

fn unsure(error: &WriteError) -> Failure {
    Failure::Failed(format!(
        "{error}; stored rows are kept, so import the same files again"
    ))
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

fn format_of(path: &Path, told: Option<RowFormat>) -> Result<RowFormat, Failure> {
    let extension = path.extension().and_then(|extension| extension.to_str());
    let by_name = match extension.map(str::to_ascii_lowercase).as_deref() {
        Some("ndjson" | "jsonl") => Some(RowFormat::Ndjson),
        Some("csv") => Some(RowFormat::Csv),
        _ => None,
    };
    told.or(by_name).ok_or_else(|| {
        Failure::Usage(format!(
            "cannot tell the format of {} from its name: set --format to ndjson or csv",
            path.display()
        ))
    })
}

pub(super) fn client(name: &str) -> Result<ClientName, String> {
    match ClientName::parse(name) {
        Some(client) if client.as_str() == "import" => Ok(client),
        _ => token::client(name),
    }
}
