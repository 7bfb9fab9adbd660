//! A partition of the log in memory, which fails in every way in which a database does.

use std::collections::HashMap;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::sleep;
use uuid::Uuid;

use super::kind::Kind;
use super::random::Random;
use crate::billable::{Attribution, Billable, Entry, EntryKind, ListKey, Pair, Text, Void};
use crate::store::{Appended, AttributionStep, StoreError, Voided};
use crate::writer::log::Log;

/// The partition. Clones share it; each is a connection of its own.
#[derive(Clone, Debug)]
pub(super) struct SimulatedLog {
    partition: Arc<Mutex<Partition>>,
    restarts: u32,
}

#[derive(Debug)]
pub(super) struct Partition {
    /// The entries in commit order.
    pub(super) entries: Vec<Entry>,
    keys: HashMap<(Uuid, EntryKind), usize>,
    pairs: HashMap<Text, Pair>,
    /// Changes whose connection is gone, and that were neither committed nor rolled back.
    open: Vec<Change>,
    restarts: u32,
    random: Random,
    /// Of how many calls one fails; 0 if none does.
    fault_rate: usize,
    slowness: Duration,
    /// Whether an answer about several billables lacks the last one.
    pub(super) is_short: bool,
    pub(super) seen: Vec<Kind>,
}

#[derive(Clone, Debug)]
enum Change {
    /// Entries, and whether all of them must be new.
    Append(Vec<Entry>, bool),
    Void(Vec<Void>),
    Attribute(Vec<Attribution>),
    Nothing,
}

/// What a change did.
enum Changed {
    Appended(Option<Appended>),
    Voided(Voided),
    Done,
}

impl Partition {
    fn get(&self, id: Uuid, kind: EntryKind) -> Option<&Entry> {
        self.keys.get(&(id, kind)).map(|at| &self.entries[*at])
    }

    pub(super) fn recorded(&self, id: Uuid) -> Option<&Entry> {
        self.get(id, EntryKind::Recorded)
    }

    pub(super) fn voided(&self, id: Uuid) -> Option<&Entry> {
        self.get(id, EntryKind::Voided)
    }

    fn of(&self, id: Uuid) -> impl Iterator<Item = Entry> {
        let kinds = [
            EntryKind::Recorded,
            EntryKind::Attributed,
            EntryKind::Voided,
        ];
        kinds
            .into_iter()
            .filter_map(move |kind| self.get(id, kind).cloned())
    }

    fn insert(&mut self, entry: Entry) {
        self.keys
            .insert((entry.billable_id, entry.kind), self.entries.len());
        self.entries.push(entry);
    }

    fn commit(&mut self, change: Change) -> Changed {
        match change {
            Change::Nothing => Changed::Done,
            Change::Append(entries, must_be_new) => {
                let is_known = |entry: &Entry| self.recorded(entry.billable_id).is_some();
                if must_be_new && entries.iter().any(is_known) {
                    return Changed::Appended(None);
                }
                let mut appended = Appended::new();
                for mut entry in entries {
                    if self.recorded(entry.billable_id).is_some() {
                        continue;
                    }
                    let session = entry.reported.session_id.as_ref();
                    let decided = session.and_then(|session| self.pairs.get(session));
                    if entry.pair.is_none() {
                        entry.pair = decided.filter(|pair| entry.accepts(pair)).cloned();
                    }
                    appended.insert(entry.billable_id, entry.pair.clone());
                    self.insert(entry);
                }
                Changed::Appended(Some(appended))
            }
            Change::Void(voids) => {
                let mut outcomes = Vec::new();
                for void in voids {
                    let found = Billable::assemble(self.of(void.billable_id));
                    let outcome = found.into_values().next().map(|mut billable| {
                        let is_replayed = match &billable.voided {
                            Some(entry) => entry.recorded_at != void.at,
                            None => {
                                let entry = billable.void(&void);
                                billable.voided = Some(Box::new(entry.clone()));
                                self.insert(entry);
                                false
                            }
                        };
                        (billable, is_replayed)
                    });
                    outcomes.push(outcome);
                }
                Changed::Voided(outcomes)
            }
            Change::Attribute(attributions) => {
                for attribution in attributions {
                    let session = attribution.session_id.clone();
                    self.pairs
                        .entry(session.clone())
                        .or_insert_with(|| attribution.pair.clone());
                    let open: Vec<_> = self
                        .entries
                        .iter()
                        .filter(|entry| {
                            entry.kind == EntryKind::Recorded
                                && entry.pair.is_none()
                                && entry.reported.session_id.as_ref() == Some(&session)
                                && self.of(entry.billable_id).count() == 1
                                && entry.accepts(&attribution.pair)
                        })
                        .map(|entry| entry.attributed(&attribution))
                        .collect();
                    for entry in open {
                        self.insert(entry);
                    }
                }
                Changed::Done
            }
        }
    }

    /// Commits or rolls back what other connections left open: all of it before a change, and any
    /// of it at any time.
    fn settle(&mut self, for_change: bool) {
        for change in std::mem::take(&mut self.open) {
            match self.random.below(3) {
                0 if !for_change => self.open.push(change),
                1 => drop(self.commit(change)),
                _ => {}
            }
        }
    }

    fn fault(&mut self) -> Option<Kind> {
        const FAULTS: [Kind; 6] = [
            Kind::LostAcknowledgement,
            Kind::Failure,
            Kind::LateCommit,
            Kind::Hang,
            Kind::NotStored,
            Kind::LogRestart,
        ];
        if self.fault_rate == 0 || !self.random.once_in(self.fault_rate) {
            return None;
        }
        let fault = *self.random.of(&FAULTS);
        self.seen.push(fault);
        Some(fault)
    }
}

impl SimulatedLog {
    /// Creates an empty partition, in which one of `fault_rate` calls fails.
    pub(super) fn new(random: Random, fault_rate: usize, slowness: Duration) -> Self {
        let partition = Partition {
            entries: Vec::new(),
            keys: HashMap::new(),
            pairs: HashMap::new(),
            open: Vec::new(),
            restarts: 0,
            random,
            fault_rate,
            slowness,
            is_short: false,
            seen: Vec::new(),
        };
        Self {
            partition: Arc::new(Mutex::new(partition)),
            restarts: 0,
        }
    }

    pub(super) fn partition(&self) -> MutexGuard<'_, Partition> {
        self.partition
            .lock()
            .expect("nothing panics under this lock")
    }

    /// Ends the faults, and settles what is open.
    pub(super) fn end(&self) {
        let mut partition = self.partition();
        partition.fault_rate = 0;
        partition.settle(true);
    }

    /// Takes the time of a call, and fails if the log was restarted since this connection's last.
    async fn call(&mut self) -> Result<(), StoreError> {
        let (takes, restarts) = {
            let mut partition = self.partition();
            let limit = 1 + usize::try_from(partition.slowness.as_millis()).expect("a short time");
            let takes = partition.random.below(limit);
            (Duration::from_millis(takes as u64), partition.restarts)
        };
        if !takes.is_zero() {
            sleep(takes).await;
        }
        if std::mem::replace(&mut self.restarts, restarts) == restarts {
            Ok(())
        } else {
            Err(StoreError::TimedOut)
        }
    }

    async fn change(&mut self, change: Change) -> Result<Changed, StoreError> {
        let mut sent = Sent {
            log: self.clone(),
            change: Some(change),
        };
        self.call().await?;
        let change = sent.change.take().expect("it is taken once");
        match self.answer(change) {
            Some(answer) => answer,
            None => pending().await,
        }
    }

    /// Returns the answer to a change, or `None` if there is none.
    fn answer(&self, change: Change) -> Option<Result<Changed, StoreError>> {
        let mut partition = self.partition();
        partition.settle(true);
        let unknown = Some(Err(StoreError::TimedOut));
        match partition.fault() {
            None => Some(Ok(partition.commit(change))),
            Some(Kind::LostAcknowledgement) => {
                partition.commit(change);
                unknown
            }
            Some(Kind::LateCommit) => {
                partition.open.push(change);
                unknown
            }
            Some(Kind::Hang) => {
                partition.open.push(change);
                None
            }
            Some(Kind::NotStored) => Some(Ok(match change {
                Change::Append(_, true) => Changed::Appended(None),
                Change::Append(_, false) => Changed::Appended(Some(Appended::new())),
                change => partition.commit(change),
            })),
            Some(Kind::LogRestart) => {
                partition.restarts += 1;
                unknown
            }
            Some(_) => unknown,
        }
    }
}

/// A change that was sent. It stays open if its future is dropped, or its connection breaks.
struct Sent {
    log: SimulatedLog,
    change: Option<Change>,
}

impl Drop for Sent {
    fn drop(&mut self) {
        if let Some(change) = self.change.take() {
            self.log.partition().open.push(change);
        }
    }
}

/// An entry that the database rejects.
fn is_refused(entry: &Entry) -> bool {
    entry.reported.call_sid.as_ref().map(Text::as_str) == Some(REFUSED)
}

/// The call of entries that the database rejects.
pub(super) const REFUSED: &str = "refused";

fn refuse(entries: &[&Entry]) -> Result<(), StoreError> {
    if entries.iter().any(|entry| is_refused(entry)) {
        return Err(StoreError::Corrupt {
            table: "entries",
            column: "call_sid",
            key: REFUSED.to_owned(),
        });
    }
    Ok(())
}

fn owned(entries: &[&Entry]) -> Vec<Entry> {
    entries.iter().copied().cloned().collect()
}

impl Log for SimulatedLog {
    async fn append(&mut self, entries: &[&Entry]) -> Result<Appended, StoreError> {
        refuse(entries)?;
        match self.change(Change::Append(owned(entries), false)).await? {
            Changed::Appended(appended) => Ok(appended.unwrap_or_default()),
            _ => unreachable!("entries were appended"),
        }
    }

    async fn append_new(&mut self, entries: &[&Entry]) -> Result<bool, StoreError> {
        refuse(entries)?;
        match self.change(Change::Append(owned(entries), true)).await? {
            Changed::Appended(appended) => Ok(appended.is_some()),
            _ => unreachable!("entries were appended"),
        }
    }

    async fn find(&mut self, ids: &[Uuid]) -> Result<Vec<Entry>, StoreError> {
        self.call().await?;
        let mut partition = self.partition();
        partition.settle(false);
        Ok(ids.iter().flat_map(|id| partition.of(*id)).collect())
    }

    async fn confirm(&mut self) -> Result<(), StoreError> {
        self.call().await
    }

    async fn void(&mut self, voids: &[Void]) -> Result<Voided, StoreError> {
        match self.change(Change::Void(voids.to_vec())).await? {
            Changed::Voided(mut voided) => {
                voided.truncate(voided.len() - usize::from(self.partition().is_short));
                Ok(voided)
            }
            _ => unreachable!("billables were voided"),
        }
    }

    async fn attribute(
        &mut self,
        attributions: &[Attribution],
        _: Option<ListKey>,
    ) -> Result<AttributionStep, StoreError> {
        let change = Change::Attribute(attributions.to_vec());
        self.change(change).await.map(|_| AttributionStep::Done)
    }

    async fn probe(&mut self, _: Option<&Entry>) -> Result<(), StoreError> {
        self.change(Change::Nothing).await.map(drop)
    }
}
