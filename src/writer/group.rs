//! One group: which of its entries are new, one transaction for those, an outcome for each.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::timeout;
use tracing::{debug, error, warn};
use uuid::Uuid;

use super::Outcome;
use crate::billable::{Billable, Entry};
use crate::store::{Appender, StoreError};
use crate::telemetry::chain;

/// How long one try at a group may take. Two of them fit the callers' deadline.
const TRY_DEADLINE: Duration = Duration::from_secs(5);

/// Commits groups to one partition.
#[derive(Debug)]
pub(super) struct Group {
    appender: Appender,
}

impl Group {
    pub(super) fn new(appender: Appender) -> Self {
        Self { appender }
    }

    /// Commits the entries of all jobs in one transaction, and returns each job's outcomes.
    ///
    /// A try whose outcome is unknown is repeated once on a new connection: the ids are fixed,
    /// so whatever the first one stored is found and not stored again.
    pub(super) async fn commit(
        &mut self,
        jobs: &[&[Entry]],
    ) -> Result<Vec<Vec<Outcome>>, StoreError> {
        // Of twins the first one is stored; the others are compared with it in memory.
        let mut firsts: HashMap<Uuid, &Entry> = HashMap::new();
        let mut distinct = Vec::new();
        for entry in jobs.iter().copied().flatten() {
            firsts.entry(entry.id).or_insert_with(|| {
                distinct.push(entry);
                entry
            });
        }
        let known = match self.try_store(&distinct).await {
            Err(error @ (StoreError::Unavailable(_) | StoreError::TimedOut)) => {
                warn!(
                    group.entries = distinct.len(),
                    error = chain(&error),
                    "repeating a group of unknown outcome"
                );
                self.try_store(&distinct).await
            }
            done => done,
        };
        let known = known.inspect_err(|error| {
            error!(
                group.entries = distinct.len(),
                error = chain(error),
                "a group was not confirmed"
            );
        })?;
        debug!(
            group.entries = distinct.len(),
            group.known = known.len(),
            "committed a group"
        );
        let outcomes = jobs.iter().map(|entries| {
            entries
                .iter()
                .map(|entry| outcome(entry, firsts[&entry.id], known.get(&entry.id)))
                .collect()
        });
        Ok(outcomes.collect())
    }

    async fn try_store(
        &mut self,
        entries: &[&Entry],
    ) -> Result<HashMap<Uuid, Billable>, StoreError> {
        match timeout(TRY_DEADLINE, self.store(entries)).await {
            Ok(done) => done,
            Err(_) => Err(StoreError::TimedOut),
        }
    }

    /// Stores those entries that are not stored yet, and returns the billables that were.
    ///
    /// They are looked up before the append, so that a group with nothing new takes no lock,
    /// and again after it, in case another process stored some in between.
    async fn store(&mut self, entries: &[&Entry]) -> Result<HashMap<Uuid, Billable>, StoreError> {
        let ids: Vec<_> = entries.iter().map(|entry| entry.id).collect();
        let mut known = self.find(&ids).await?;
        let fresh: Vec<_> = entries
            .iter()
            .copied()
            .filter(|entry| !known.contains_key(&entry.id))
            .collect();
        if fresh.is_empty() {
            self.appender.entries_confirm().await?;
            return Ok(known);
        }
        let inserted: HashSet<_> = self
            .appender
            .entries_append(&fresh)
            .await?
            .into_iter()
            .collect();
        let missed: Vec<_> = fresh
            .iter()
            .map(|entry| entry.id)
            .filter(|id| !inserted.contains(id))
            .collect();
        if !missed.is_empty() {
            known.extend(self.find(&missed).await?);
        }
        // Nothing is taken for stored because nothing went wrong: each entry was inserted just
        // now, or is there to be read.
        match missed.into_iter().find(|id| !known.contains_key(id)) {
            Some(lost) => Err(StoreError::NotStored(lost)),
            None => Ok(known),
        }
    }

    async fn find(&mut self, ids: &[Uuid]) -> Result<HashMap<Uuid, Billable>, StoreError> {
        let mut entries = self.appender.entries_find(ids).await?;
        if !entries.is_empty() {
            // What became of them since has ids of its own.
            let later: Vec<_> = entries
                .iter()
                .flat_map(|entry| Billable::later_ids(entry.id))
                .collect();
            entries.extend(self.appender.entries_find(&later).await?);
        }
        Ok(Billable::assemble(entries))
    }
}

/// What became of `entry`, whose id was first held by `first` in this group, and by `known` in
/// the log before.
fn outcome(entry: &Entry, first: &Entry, known: Option<&Billable>) -> Outcome {
    let holder = known.map_or(first, |billable| &billable.recorded);
    let differing = holder.reported.differing(&entry.reported);
    if !differing.is_empty() {
        return Outcome::Conflict(differing);
    }
    match known {
        None if std::ptr::eq(entry, first) => Outcome::Stored(Billable::new(entry.clone())),
        None => Outcome::Replayed(Billable::new(first.clone())),
        // Equal to the microsecond: this very entry, stored by a try that was not confirmed.
        Some(billable) if billable.recorded == *entry => Outcome::Stored(billable.clone()),
        Some(billable) => Outcome::Replayed(billable.clone()),
    }
}
