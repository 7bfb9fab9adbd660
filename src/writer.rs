//! Group commit: reports that arrive while a commit is under way go together in the next one.
//!
//! One task a partition owns the partition's [`Appender`](crate::store::Appender). It takes
//! whatever waits in its queue, commits it in one transaction, answers every caller, and looks
//! again: no timer, so nothing is delayed when it is idle, and groups grow by themselves under
//! load. A caller is answered only after the commit that holds its entries is durable.
//!
//! Callers give entries whose ids are fixed, so a group whose outcome is unknown is simply
//! written again.

mod group;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;

use crate::billable::entry::partition_of;
use crate::billable::{Billable, Entry, Field};
use crate::store::{LogInfo, Store, StoreError};

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
#[derive(Debug, thiserror::Error)]
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

/// Bytes that requests may hold at once, from a body's first byte to the answer: 64 MiB.
const MAX_BYTES_IN_FLIGHT: usize = 64 * 1024 * 1024;

/// The budget of bytes in flight. A clone is a handle to the same one.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Semaphore>);

/// A part of the budget, given back when dropped.
#[derive(Debug)]
pub struct Claim {
    budget: Budget,
    permit: OwnedSemaphorePermit,
}

impl Budget {
    /// A claim with what an entry needs whatever its body is.
    ///
    /// # Errors
    /// [`WriteError::Full`].
    pub fn claim(&self) -> Result<Claim, WriteError> {
        // Five texts of 256 scalar values and a key.
        const ENTRY: u32 = 6 * 1024;
        Ok(Claim {
            permit: self.take(ENTRY)?,
            budget: self.clone(),
        })
    }

    fn take(&self, bytes: u32) -> Result<OwnedSemaphorePermit, WriteError> {
        self.0
            .clone()
            .try_acquire_many_owned(bytes)
            .map_err(|_| WriteError::Full)
    }
}

impl Claim {
    /// Adds bytes to the claim.
    ///
    /// # Errors
    /// [`WriteError::Full`].
    pub fn grow(&mut self, bytes: usize) -> Result<(), WriteError> {
        let bytes = u32::try_from(bytes).map_err(|_| WriteError::Full)?;
        self.permit.merge(self.budget.take(bytes)?);
        Ok(())
    }
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
    _claim: Claim,
    reply: oneshot::Sender<Result<Vec<Outcome>, WriteError>>,
}

impl Writer {
    /// Starts a task for each partition of the log, with room for `queue` jobs each. The set
    /// ends when every task has; a task that panics shows up in it.
    pub fn start(store: &Store, log: LogInfo, queue: usize) -> (Self, JoinSet<()>) {
        let mut tasks = JoinSet::new();
        let mut queues = Vec::new();
        for partition in 0..log.partitions {
            let (sender, receiver) = mpsc::channel(queue);
            tasks.spawn(run(group::Group::new(store.appender(partition)), receiver));
            queues.push(sender);
        }
        let budget = Budget(Arc::new(Semaphore::new(MAX_BYTES_IN_FLIGHT)));
        (Self { queues, budget }, tasks)
    }

    /// The bytes that requests may hold.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Stores one recorded entry and waits until it is durable.
    ///
    /// # Errors
    /// See [`WriteError`]. Repeating the same entry is always harmless.
    pub async fn append(&self, entry: Entry, claim: Claim) -> Result<Outcome, WriteError> {
        let partitions =
            u32::try_from(self.queues.len()).expect("a log has at most 1024 partitions");
        let queue = &self.queues[partition_of(entry.billable_id, partitions) as usize];
        let (reply, outcome) = oneshot::channel();
        queue
            .try_send(Job {
                entries: vec![entry],
                _claim: claim,
                reply,
            })
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => WriteError::Full,
                mpsc::error::TrySendError::Closed(_) => WriteError::Unavailable,
            })?;
        match tokio::time::timeout(APPEND_DEADLINE, outcome).await {
            Ok(Ok(outcomes)) => Ok(outcomes?.pop().expect("an outcome for each entry")),
            Ok(Err(_)) | Err(_) => Err(WriteError::Unavailable),
        }
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

/// Commits the jobs together; if the store refuses the data, each by itself, so that one bad
/// entry fails only its own caller.
async fn commit(group: &mut group::Group, jobs: &mut Vec<Job>) {
    let together: Vec<&[Entry]> = jobs.iter().map(|job| &*job.entries).collect();
    let result = group.commit(&together).await;
    if matches!(result, Err(StoreError::Refused(_))) && jobs.len() > 1 {
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
