//! Group commit: reports that arrive during a commit share the next one.
//!
//! Each partition has one task, which owns its [`Appender`](crate::store::Appender). The task takes
//! commands until the group is full, the queue is empty, or the next command is a step of an
//! attribution. It commits the entries of all reports in one transaction, answers every caller, and
//! repeats. Voids, and each step of an attribution, have separate transactions. There is no timer, so
//! an idle task delays nothing, and groups grow with the load. A caller is answered only after the
//! commit that holds its entries is durable.
//!
//! The ids of entries are fixed by the caller, so a group with an unknown outcome is simply
//! written again.

mod group;
mod head_watcher;
mod log;
mod outcomes;
#[cfg(test)]
mod simulation;
mod task;
mod writable;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::runtime::{self, Runtime};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout, timeout_at};
use uuid::Uuid;

use crate::billable::entry::partition_of;
use crate::billable::{Attribution, Billable, Entry, Field, ListKey, Void};
use crate::limits::Claim;
use crate::metrics::{Limit, METRICS, as_i64};
use crate::store::{AttributionStep, LogInfo, Origin, Store};

pub use head_watcher::HeadWatcher;
use writable::{Known, Writable};

/// How long a caller waits for its commit, including the time in the queue.
const APPEND_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a probe of the partitions waits. An orchestrator waits a second by default.
const PROBE_TIMEOUT: Duration = Duration::from_millis(800);

/// The outcome of one entry.
#[derive(Debug)]
pub enum AppendOutcome {
    /// The entry was stored now.
    Stored(Billable),
    /// The entry was already stored, with the same content.
    Replayed(Billable),
    /// Another report, whose billable is given, has the same id and differs in these fields.
    Conflict(Vec<Field>, Box<Billable>),
}

/// Why an entry has no outcome. Only `Full` means that the entry was not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The queue is full, or the report has waited too long in an overloaded queue.
    #[error("the report queue is overloaded")]
    Full,
    /// The store is unavailable or did not confirm in time.
    #[error("the store did not confirm the write")]
    Unavailable,
    /// The store failed in a way that a retry cannot fix: it rejected the data, or the log is
    /// damaged.
    #[error("the store refused the write")]
    Refused,
}

/// A handle to the writer tasks. They end when the last handle is dropped, after committing
/// everything already accepted.
#[derive(Clone, Debug)]
pub struct Writer {
    queues: Vec<mpsc::Sender<Command>>,
    writable: Vec<Writable>,
    heads: HeadWatcher,
}

/// The writer tasks. They run on a separate runtime: on the request runtime a finished commit would
/// wait behind hundreds of request tasks, and the database would wait too.
#[derive(Debug)]
pub struct WriterTasks {
    tasks: JoinSet<()>,
    runtime: Option<Runtime>,
}

impl WriterTasks {
    /// Waits for a task to end and returns an error if it panicked, or `None` when all tasks have
    /// ended.
    pub async fn join_next(&mut self) -> Option<Result<(), JoinError>> {
        self.tasks.join_next().await
    }
}

impl Drop for WriterTasks {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // The drop may run inside a task, where blocking is not allowed.
            runtime.shutdown_background();
        }
    }
}

/// A request to a partition's task, and where the reply goes. Appends that are taken together share
/// a transaction, and so do voids.
#[derive(Debug)]
enum Command {
    /// Append entries.
    Append(Append),
    /// Void billables of this partition.
    Void(Vec<Void>, Reply<VoidOutcomes>),
    /// Take one step of an attribution.
    Attribute(Arc<[Attribution]>, Option<ListKey>, Reply<AttributionStep>),
    /// Check that the partition can be written.
    Probe(Reply<()>),
}

/// Voided billables, each with whether it was already voided; `None` if there is no billable that
/// the client may void.
type VoidOutcomes = Vec<Option<(Billable, bool)>>;

type Reply<T> = oneshot::Sender<Result<T, WriteError>>;

/// Entries of one partition that go into one transaction.
#[derive(Debug)]
struct Append {
    entries: Vec<Entry>,
    queued_at: Instant,
    /// Held until the command is done, even if the caller has disconnected.
    _claim: Option<Arc<Claim>>,
    reply: Reply<Vec<AppendOutcome>>,
}

/// Items of one partition, with their indexes in the caller's list.
#[derive(Debug)]
struct PartitionBatch<T> {
    indexes: Vec<usize>,
    items: Vec<T>,
}

impl Writer {
    /// Starts a task for each partition of the log, each with a queue of `queue` commands.
    ///
    /// # Panics
    /// The system cannot create a thread.
    pub fn start(store: &Store, log: LogInfo, queue: usize, origin: Origin) -> (Self, WriterTasks) {
        // A partition's task keeps at most one thread busy.
        let threads = available_parallelism()
            .map_or(1, usize::from)
            .min(log.partitions as usize);
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("writer")
            .enable_all()
            .build()
            .expect("the system can create the writer threads");
        let mut tasks = JoinSet::new();
        let (mut queues, mut writable) = (Vec::new(), Vec::new());
        let heads = HeadWatcher::new();
        for partition in 0..log.partitions {
            let (sender, receiver) = mpsc::channel(queue);
            let appender = store.appender(log, partition, origin);
            let written = Writable::default();
            let group = group::Group::new(appender, heads.clone(), written.clone());
            tasks.spawn_on(task::run(group, receiver), runtime.handle());
            queues.push(sender);
            writable.push(written);
        }
        let writer = Self {
            queues,
            writable,
            heads,
        };
        let writer_tasks = WriterTasks {
            tasks,
            runtime: Some(runtime),
        };
        (writer, writer_tasks)
    }

    /// The last positions of the log, as this process knows them.
    pub fn heads(&self) -> &HeadWatcher {
        &self.heads
    }

    /// Returns how many of how many partitions can be written: each has just committed something, is
    /// committing, or can commit a transaction that changes nothing within [`PROBE_TIMEOUT`].
    pub async fn writable(&self) -> (usize, usize) {
        let deadline = Instant::now() + PROBE_TIMEOUT;
        let (mut count, mut probing) = (0, Vec::new());
        for (queue, writable) in self.queues.iter().zip(&self.writable) {
            match writable.known() {
                Known::Writable => count += 1,
                Known::Stuck => {}
                Known::Unknown => {
                    if let Ok(room) = queue.try_reserve() {
                        let (reply, outcome) = oneshot::channel();
                        room.send(Command::Probe(reply));
                        probing.push(outcome);
                    }
                }
            }
        }
        for outcome in probing {
            count += usize::from(matches!(
                timeout_at(deadline, outcome).await,
                Ok(Ok(Ok(())))
            ));
        }
        (count, self.queues.len())
    }

    /// Sets the metrics of the queue's length and limit.
    pub fn measure(&self) {
        let queues = self.queues.iter();
        let (waiting, limit) = queues.fold((0, 0), |(waiting, limit), queue| {
            let capacity = queue.max_capacity();
            (waiting + capacity - queue.capacity(), limit + capacity)
        });
        METRICS.queue_jobs.set(as_i64(waiting));
        METRICS.queue_limit_jobs.set(as_i64(limit));
    }

    /// Stores recorded entries, waits until they are durable and returns their outcomes in order.
    ///
    /// The entries of one partition share one transaction. With several partitions, some entries
    /// may fail while others succeed. `claim`, the caller's claim on the byte budget, is held until
    /// the commands are done.
    ///
    /// # Errors
    /// See [`WriteError`]. If a partition's queue is full, none of its entries is stored. Retrying the
    /// same entries is always harmless.
    pub async fn append(
        &self,
        entries: Vec<Entry>,
        claim: Option<&Arc<Claim>>,
    ) -> Vec<Result<AppendOutcome, WriteError>> {
        let mut outcomes: Vec<_> = entries
            .iter()
            .map(|_| Err(WriteError::Unavailable))
            .collect();
        let batches = self.partitioned(entries, |entry| entry.billable_id);
        // Reserves room in every queue first, so that nothing is sent if one of them is full.
        let reserved: Result<Vec<_>, _> = batches
            .keys()
            .map(|partition| self.queues[*partition as usize].try_reserve())
            .collect();
        let rooms = match reserved {
            Ok(rooms) => rooms,
            Err(error) => {
                let error = refused(&error);
                return outcomes.into_iter().map(|_| Err(error)).collect();
            }
        };
        assert_eq!(rooms.len(), batches.len(), "room for each partition");
        let mut waiting = Vec::new();
        for (room, PartitionBatch { indexes, items }) in
            rooms.into_iter().zip(batches.into_values())
        {
            let (reply, outcome) = oneshot::channel();
            room.send(Command::Append(Append {
                entries: items,
                queued_at: Instant::now(),
                _claim: claim.cloned(),
                reply,
            }));
            waiting.push((indexes, outcome));
        }
        let deadline = Instant::now() + APPEND_TIMEOUT;
        for (indexes, outcome) in waiting {
            match timeout_at(deadline, outcome).await {
                Ok(Ok(Ok(done))) => {
                    assert_eq!(indexes.len(), done.len(), "an outcome for each entry");
                    for (index, outcome) in indexes.into_iter().zip(done) {
                        outcomes[index] = Ok(outcome);
                    }
                }
                Ok(Ok(Err(error))) => {
                    for index in indexes {
                        outcomes[index] = Err(error);
                    }
                }
                // The outcome is unknown, which is the default.
                Ok(Err(_)) | Err(_) => {}
            }
        }
        outcomes
    }

    /// Voids billables. Returns for each the billable and whether it was already voided, or `None`
    /// if there is no billable that the client may void. Billables of one partition share one
    /// transaction.
    ///
    /// # Errors
    /// See [`WriteError`]; some billables may be voided nevertheless. Retrying is always harmless.
    pub async fn void(
        &self,
        voids: Vec<Void>,
    ) -> Result<Vec<Option<(Billable, bool)>>, WriteError> {
        let mut outcomes: Vec<_> = voids.iter().map(|_| None).collect();
        for (partition, PartitionBatch { indexes, items }) in
            self.partitioned(voids, |void| void.billable_id)
        {
            let done = self
                .change(partition, |reply| Command::Void(items, reply))
                .await?;
            assert_eq!(indexes.len(), done.len(), "an outcome for each void");
            for (index, billable) in indexes.into_iter().zip(done) {
                outcomes[index] = billable;
            }
        }
        Ok(outcomes)
    }

    /// Takes one step of the attribution of distinct sessions in a partition. `after` is the key to
    /// continue after in a single session.
    ///
    /// # Errors
    /// See [`WriteError`]. Retrying is always harmless.
    pub async fn attribute(
        &self,
        partition: u32,
        attributions: Arc<[Attribution]>,
        after: Option<ListKey>,
    ) -> Result<AttributionStep, WriteError> {
        self.change(partition, |reply| {
            Command::Attribute(attributions, after, reply)
        })
        .await
    }

    async fn change<T>(
        &self,
        partition: u32,
        command: impl FnOnce(Reply<T>) -> Command,
    ) -> Result<T, WriteError> {
        let (reply, outcome) = oneshot::channel();
        let room = self.queues[partition as usize]
            .try_reserve()
            .map_err(|error| refused(&error))?;
        room.send(command(reply));
        match timeout(APPEND_TIMEOUT, outcome).await {
            Ok(Ok(done)) => done,
            Ok(Err(_)) | Err(_) => Err(WriteError::Unavailable),
        }
    }

    fn partitioned<T>(
        &self,
        items: Vec<T>,
        billable: fn(&T) -> Uuid,
    ) -> BTreeMap<u32, PartitionBatch<T>> {
        let partitions =
            u32::try_from(self.queues.len()).expect("a log has at most 256 partitions");
        let mut batches = BTreeMap::new();
        for (index, item) in items.into_iter().enumerate() {
            let batch = batches
                .entry(partition_of(billable(&item), partitions))
                .or_insert_with(|| PartitionBatch {
                    indexes: Vec::new(),
                    items: Vec::new(),
                });
            batch.indexes.push(index);
            batch.items.push(item);
        }
        batches
    }
}

fn refused(error: &mpsc::error::TrySendError<()>) -> WriteError {
    match error {
        mpsc::error::TrySendError::Full(()) => {
            METRICS.refused(Limit::Queue);
            WriteError::Full
        }
        mpsc::error::TrySendError::Closed(()) => WriteError::Unavailable,
    }
}
