//! `billables import`: stores exported billables, or reports in arbitrary columns, in the log.
//!
//! Every row has an identity, so a file can be imported again, even after an interrupted import.
//! Rows are compared with the log one group at a time. The writer stores them the way it stores
//! reports, even while a server is running.

mod args;
mod counts;
mod refusals;
mod row;
mod seen;

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use uuid::Uuid;

use self::args::Plan;
pub(super) use self::args::{Args, client};
use self::counts::ImportCounts;
use self::refusals::{Refusal, Refusals};
use self::row::{Meant, Reading};
use self::seen::{Difference, Seen, other_content, other_time};
use super::progress::Progress;
use super::records::{FileArgs, FileReader, Mapping, Row, Unreadable};
use super::{Failure, open_log};
use crate::api::check_clock;
use crate::billable::entry::partition_of;
use crate::billable::{Billable, ClientName, Entry, Timestamp, Void};
use crate::store::{LogInfo, Origin, Store};
use crate::telemetry::print_line;
use crate::writer::{AppendOutcome, WriteError, Writer, WriterTasks};

/// Rows that are stored together. 1,000 rows of 300 bytes commit in about 10 ms.
const GROUP: usize = 1000;

/// A group is complete when its rows have this many bytes in the file.
const GROUP_BYTES: usize = 8 * 1024 * 1024;

/// Rows between two progress updates.
const PROGRESS: u64 = 1000;

#[expect(clippy::print_stdout, reason = "the result of the command")]
pub(super) async fn run(url: &str, args: Args) -> Result<(), Failure> {
    let Plan {
        files,
        args,
        mapping,
        reading,
        refused,
        dry_run,
    } = args.plan()?;
    // So that no file is stored if another one cannot be read. A pipe is opened only once.
    for path in &files {
        let is_pipe = path
            .metadata()
            .is_ok_and(|file| !file.is_file() && !file.is_dir());
        if !is_pipe {
            FileReader::open(path, &args, &mapping)?;
        }
    }
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
        refusals: Refusals::new(refused, &files)?,
    };
    let done = import.all(&files, &args, &mapping, &reading).await;
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
    let (count, other_times) = (refusals.count(), refusals.other_times());
    // Also if the import failed: the stored rows are kept, and the refused ones are known.
    let refused = refusals.finish();
    counts.print_notes();
    let ImportCounts {
        new,
        known,
        voided,
        left_out,
        ..
    } = counts;
    let dry = if dry_run { "dry run: " } else { "" };
    println!(
        "{dry}new {new}, already stored {known}, other time {other_times}, voided {voided}, left out {left_out}, refused {count}"
    );
    done?;
    refused?.into_result()
}

/// A row, and its file and line.
#[derive(Debug)]
struct Pending {
    file: Arc<str>,
    line: u64,
    text: Arc<str>,
    meant: Meant,
}

impl Pending {
    fn refusal<'a>(&'a self, reason: &'a str) -> Refusal<'a> {
        Refusal {
            file: &self.file,
            line: self.line,
            reason,
            text: Some(&self.text),
        }
    }
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
        files: &[PathBuf],
        args: &FileArgs,
        mapping: &Mapping,
        reading: &Reading,
    ) -> Result<(), Failure> {
        let bytes = files
            .iter()
            .map(fs::metadata)
            .filter_map(Result::ok)
            .map(|file| file.len())
            .sum();
        let mut progress = Progress::new("importing", Some(bytes));
        let (mut before, mut rows) = (0, 0);
        let mut understood = None;
        for path in files {
            let named: Arc<str> = path.display().to_string().into();
            let failed = |error| Failure::Failed(format!("cannot read {named}: {error}"));
            let mut file = FileReader::open(path, args, mapping)?;
            // Of many files that are read alike, the first one tells how.
            let here = Some(file.understood());
            if here != understood {
                print_line(&file.announced(path).map_err(failed)?);
                understood = here;
            }
            while let Some(row) = file.rows.next().map_err(failed)? {
                rows += 1;
                self.add(&named, &file, row, reading)?;
                if self.group.len() >= GROUP || self.group_bytes >= GROUP_BYTES {
                    self.compare_and_store().await?;
                }
                if rows % PROGRESS == 0 {
                    progress.at(before + file.rows.bytes_read(), rows);
                }
            }
            before += file.rows.bytes_read();
            self.counts.left_out += file.rows.repeated_headers();
            file.rows.print_notes();
        }
        self.compare_and_store().await
    }

    /// Adds a row to the group, or refuses it or leaves it out.
    fn add(
        &mut self,
        named: &Arc<str>,
        file: &FileReader,
        row: Result<Row, Unreadable>,
        reading: &Reading,
    ) -> Result<(), Failure> {
        let row = match row {
            Ok(row) => row,
            Err(Unreadable { line, text, reason }) => {
                return self.refusals.add(Refusal {
                    file: named,
                    line,
                    reason: &reason,
                    text: text.as_deref(),
                });
            }
        };
        let meanings = match reading.read(file, &row, Timestamp::now()) {
            Ok(meanings) => meanings,
            Err(reason) => {
                return self.refusals.add(Refusal {
                    file: named,
                    line: row.line,
                    reason: &reason,
                    text: Some(&row.shown()),
                });
            }
        };
        let text: Arc<str> = row.shown().into();
        self.group_bytes += text.len();
        for meaning in meanings {
            let Some(meant) = meaning else {
                self.counts.left_out += 1;
                continue;
            };
            self.counts.trimmed += u64::from(meant.is_trimmed);
            self.counts.ambiguous += u64::from(meant.is_ambiguous);
            self.group.push(Pending {
                file: Arc::clone(named),
                line: row.line,
                text: Arc::clone(&text),
                meant,
            });
        }
        Ok(())
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
            let Meant { entry, voided, .. } = &row.meant;
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
            match seen.differs(entry, of_log, row.meant.is_timed) {
                None => {}
                Some(Difference::Content(reason)) => {
                    self.refusals.add(row.refusal(&reason))?;
                    continue;
                }
                Some(Difference::Time(reason)) => {
                    self.refusals.add_other_time(row.refusal(&reason))?;
                    continue;
                }
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
                // If it is new, another process has stored the id since the comparison.
                AppendOutcome::Replayed(stored) => {
                    let known = stored.recorded.occurred_at;
                    let given = row.meant.entry.occurred_at;
                    self.counts.known += u64::from(is_new);
                    self.counts.new -= u64::from(is_new);
                    if row.meant.is_timed && known != given {
                        self.counts.known -= 1;
                        self.counts.voided -= withdraw(&mut voids, &row);
                        let reason = other_time(known, given);
                        self.refusals.add_other_time(row.refusal(&reason))?;
                    }
                }
                AppendOutcome::Conflict(fields, _) => {
                    self.counts.new -= u64::from(is_new);
                    self.counts.known -= u64::from(!is_new);
                    self.counts.voided -= withdraw(&mut voids, &row);
                    let reason = other_content(&fields);
                    self.refusals.add(row.refusal(&reason))?;
                }
            }
        }
        if !voids.is_empty() {
            writer.void(voids).await.map_err(|error| unsure(&error))?;
        }
        Ok(())
    }
}

/// Removes the voids of a row that is not stored; returns how many there were.
fn withdraw(voids: &mut Vec<Void>, row: &Pending) -> u64 {
    let before = voids.len();
    voids.retain(|void| void.billable_id != row.meant.entry.billable_id);
    (before - voids.len()) as u64
}

fn unsure(error: &WriteError) -> Failure {
    Failure::Failed(format!(
        "{error}; stored rows are kept, so import the same files again"
    ))
}
