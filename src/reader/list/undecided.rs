//! Lists of what is unattributed, whatever the session, account and customer. No index has it.

use std::sync::atomic::Ordering;

use uuid::Uuid;

use super::{List, MAX_OF_CALL, sort};
use crate::billable::{BillableState, ListKey, LogEntry, Timestamp};
use crate::store::{ScanIndex, StoreError, UndecidedLookup};

/// What is read of such a list.
pub(super) enum Undecided {
    /// The next entries, and where the next read starts if there may be more.
    Found(Vec<LogEntry>, Option<ListKey>),
    /// The next ones are found by a scan in order of time after this key.
    After(ListKey),
}

impl List {
    /// Whether the list is one.
    pub(super) fn is_of_undecided(&self) -> bool {
        self.filter.state == Some(BillableState::Unattributed)
            && matches!(*self.indexes(), [(ScanIndex::All, None)])
    }

    /// Reads all of it, unless it is too much; then says where the next is.
    pub(super) async fn find_undecided(
        &self,
        after: ListKey,
        limit: usize,
    ) -> Result<Undecided, StoreError> {
        if !self.has_many_undecided.load(Ordering::Relaxed) {
            let lookup = UndecidedLookup {
                from: self.filter.from.unwrap_or(Timestamp::MIN),
                cut: &self.cut,
                limit: MAX_OF_CALL,
            };
            if let Some(mut rows) = self.store.entries_undecided(self.log, &lookup).await? {
                rows.retain(|row| row.entry.list_key() < after);
                sort(&mut rows);
                let is_whole = rows.len() <= limit;
                rows.truncate(limit);
                let last = rows.last().filter(|_| !is_whole);
                let end = last.map(|row| row.entry.list_key());
                return Ok(Undecided::Found(rows, end));
            }
            self.has_many_undecided.store(true, Ordering::Relaxed);
        }
        let last = after.occurred_at.as_micros();
        let end = self
            .store
            .unattributed_end(self.log, &self.cut, last.saturating_add(1))
            .await?;
        Ok(match end {
            None => Undecided::Found(Vec::new(), None),
            Some(end) if end < last => Undecided::After(ListKey {
                occurred_at: Timestamp::from_micros(end).unwrap_or(after.occurred_at),
                billable_id: Uuid::nil(),
            }),
            Some(_) => Undecided::After(after),
        })
    }
}
