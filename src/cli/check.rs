//! `billables check`: compares a carrier's list of calls with an account's billables.
//!
//! Only a hash of each call is held in memory. The list is read a second time for the calls that
//! were not found in the range; these are then looked up in the whole log. Blanks around a call do not
//! count: carriers pad their columns.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io::{self, BufWriter, StdoutLock, Write};
use std::iter;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::arguments::{PeriodArgs, account};
use super::progress::Progress;
use super::records::{FileArgs, FileReader, Mapping};
use super::{Failure, open_log};
use crate::billable::{Billable, BillableState, Field, RawValue, Text, Timestamp};
use crate::calendar::Period;
use crate::reader::{Filter, List, MAX_OF_CALL};
use crate::senders::Event;
use crate::store::{CallLookup, LogInfo, Store};
use crate::telemetry::print_line;

/// Billables per read.
const READ_BATCH: usize = 1500;

/// Calls, and billables, per look-up.
const LOOKUP_BATCH: usize = 500;

/// What to compare.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The carrier's file: CSV, JSON, or a sender's records.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    reading: FileArgs,
    /// Account that the calls belong to.
    #[arg(long, value_name = "ID", value_parser = account)]
    account: Text,
    #[command(flatten)]
    period: PeriodArgs,
    /// Name of the column that has each row's callSid, in any letter case; callSid if omitted.
    #[arg(long, value_name = "NAME", conflicts_with = "sender")]
    column: Option<String>,
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
    let trims = !args.reading.no_trim;
    let Period {
        from: Some(from),
        to: Some(to),
    } = args.period.period()?
    else {
        return Err(Failure::Usage(
            "name the days to compare with --start-date and --end-date, or the time with --from and --to"
                .to_owned(),
        ));
    };
    if args
        .file
        .metadata()
        .is_ok_and(|file| !file.is_file() && !file.is_dir())
    {
        return Err(Failure::Usage(format!(
            "{} cannot be read twice: write it to a file first",
            args.file.display()
        )));
    }
    let calls = read_calls(&args)?;
    let (store, log) = open_log(url).await?;
    let mut check = Check {
        store,
        log,
        account: args.account.clone(),
        calls,
        trims,
        counts: CheckCounts::default(),
        out: BufWriter::new(io::stdout().lock()),
    };
    check.range(from, to).await?;
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
    /// Whether blanks around a call do not count.
    trims: bool,
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
                match self.calls.get_mut(&hash(call.as_str(), self.trims)) {
                    Some(Call::Done) => {}
                    Some(state) if is_voided => *state = Call::Voided,
                    Some(state) => *state = Call::Done,
                    None if is_voided => {}
                    None => {
                        self.counts.extra += 1;
                        let id = billable.id();
                        writeln!(self.out, "extra {:?} {id}", call.as_str())
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
        let mut rows = CallRows::open(args)?;
        let mut progress = Progress::new("checking", None);
        let mut looked_up = 0;
        while let Some(call) = rows.next()? {
            // Look up each call once, even if the file repeats it.
            let Some(known) = self.calls.get_mut(&hash(&call, self.trims)) else {
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
            .flat_map(|(call, _)| self.forms(call))
            .filter(|call| Text::parse(Field::CallSid, (*call).to_owned()).is_ok())
            .collect();
        let mut found = HashMap::new();
        if !self.look_up_together(&valid, &mut found).await? {
            for call in valid {
                // Enough entries of one call show whether it has a billable that is not voided.
                let is_all = self.look_up_together(&[call], &mut found).await?;
                if !is_all && found.get(call) != Some(&true) {
                    return Err(Failure::Failed(format!(
                        "the call {call:?} has too many voided billables to check it"
                    )));
                }
            }
        }
        for (call, is_voided) in calls {
            let is_there = self.forms(&call).filter_map(|form| found.get(form)).max();
            let (what, count) = match is_there {
                Some(true) => continue,
                None if !is_voided => ("missing", &mut self.counts.missing),
                Some(false) | None => ("voided", &mut self.counts.voided),
            };
            *count += 1;
            writeln!(self.out, "{what} {call:?}").map_err(|error| unprinted(&error))?;
        }
        Ok(())
    }

    /// Returns a call as it is in the file, and without the blanks around it.
    fn forms<'a>(&self, call: &'a str) -> impl Iterator<Item = &'a str> {
        let trimmed = Some(call.trim()).filter(|trimmed| self.trims && *trimmed != call);
        iter::once(call).chain(trimmed)
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

/// Reads the calls of the file, after saying how it is read.
fn read_calls(args: &Args) -> Result<Calls, Failure> {
    let mut rows = CallRows::open(args)?;
    let how = rows.file.announced(&args.file);
    print_line(&how.map_err(|error| rows.unreadable(&error))?);
    let mut calls = Calls::new();
    let mut count = 0;
    let mut progress = Progress::new("reading", None);
    while let Some(call) = rows.next()? {
        let call = hash(&call, !args.reading.no_trim);
        calls.entry(call).or_insert(Call::Unseen);
        count += 1;
        if count % 1000 == 0 {
            progress.at(count, count);
        }
    }
    drop(progress);
    rows.file.rows.print_notes();
    if rows.left_out > 0 {
        let count = rows.left_out;
        print_line(&format!(
            "{count} row(s) without a call, or that a condition leaves out"
        ));
    }
    Ok(calls)
}

/// The calls of a file, one after the other.
struct CallRows {
    path: PathBuf,
    file: FileReader,
    /// Those of the last row that were not returned yet.
    calls: VecDeque<String>,
    /// The records so far without a call, or that a condition leaves out.
    left_out: u64,
}

impl CallRows {
    fn open(args: &Args) -> Result<Self, Failure> {
        let mut mapping = Mapping::default();
        if args.reading.sender.is_none() {
            let column = args.column.as_deref().unwrap_or("callSid");
            mapping.fields.push((Field::CallSid, column.to_owned()));
        }
        Ok(Self {
            path: args.file.clone(),
            file: FileReader::open(&args.file, &args.reading, &mapping)?,
            calls: VecDeque::new(),
            left_out: 0,
        })
    }

    /// Returns the next call. An unreadable row is an error, because it could hold any call.
    fn next(&mut self) -> Result<Option<String>, Failure> {
        loop {
            if let Some(call) = self.calls.pop_front() {
                return Ok(Some(call));
            }
            let row = match self.file.rows.next() {
                Ok(Some(row)) => row,
                Ok(None) => return Ok(None),
                Err(error) => return Err(self.unreadable(&error)),
            };
            let row = row.map_err(|row| self.refused(row.line, &row.reason))?;
            let events = self.file.events(&row);
            for event in events
                .map_err(|reason| self.refused(row.line, &reason))?
                .into_iter()
                .flatten()
            {
                let call = match event {
                    Event::Report(mapped) => mapped.report.get(Field::CallSid).cloned(),
                    Event::Ignored { .. } => None,
                };
                match call {
                    Some(RawValue::Text(call)) => self.calls.push_back(call),
                    None => self.left_out += 1,
                    Some(RawValue::Bytes(_) | RawValue::Structure) => {
                        return Err(self.refused(row.line, "callSid must be a string"));
                    }
                }
            }
        }
    }

    fn refused(&self, line: u64, reason: &str) -> Failure {
        Failure::Failed(format!("{}:{line}: {reason}", self.path.display()))
    }

    fn unreadable(&self, error: &io::Error) -> Failure {
        Failure::Failed(format!("cannot read {}: {error}", self.path.display()))
    }
}

/// Returns the key of a call; blanks around it do not count if they are trimmed.
fn hash(call: &str, trims: bool) -> u128 {
    let call = if trims { call.trim() } else { call };
    let digest = Sha256::digest(call);
    let first = digest.first_chunk().expect("a digest has 32 bytes");
    u128::from_be_bytes(*first)
}

fn changed(file: &Path) -> Failure {
    Failure::Failed(format!(
        "{} changed between two reads; nothing may write to it while it is checked",
        file.display()
    ))
}

fn unprinted(error: &io::Error) -> Failure {
    Failure::Failed(format!("cannot print: {error}"))
}
