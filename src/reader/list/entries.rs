//! The entries of a billable, as a list finds them.

use uuid::Uuid;

use crate::billable::{Billable, Entry, EntryKind};

/// The entries found for one billable.
pub(super) struct BillableEntries {
    pub(super) id: Uuid,
    pub(super) recorded: Option<Entry>,
    attributed: Option<Box<Entry>>,
    voided: Option<Box<Entry>>,
}

impl BillableEntries {
    pub(super) fn of(entry: Entry) -> Self {
        let mut group = Self {
            id: entry.billable_id,
            recorded: None,
            attributed: None,
            voided: None,
        };
        group.add(entry);
        group
    }

    pub(super) fn add(&mut self, entry: Entry) {
        match entry.kind {
            EntryKind::Recorded => self.recorded = Some(entry),
            EntryKind::Attributed => self.attributed = Some(Box::new(entry)),
            EntryKind::Voided => self.voided = Some(Box::new(entry)),
        }
    }

    pub(super) fn into_billable(self) -> Option<Billable> {
        Some(Billable {
            recorded: self.recorded?,
            attributed: self.attributed,
            voided: self.voided,
        })
    }
}
