//! `billables check`: compares a carrier's list of calls with an account's billables.
//!
//! Only a hash of each call is held in memory. The list is read a second time for the calls that
//! were not found in the range; these are then looked up in the whole log.

use std::collections::{BTreeSet, HashMap};
use std::io::{self, BufWriter, StdoutLock, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::arguments::{RowFormat, account, timestamp};
use super::progress::Progress;
use super::records::FileRows;
use super::{Failure, open_log};
use crate::billable::{Billable, BillableState, Field, Text, Timestamp};
use crate::reader::{Filter, List, MAX_OF_CALL};
use crate::store::{CallLookup, LogInfo, Store};

/// Billables per read.
const READ_BATCH: usize = 1500;

/// Calls, and billables, per look-up.
const LOOKUP_BATCH: usize = 500;

/// What to compare.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The carrier's CSV file, with a header row.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Account that the calls belong to.
    #[arg(long, value_name = "ID", value_parser = account)]
    account: Text,
    /// Compare calls at or after this RFC 3339 timestamp.
    #[arg(long, value_name = "TIMESTAMP", value_parser = timestamp)]
    from: Timestamp,
    /// Compare calls before this RFC 3339 timestamp.
    #[arg(long, value_name = "TIMESTAMP", value_parser = timestamp)]
    to: Timestamp,
    /// Name of the column that has each row's callSid, in any letter case.
    #[arg(long, value_name = "NAME", default_value = "callSid")]
    column: String,
}

/// What is known about a call of the file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Call {
    /// Not found in the range so far.
    Unseen,
    /// Found in the range, but voided.
    Voided,
    /// Needs no further look-up.
    Done,
}

/// The calls of the file, keyed by the first 128 bits of their SHA-256.
type Calls = HashMap<u128, Call>;

#[derive(Default)]
struct CheckCounts {
    missing: u64,
    extra: u64,
    voided: u64,
}

pub(super) async fn run(url: &str, args: Args) -> Result<(), Failure> {
    let mut calls = Calls::new();
    each_call(&args, |call| {
        calls.entry(hash(call)).or_insert(Call::Unseen);
    })?;
    let (store, log) = open_log(url).await?;
    let mut check = Check {
        store,
        log,
        account: args.account.clone(),
        calls,
        counts: CheckCounts::default(),
        out: BufWriter::new(io::stdout().lock()),
    };
    check.range(args.from, args.to).await?;
    check.rest(&args).await?;
    let CheckCounts {
        missing,
        extra,
        voided,
    } = check.counts;
    let calls = check.calls.len();
    writeln!(
        check.out,
        "calls {calls}, missing {missing}, extra {extra}, voided {voided}"
    )
    .and_then(|()| check.out.flush())
    .map_err(|error| unprinted(&error))?;
    check.store.close().await;
    match missing + extra {
        0 => Ok(()),
        _ => Err(Failure::Failed(
            "the calls in the file and in the log differ".to_owned(),
        )),
    }
}

struct Check {
    store: Store,
    log: LogInfo,
    account: Text,
    calls: Calls,
    counts: CheckCounts,
    out: BufWriter<StdoutLock<'static>>,
}

impl Check {
    /// Reads the account's billables in the range and reports those that the file lacks.
    async fn range(&mut self, from: Timestamp, to: Timestamp) -> Result<(), Failure> {
        let filter = Filter {
            account_id: Some(self.account.clone()),
            from: Some(from),
            to: Some(to),
            ..Filter::default()
        };
        let mut list = List::begin(self.store.clone(), self.log, filter, None).await?;
        let mut progress = Progress::new("checking", None);
        let mut rows = 0;
        while list.after().is_some() {
            for billable in list.read(READ_BATCH).await? {
                rows += 1;
                let Some(call) = &billable.recorded.reported.call_sid else {
                    continue;
                };
                let is_voided = billable.state() == BillableState::Voided;
                match self.calls.get_mut(&hash(call.as_str())) {
                    Some(Call::Done) => {}
                    Some(state) if is_voided => *state = Call::Voided,
                    Some(state) => *state = Call::Done,
                    None if is_voided => {}
                    None => {
                        self.counts.extra += 1;
                        let id = billable.id();
                        writeln!(self.out, "extra {} {id}", call.as_str())
                            .map_err(|error| unprinted(&error))?;
                    }
                }
            }
            progress.at(rows, rows);
        }
        Ok(())
    }

    /// Looks up the calls of the file that are missing or voided in the range.
    async fn rest(&mut self, args: &Args) -> Result<(), Failure> {
        let mut batch = Vec::new();
        let mut rows = rows_of(args)?;
        let mut progress = Progress::new("checking", None);
        let mut looked_up = 0;
        while let Some(call) = next_call(&mut rows, args)? {
            // Look up each call once, even if the file repeats it.
            let Some(known) = self.calls.get_mut(&hash(&call)) else {
                return Err(changed(&args.file));
            };
            let known = std::mem::replace(known, Call::Done);
            if known != Call::Done {
                batch.push((call, known == Call::Voided));
            }
            if batch.len() == LOOKUP_BATCH {
                looked_up += LOOKUP_BATCH as u64;
                self.look_up(std::mem::take(&mut batch)).await?;
                progress.at(looked_up, looked_up);
            }
        }
        self.look_up(batch).await?;
        if self.calls.values().all(|call| *call == Call::Done) {
            Ok(())
        } else {
            Err(changed(&args.file))
        }
    }

    /// Looks up calls in the whole log and reports those that this account lacks or has voided.
    async fn look_up(&mut self, calls: Vec<(String, bool)>) -> Result<(), Failure> {
        // A database could reject values that no report can have.
        let valid: Vec<&str> = calls
            .iter()
            .map(|(call, _)| &**call)
            .filter(|call| Text::parse(Field::CallSid, (*call).to_owned()).is_ok())
            .collect();
        let mut found = HashMap::new();
        if !self.look_up_together(&valid, &mut found).await? {
            for call in valid {
                // Enough entries of one call show whether it has a billable that is not voided.
                let is_all = self.look_up_together(&[call], &mut found).await?;
                if !is_all && found.get(call) != Some(&true) {
                    return Err(Failure::Failed(format!(
                        "the call {} has too many voided billables to check it",
                        shown(call)
                    )));
                }
            }
        }
        for (call, is_voided) in calls {
            let (what, count) = match found.get(&call) {
                Some(true) => continue,
                None if !is_voided => ("missing", &mut self.counts.missing),
                Some(false) | None => ("voided", &mut self.counts.voided),
            };
            *count += 1;
            writeln!(self.out, "{what} {}", shown(&call)).map_err(|error| unprinted(&error))?;
        }
        Ok(())
    }

    /// Looks up calls that have at most [`MAX_OF_CALL`] entries of the account in total. Returns
    /// false if they have more, of which some were looked up.
    async fn look_up_together(
        &self,
        calls: &[&str],
        found: &mut HashMap<String, bool>,
    ) -> Result<bool, Failure> {
        let lookup = CallLookup {
            calls,
            accounts: Some(&[self.account.as_str()]),
            from: Timestamp::MIN,
            to: Timestamp::MAX,
            cut: None,
            limit: MAX_OF_CALL + 1,
        };
        let entries = self.store.entries_of_calls(self.log, &lookup).await?;
        // If a billable was attributed later, only some of its entries are the account's.
        let ids: BTreeSet<_> = entries
            .iter()
            .map(|log_entry| (log_entry.partition, log_entry.entry.billable_id))
            .collect();
        let ids: Vec<_> = ids.into_iter().collect();
        for ids in ids.chunks(LOOKUP_BATCH) {
            let whole = self.store.entries_find(ids).await?;
            let whole = whole.into_iter().map(|log_entry| log_entry.entry);
            for billable in Billable::assemble(whole).into_values() {
                self.note(&billable, found);
            }
        }
        Ok(entries.len() <= MAX_OF_CALL)
    }

    /// Records that a call has a billable of this account, and whether one of its billables is not
    /// voided.
    fn note(&self, billable: &Billable, found: &mut HashMap<String, bool>) {
        let call = billable.recorded.reported.call_sid.as_ref();
        if let Some(call) = call.filter(|_| billable.account_id() == Some(&self.account)) {
            let is_there = found.entry(call.as_str().to_owned()).or_default();
            *is_there |= billable.state() != BillableState::Voided;
        }
    }
}

fn each_call(args: &Args, mut take: impl FnMut(&str)) -> Result<(), Failure> {
    let mut rows = rows_of(args)?;
    let mut count = 0;
    let mut progress = Progress::new("reading", None);
    while let Some(call) = next_call(&mut rows, args)? {
        take(&call);
        count += 1;
        if count % 1000 == 0 {
            progress.at(count, count);
        }
    }
    Ok(())
}

fn rows_of(args: &Args) -> Result<FileRows, Failure> {
    let rows = FileRows::open(&args.file, RowFormat::Csv).map_err(unreadable(&args.file))?;
    if rows.may_have(&args.column) {
        Ok(rows)
    } else {
        Err(Failure::Usage(format!(
            "{} has no column {}: name it with --column",
            args.file.display(),
            args.column
        )))
    }
}

/// Returns the call of the next row that has one. An unreadable row is an error, because it could
/// hold any call.
fn next_call(rows: &mut FileRows, args: &Args) -> Result<Option<String>, Failure> {
    while let Some(row) = rows.next().map_err(unreadable(&args.file))? {
        let refused =
            |line, reason| Failure::Failed(format!("{}:{line}: {reason}", args.file.display()));
        let row = row.map_err(|row| refused(row.line, row.reason))?;
        let call = row.text(&args.column);
        if let Some(call) = call.map_err(|reason| refused(row.line, reason))? {
            return Ok(Some(call.to_owned()));
        }
    }
    Ok(None)
}

fn hash(call: &str) -> u128 {
    let digest = Sha256::digest(call);
    let first = digest.first_chunk().expect("a digest has 32 bytes");
    u128::from_be_bytes(*first)
}

/// Returns a call as one line, with control characters escaped.
fn shown(call: &str) -> String {
    if call.contains(char::is_control) {
        call.escape_debug().to_string()
    } else {
        call.to_owned()
    }
}

fn changed(file: &Path) -> Failure {
    Failure::Failed(format!(
        "{} changed between two reads; nothing may write to it while it is checked",
        file.display()
    ))
}

fn unreadable(file: &Path) -> impl Fn(io::Error) -> Failure {
    move |error| Failure::Failed(format!("cannot read {}: {error}", file.display()))
}

fn unprinted(error: &io::Error) -> Failure {
    Failure::Failed(format!("cannot print: {error}"))
}
