//! Callers of the writer, and what they are told.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::kind::Kind;
use super::log::SimulatedLog;
use crate::billable::{Billable, Entry, Void};
use crate::writer::group::Group;
use crate::writer::writable::Writable;
use crate::writer::{AppendOutcome, HeadWatcher, WriteError, Writer, task};

/// Longer than any caller waits by itself.
pub(super) const FOREVER: Duration = Duration::from_secs(60);

/// A writer and its task, which a restart of the process replaces.
pub(super) type Process = Arc<Mutex<(Writer, JoinHandle<()>)>>;

/// What callers were told.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Entries as sent, and the billable that was acknowledged, with whether it was new.
    pub(super) acknowledged: Vec<(Entry, Billable, bool)>,
    pub(super) conflicts: Vec<Entry>,
    /// Entries that were refused because of a full queue.
    pub(super) full: Vec<Entry>,
    pub(super) voided: Vec<Void>,
    pub(super) kinds: Vec<Kind>,
}

/// Starts a writer with one partition.
pub(super) fn start(log: &SimulatedLog, queue: usize) -> (Writer, JoinHandle<()>) {
    let (sender, receiver) = mpsc::channel(queue);
    let (heads, writable) = (HeadWatcher::new(), Writable::default());
    let group = Group::new(log.clone(), heads.clone(), writable.clone());
    let writer = Writer {
        queues: vec![sender],
        writable: vec![writable],
        heads,
    };
    (writer, tokio::spawn(task::run(group, receiver)))
}

pub(super) fn writer(process: &Process) -> Writer {
    process.lock().expect("nothing panics").0.clone()
}

/// Sends a report until it is answered, a few times.
pub(super) async fn report(
    process: &Process,
    tries: Vec<Vec<Entry>>,
    patience: Option<Duration>,
    told: &Mutex<Told>,
) {
    for entries in tries {
        let writer = writer(process);
        let appending = writer.append(entries.clone(), None);
        if let Some(patience) = patience {
            let Ok(outcomes) = timeout(patience, appending).await else {
                told.lock()
                    .expect("nothing panics")
                    .kinds
                    .push(Kind::CallerGaveUp);
                continue;
            };
            if note(&entries, outcomes, told) {
                return;
            }
        } else {
            let outcomes = timeout(FOREVER, appending).await;
            if note(&entries, outcomes.expect("everybody is answered"), told) {
                return;
            }
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// Notes outcomes. Returns whether each is final.
fn note(
    entries: &[Entry],
    outcomes: Vec<Result<AppendOutcome, WriteError>>,
    told: &Mutex<Told>,
) -> bool {
    assert_eq!(entries.len(), outcomes.len());
    let mut told = told.lock().expect("nothing panics");
    let mut is_final = true;
    let mut ids = HashSet::new();
    for (entry, outcome) in entries.iter().zip(outcomes) {
        if !ids.insert(entry.billable_id) {
            told.kinds.push(Kind::Twins);
        }
        match outcome {
            Ok(AppendOutcome::Stored(billable)) => {
                told.acknowledged.push((entry.clone(), billable, true));
            }
            Ok(AppendOutcome::Replayed(billable)) => {
                told.acknowledged.push((entry.clone(), billable, false));
            }
            Ok(AppendOutcome::Conflict(_, stored)) => {
                assert_ne!(stored.recorded.reported, entry.reported);
                told.kinds.push(Kind::Conflict);
                told.conflicts.push(entry.clone());
            }
            Err(WriteError::Full) => {
                told.kinds.push(Kind::QueueFull);
                told.full.push(entry.clone());
                is_final = false;
            }
            Err(WriteError::Unavailable) => is_final = false,
            Err(WriteError::Refused) => {}
        }
    }
    is_final
}
