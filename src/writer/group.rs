//! Commits one group: finds its new entries, and stores them in one transaction.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tracing::{Instrument, debug, debug_span, error, warn};
use uuid::Uuid;

use super::HeadWatcher;
use super::log::Log;
use super::outcomes::{Committed, New};
use super::writable::{Known, Writable};
use crate::billable::{
    Attribution, Billable, ClientName, Entry, EntryKind, Identity, ListKey, Reported, Timestamp,
    Void,
};
use crate::metrics::METRICS;
use crate::store::{Appended, AttributionStep, StoreError};
use crate::telemetry::chain;

/// How long one attempt at a group may take. Two attempts fit into the callers' deadline.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long attempts are retried during an outage. After that each group gets only two attempts, so
/// that callers soon learn that the store is unavailable.
const RETRY_FOR: Duration = Duration::from_secs(5);

/// The first pause between two attempts. Each later pause is twice as long, up to [`MAX_PAUSE`].
const PAUSE: Duration = Duration::from_millis(20);
const MAX_PAUSE: Duration = Duration::from_millis(500);

/// Replays are no longer expected if a lookup finds none and the last one is this long ago. A group
/// with an unexpected replay costs a second insert after the first is rolled back.
const EXPECT_KNOWN: Duration = Duration::from_millis(100);

/// Commits groups to one partition.
#[derive(Debug)]
pub(super) struct Group<L> {
    log: L,
    heads: HeadWatcher,
    writable: Writable,
    retry: RetryState,
    /// When a group last had an entry that was already stored. The next group is then likely to
    /// have one too. The first lookup that finds none after [`EXPECT_KNOWN`] clears it.
    known_at: Option<Instant>,
}

/// The start of the current outage, and the failed attempts at the current group.
#[derive(Clone, Copy, Debug, Default)]
struct RetryState {
    since: Option<Instant>,
    pause: Duration,
    /// Failed attempts at the current group.
    tries: u32,
}

impl<L: Log> Group<L> {
    pub(super) fn new(log: L, heads: HeadWatcher, writable: Writable) -> Self {
        Self {
            log,
            heads,
            writable,
            retry: RetryState::default(),
            known_at: None,
        }
    }

    /// Whether the store has failed since its last confirmation.
    pub(super) fn is_retrying(&self) -> bool {
        self.retry.since.is_some()
    }

    /// Voids billables in one transaction; see [`super::Writer::void`].
    pub(super) async fn void(
        &mut self,
        voids: &[Void],
    ) -> Result<Vec<Option<(Billable, bool)>>, StoreError> {
        self.retry.begin();
        loop {
            self.writable.begin();
            let done = in_time(self.log.void(voids)).await;
            if let Some(done) = self.settle(done).await {
                let voided = done?;
                self.committed();
                return Ok(voided);
            }
        }
    }

    /// Takes one step of an attribution; see [`super::Writer::attribute`].
    pub(super) async fn attribute(
        &mut self,
        attributions: &[Attribution],
        after: Option<ListKey>,
    ) -> Result<AttributionStep, StoreError> {
        self.retry.begin();
        loop {
            self.writable.begin();
            let done = in_time(self.log.attribute(attributions, after)).await;
            if let Some(done) = self.settle(done).await {
                let step = done?;
                self.committed();
                return Ok(step);
            }
        }
    }

    /// Checks that the partition can be written: something was just committed, or a transaction that
    /// changes nothing can be. After a failure, that transaction also inserts an entry and rolls it
    /// back. There is one attempt.
    pub(super) async fn probe(&mut self) -> Result<(), StoreError> {
        if self.writable.known() == Known::Writable {
            return Ok(());
        }
        let sample = (!self.writable.was_written()).then(sample);
        self.writable.begin();
        let done = in_time(self.log.probe(sample.as_ref())).await;
        self.writable.end(done.is_err());
        if done.is_ok() {
            self.writable.written();
        }
        done
    }

    fn committed(&self) {
        self.writable.written();
        self.heads.committed();
    }

    /// Decides whether to retry; see [`RetryState::settle`].
    async fn settle<T>(&mut self, done: Result<T, StoreError>) -> Option<Result<T, StoreError>> {
        self.writable.end(done.is_err());
        self.retry.settle(done).await
    }

    /// Commits the entries of all commands in one transaction, and returns what to answer.
    ///
    /// An attempt with an unknown outcome is retried on a new connection. The ids are fixed, so
    /// entries that the first attempt stored are found and not stored again. `is_repeated` is true
    /// if an earlier group had these entries and may have stored them.
    pub(super) async fn commit(
        &mut self,
        commands: &[&[Entry]],
        is_repeated: bool,
    ) -> Result<Committed, StoreError> {
        // If entries share an id, the first is stored; the rest are compared with it in memory.
        let mut ids = HashSet::new();
        let mut twins = HashMap::new();
        let mut distinct = Vec::new();
        for entry in commands.iter().copied().flatten() {
            if ids.insert(entry.billable_id) {
                distinct.push(entry);
            } else {
                twins.insert(entry.billable_id, None);
            }
        }
        let span = debug_span!("commit");
        let started = Instant::now();
        self.retry.begin();
        let (known, new) = loop {
            self.writable.begin();
            let done = in_time(self.store(&distinct))
                .instrument(span.clone())
                .await;
            if let Some(done) = self.settle(done).await {
                break done?;
            }
        };
        METRICS.committed(started.elapsed(), distinct.len());
        debug!(
            parent: &span,
            group.entries = distinct.len(),
            group.known = known.len(),
            "committed a group"
        );
        Ok(Committed {
            known,
            new,
            twins,
            is_repeated: is_repeated || self.retry.tries > 0,
        })
    }

    /// Stores the entries that are not stored yet.
    ///
    /// Entries that the append finds already stored are looked up afterwards. While replays are
    /// expected or the store is failing, entries are also looked up before the append: a group
    /// without new entries then takes no lock, and is answered even if the store cannot write,
    /// unless the confirmation must wait for standbys.
    async fn store(
        &mut self,
        entries: &[&Entry],
    ) -> Result<(HashMap<Uuid, Billable>, New), StoreError> {
        let mut known = HashMap::new();
        let expects_known = self.known_at.is_some() || self.is_retrying();
        if expects_known {
            let ids: Vec<_> = entries.iter().map(|entry| entry.billable_id).collect();
            known = self.find(&ids).await?;
            self.note_known(!known.is_empty());
        }
        let fresh: Vec<_> = entries
            .iter()
            .copied()
            .filter(|entry| !known.contains_key(&entry.billable_id))
            .collect();
        if fresh.is_empty() {
            self.log.confirm().await?;
            return Ok((known, New::These(Appended::new())));
        }
        let may_be_new = !expects_known && !fresh.iter().any(|entry| entry.awaits_pair());
        if may_be_new && self.log.append_new(&fresh).await? {
            self.committed();
            return Ok((known, New::All));
        }
        let new = self.log.append(&fresh).await?;
        let missed: Vec<_> = fresh
            .iter()
            .map(|entry| entry.billable_id)
            .filter(|id| !new.contains_key(id))
            .collect();
        if !missed.is_empty() {
            self.note_known(true);
            known.extend(self.find(&missed).await?);
        }
        // The absence of an error does not prove that an entry is stored, so check that each one
        // either was inserted just now or can be read.
        if let Some(lost) = missed.into_iter().find(|id| !known.contains_key(id)) {
            return Err(StoreError::NotStored(lost));
        }
        self.committed();
        Ok((known, New::These(new)))
    }

    /// Notes whether a group had an entry that was already stored.
    fn note_known(&mut self, has_known: bool) {
        if has_known {
            self.known_at = Some(Instant::now());
        }
        self.known_at
            .take_if(|known_at| known_at.elapsed() >= EXPECT_KNOWN);
    }

    async fn find(&mut self, ids: &[Uuid]) -> Result<HashMap<Uuid, Billable>, StoreError> {
        Ok(Billable::assemble(self.log.find(ids).await?))
    }
}

/// Returns an entry that no report makes, to try whether entries can be inserted. It is never
/// committed.
fn sample() -> Entry {
    Entry {
        billable_id: Uuid::nil(),
        kind: EntryKind::Recorded,
        reported: Reported::default(),
        pair: None,
        occurred_at: Timestamp::MIN,
        recorded_at: Timestamp::MIN,
        client: ClientName::parse("probe").expect("a client name"),
        identity: Identity::None,
        reason: None,
    }
}

/// Runs one attempt, limited to [`ATTEMPT_TIMEOUT`].
async fn in_time<T>(attempt: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    match timeout(ATTEMPT_TIMEOUT, attempt).await {
        Ok(done) => done,
        Err(_) => Err(StoreError::TimedOut),
    }
}

impl RetryState {
    /// Starts the attempts at another group.
    fn begin(&mut self) {
        self.tries = 0;
        self.pause = PAUSE;
    }

    /// Decides whether to retry. Returns `None`, after a pause, if the outcome is unknown and the
    /// outage is shorter than [`RETRY_FOR`]; always allows one retry. The ids are fixed, so entries
    /// that an earlier attempt stored are found and not stored again.
    async fn settle<T>(&mut self, done: Result<T, StoreError>) -> Option<Result<T, StoreError>> {
        let error = match done {
            Ok(done) => {
                self.since = None;
                return Some(Ok(done));
            }
            Err(error) => error,
        };
        if !error.is_transient() {
            error!(error = chain(&error), "a write failed and is not retried");
            METRICS.commit_failures.inc();
            return Some(Err(error));
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        self.tries += 1;
        if self.tries > 1 && since.elapsed() >= RETRY_FOR {
            error!(error = chain(&error), "a write was not confirmed");
            METRICS.commit_failures.inc();
            return Some(Err(error));
        }
        warn!(
            error = chain(&error),
            "retrying a write with an unknown outcome"
        );
        METRICS.commit_repeats.inc();
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(MAX_PAUSE);
        None
    }
}
