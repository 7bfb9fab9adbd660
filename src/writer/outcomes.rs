//! What to answer for each entry of a committed group.

use std::collections::HashMap;

use tracing::error;
use uuid::Uuid;

use super::AppendOutcome;
use crate::billable::{Billable, Entry};
use crate::store::Appended;

/// The entries that a commit inserted.
#[derive(Debug)]
pub(super) enum New {
    /// All that were not known, each billed to the pair that it names.
    All,
    /// These, each billed to this pair.
    These(Appended),
}

/// A group that is committed.
#[derive(Debug)]
pub(super) struct Committed {
    /// Billables that were already stored.
    pub(super) known: HashMap<Uuid, Billable>,
    pub(super) new: New,
    /// The ids that more than one entry of the group has, each with its billable; `None` until its
    /// first entry has its outcome.
    pub(super) twins: HashMap<Uuid, Option<Billable>>,
    /// Whether an earlier attempt with an unknown outcome may have stored the entries.
    pub(super) is_repeated: bool,
}

impl Committed {
    /// Returns the outcomes of a command's entries. Call it once for each command, in the order in
    /// which they were committed: the first entry of an id decides the outcome of the later ones.
    pub(super) fn outcomes(&mut self, entries: Vec<Entry>) -> Vec<AppendOutcome> {
        entries
            .into_iter()
            .map(|entry| self.outcome(entry))
            .collect()
    }

    fn outcome(&mut self, entry: Entry) -> AppendOutcome {
        let id = entry.billable_id;
        let twin = self.twins.get_mut(&id);
        let first = twin.as_deref().cloned().flatten();
        let is_first = first.is_none();
        let known = self.known.get(&id).cloned();
        let is_known = known.is_some();
        let Some(stored) = known.or(first) else {
            let pair = match &mut self.new {
                New::All => entry.pair,
                New::These(pairs) => pairs.remove(&id).flatten(),
            };
            let billable = Billable::new(Entry { pair, ..entry });
            if let Some(twin) = twin {
                *twin = Some(billable.clone());
            }
            return AppendOutcome::Stored(billable);
        };
        if let Some(twin) = twin {
            twin.get_or_insert_with(|| stored.clone());
        }
        let differing = stored.recorded.reported.differing(&entry.reported);
        if !differing.is_empty() {
            if entry.identity.key().is_none() {
                // The id is computed from the fields, so the other report's id is forged or
                // foreign.
                error!(billable.id = %id, "two different reports have the same id");
            }
            return AppendOutcome::Conflict(differing, Box::new(stored));
        }
        // After an unconfirmed attempt, a stored entry that is equal, including its `recorded_at`,
        // is that attempt's. Without such an attempt it is a replay. The pair is not compared,
        // because it may come from the session.
        let pair = stored.recorded.pair.clone();
        let is_same = || stored.recorded == Entry { pair, ..entry };
        if self.is_repeated && is_known && is_first && is_same() {
            AppendOutcome::Stored(stored)
        } else {
            AppendOutcome::Replayed(stored)
        }
    }
}
