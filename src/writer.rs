//! Group commit: reports that arrive while a commit is under way go together in the next one.
//!
//! One task a partition owns the partition's [`Appender`](crate::store::Appender). It takes
//! whatever waits in its queue, commits it in one transaction, answers every caller, and looks
//! again: no timer, so nothing is delayed when it is idle, and groups grow by themselves under
//! load. A caller is answered only after the commit that holds its entries is durable.
//!
//! Callers give entries whose ids are fixed, so a group whose outcome is unknown is simply
//! written again.

mod budget;
mod group;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::billable::entry::partition_of;
use crate::billable::{Billable, Entry, Field};
use crate::store::{LogInfo, Store, StoreError};

pub use budget::{Budget, Claim};

/// Entries in one commit, unless a single job has more. 500 entries of 300 bytes are 150 kB and
/// commit in some 7 ms on PostgreSQL.
const MAX_GROUP: usize = 500;

/// How long a caller waits for its commit, the time in the queue included.
const APPEND_DEADLINE: Duration = Duration::from_secs(15);

/// What became of one entry.
#[derive(Debug)]
pub enum Outcome {
    /// It is stored now.
    Stored(Billable),
    /// It was stored before, with the same content.
    Replayed(Billable),
    /// Another report has its id, with other content in these fields.
    Conflict(Vec<Field>),
}

/// Why there is no outcome. Only the first says that nothing was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The queue is full.
    #[error("the queue of reports is full")]
    Full,
    /// The store is away, did not confirm, or not in time.
    #[error("the store did not confirm")]
    Unavailable,
    /// The store refuses the entries themselves.
    #[error("the store refused the entries")]
    Refused,
}

/// A handle to the writing tasks. They end when the last handle is dropped, after committing
/// everything already accepted.
#[derive(Clone, Debug)]
pub struct Writer {
    queues: Vec<mpsc::Sender<Job>>,
    budget: Budget,
}

/// Entries of one partition that go into one transaction.
#[derive(Debug)]
struct Job {
    entries: Vec<Entry>,
    /// Held until the job is done, even when its caller has gone.
    _claim: Arc<Claim>,
    reply: oneshot::Sender<Result<Vec<Outcome>, WriteError>>,
}

/// Entries of one partition, and their places in what the caller gave.
#[derive(Debug, Default)]
struct Part {
    places: Vec<usize>,
    entries: Vec<Entry>,
}

impl Writer {
    /// Starts a task for each partition of the log, with room for `queue` jobs each. The set
    /// ends when every task has; a task that panics shows up in it.
    pub fn start(store: &Store, log: LogInfo, queue: usize) -> (Self, JoinSet<()>) {
        let mut tasks = JoinSet::new();
        let mut queues = Vec::new();
        for partition in 0..log.partitions {
            let (sender, receiver) = mpsc::channel(queue);
            tasks.spawn(run(
                group::Group::new(store.appender(log, partition)),
                receiver,
            ));
            queues.push(sender);
        }
        let budget = Budget::new();
        (Self { queues, budget }, tasks)
    }

    /// The bytes that requests may hold.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Stores recorded entries and waits until they are durable. Returns what became of each,
    /// in order. The entries of one partition go into one transaction, so all of them do where
    /// the log has one; of several partitions some may fail while others succeed.
    ///
    /// # Errors
    /// See [`WriteError`]. When the queue is full nothing is stored. Repeating the same entries
    /// is always harmless.
    pub async fn append(
        &self,
        entries: Vec<Entry>,
        claim: &Arc<Claim>,
    ) -> Vec<Result<Outcome, WriteError>> {
        let mut outcomes: Vec<_> = entries
            .iter()
            .map(|_| Err(WriteError::Unavailable))
            .collect();
        let parts = self.partitioned(entries);
        // Room in every queue first, so that nothing is under way when one of them is full.
        let rooms: Result<Vec<_>, _> = parts
            .keys()
            .map(|partition| self.queues[*partition as usize].try_reserve())
            .collect();
        let rooms = match rooms {
            Ok(rooms) => rooms,
            Err(error) => {
                let error = match error {
                    mpsc::error::TrySendError::Full(()) => WriteError::Full,
                    mpsc::error::TrySendError::Closed(()) => WriteError::Unavailable,
                };
                return outcomes.into_iter().map(|_| Err(error)).collect();
            }
        };
        let mut waiting = Vec::new();
        for (room, Part { places, entries }) in rooms.into_iter().zip(parts.into_values()) {
            let (reply, outcome) = oneshot::channel();
            room.send(Job {
                entries,
                _claim: claim.clone(),
                reply,
            });
            waiting.push((places, outcome));
        }
        let deadline = Instant::now() + APPEND_DEADLINE;
        for (places, outcome) in waiting {
            match timeout_at(deadline, outcome).await {
                Ok(Ok(Ok(done))) => {
                    for (place, outcome) in places.into_iter().zip(done) {
                        outcomes[place] = Ok(outcome);
                    }
                }
                Ok(Ok(Err(error))) => {
                    for place in places {
                        outcomes[place] = Err(error);
                    }
                }
                // Nothing is certain, as it was before.
                Ok(Err(_)) | Err(_) => {}
            }
        }
        outcomes
    }

    fn partitioned(&self, entries: Vec<Entry>) -> BTreeMap<u32, Part> {
        let partitions =
            u32::try_from(self.queues.len()).expect("a log has at most 1024 partitions");
        let mut parts: BTreeMap<u32, Part> = BTreeMap::new();
        for (place, entry) in entries.into_iter().enumerate() {
            let part = parts
                .entry(partition_of(entry.billable_id, partitions))
                .or_default();
            part.places.push(place);
            part.entries.push(entry);
        }
        parts
    }
}

async fn run(mut group: group::Group, mut queue: mpsc::Receiver<Job>) {
    let mut jobs = Vec::new();
    while let Some(first) = queue.recv().await {
        let mut rows = first.entries.len();
        jobs.push(first);
        while rows < MAX_GROUP {
            let Ok(job) = queue.try_recv() else { break };
            rows += job.entries.len();
            jobs.push(job);
        }
        // Whoever gave up was told that nothing is certain; under overload this is the work
        // that need not be done.
        jobs.retain(|job| !job.reply.is_closed());
        if !jobs.is_empty() {
            commit(&mut group, &mut jobs).await;
        }
    }
}

/// Commits the jobs together; if something is wrong with one of them, or with what is stored
/// under its ids, each by itself, so that it fails only its own caller.
async fn commit(group: &mut group::Group, jobs: &mut Vec<Job>) {
    let together: Vec<&[Entry]> = jobs.iter().map(|job| &*job.entries).collect();
    let result = group.commit(&together).await;
    let is_about_one = matches!(
        result,
        Err(StoreError::Refused(_) | StoreError::Corrupt { .. } | StoreError::NotStored(_))
    );
    if is_about_one && jobs.len() > 1 {
        for Job {
            entries,
            reply,
            _claim,
        } in jobs.drain(..)
        {
            let alone = group
                .commit(&[&entries])
                .await
                .map(|mut outcomes| outcomes.remove(0));
            // A caller that has gone needs no answer.
            let _ = reply.send(alone.map_err(|error| failed(&error)));
        }
        return;
    }
    match result {
        Ok(outcomes) => {
            for (job, outcomes) in jobs.drain(..).zip(outcomes) {
                let _ = job.reply.send(Ok(outcomes));
            }
        }
        Err(error) => {
            for job in jobs.drain(..) {
                let _ = job.reply.send(Err(failed(&error)));
            }
        }
    }
}

fn failed(error: &StoreError) -> WriteError {
    match error {
        StoreError::Unavailable(_) | StoreError::TimedOut => WriteError::Unavailable,
        StoreError::Refused(_) | StoreError::NotStored(_) | StoreError::Corrupt { .. } => {
            WriteError::Refused
        }
    }
}
