//! `billables verify`: checks the whole log for consistency, in bounded memory, while a
//! server may be running.
//!
//! The log is read one batch at a time, and no transaction outlives its batch. Dependent rows are
//! read before the rows that they depend on, so that concurrent writes are not taken for damage.

mod entries;
mod entry;
mod sessions;

use std::fmt::Display;
use std::time::Instant;

use self::entries::Entries;
use super::import::client;
use super::progress::Progress;
use super::{Failure, open_log};
use crate::billable::{ClientName, Timestamp};
use crate::store::{Compared, ComparedDerived, Store, StoreError};
use crate::totals;

/// Maximum number of findings shown. All are counted.
const SHOWN: u64 = 100;

/// The clients whose imported ids are not checked.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Client that `import --client` was used with: the ids of its billables are not checked. The
    /// client `import` is always included.
    #[arg(long = "imported", value_name = "CLIENT", value_parser = client)]
    imported: Vec<ClientName>,
}

/// Counts the findings, and prints each when it is found.
#[derive(Debug, Default)]
struct Findings(u64);

impl Findings {
    #[expect(clippy::print_stdout, reason = "the result of the command")]
    fn add(&mut self, of: impl Display, what: impl Display) {
        self.0 += 1;
        if self.0 <= SHOWN {
            println!("{of}: {what}");
        }
    }
}

#[expect(clippy::print_stdout, reason = "the result of the command")]
pub(super) async fn run(url: &str, args: Args) -> Result<(), Failure> {
    let begun = Instant::now();
    let (store, log) = open_log(url).await?;
    let mut imported = args.imported;
    imported.extend(ClientName::parse("import"));
    let mut findings = Findings::default();
    for problem in store.file_problems().await? {
        findings.add("the file", problem);
    }
    let mut entries = Entries::new(&store, log, &imported, &mut findings);
    entries.check().await?;
    let counts = entries.counts;
    let pending = sessions::check(&store, log, &mut findings).await?;
    check_totals(&store, counts.entries, &mut findings).await?;
    store.close().await;

    let count = findings.0;
    if count > SHOWN {
        println!("and {} more", count - SHOWN);
    }
    let notes = [
        (
            counts.random,
            "billable(s) without identity: their random ids cannot be checked",
        ),
        (
            counts.kept,
            "imported billable(s) with ids from another system, which cannot be checked",
        ),
        (
            pending,
            "attribution(s) of sessions are not completed yet; a running server completes them",
        ),
    ];
    for (count, note) in notes.into_iter().filter(|(count, _)| *count > 0) {
        println!("{count} {note}");
    }
    println!(
        "verified {} entries, {} billables, {} partition(s) in {:.1} s: {count} finding(s)",
        counts.entries,
        counts.billables,
        log.partitions,
        begun.elapsed().as_secs_f64()
    );
    match count {
        0 => Ok(()),
        _ => Err(Failure::Failed(format!("{count} finding(s)"))),
    }
}

async fn check_totals(
    store: &Store,
    entries: u64,
    findings: &mut Findings,
) -> Result<(), StoreError> {
    let mut progress = Progress::new("comparing totals", Some(entries));
    let wrong = |bucket: Compared| {
        let Compared {
            level,
            partition,
            account_id,
            customer_id,
            starts_at,
            ..
        } = &bucket;
        let starts = shown(*starts_at);
        let width = match level {
            1 => "quarter of an hour",
            2 => "day",
            _ => "month",
        };
        let remedy = remedy(
            bucket.actual_billables + bucket.actual_voided,
            bucket.expected_billables + bucket.expected_voided,
        );
        findings.add(
            format_args!(
                "the total of the {width} from {starts}, partition {partition}, account {account_id:?}, customer {customer_id:?}"
            ),
            format_args!(
                "it has {} billable and {} voided but should have {} and {}; {remedy}",
                bucket.actual_billables, bucket.actual_voided, bucket.expected_billables, bucket.expected_voided
            ),
        );
    };
    totals::compare(store, wrong, |done| progress.at(done, done.min(entries))).await?;
    let wrong = |row: ComparedDerived| {
        let has = |billables: i64, voided: i64| match &*row.table_name {
            "undecided" => format!("{billables} unattributed"),
            _ => format!("{billables} billable and {voided} voided"),
        };
        let ComparedDerived {
            table_name,
            partition,
            account_id,
            session_id,
            starts_at,
            ..
        } = &row;
        let which = if session_id.is_empty() {
            format!("from {}", shown(*starts_at))
        } else {
            format!("session {session_id:?}")
        };
        findings.add(
            format_args!(
                "the table {table_name}, partition {partition}, account {account_id:?}, {which}"
            ),
            format_args!(
                "it has {} but should have {}; {}",
                has(row.actual_billables, row.actual_voided),
                has(row.expected_billables, row.expected_voided),
                remedy(
                    row.actual_billables + row.actual_voided,
                    row.expected_billables + row.expected_voided
                )
            ),
        );
    };
    totals::compare_derived(store, wrong).await
}

fn shown(micros: i64) -> String {
    Timestamp::from_micros(micros).map_or_else(|| micros.to_string(), |at| at.to_string())
}

/// A total that is too large is the only trace of entries deleted from the log.
fn remedy(actual: i64, expected: i64) -> &'static str {
    if actual > expected {
        "entries may be missing from the log, so compare the log with a backup before you run rebuild-totals"
    } else {
        "run rebuild-totals to repair it"
    }
}
