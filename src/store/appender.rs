//! The writing side of one partition of the log, in either database.

use std::collections::HashMap;

use uuid::Uuid;

use super::{StoreError, Voided, postgres, sqlite};
use crate::billable::{Attribution, Entry, ListKey, Pair, Void};

/// The ids that an append found new, with the pairs that their entries bill; a session that is
/// decided gives its pair to entries that name none. The others were there before, committed.
pub type Appended = HashMap<Uuid, Option<Pair>>;

/// The writing side of one partition.
///
/// It connects when it has to, and drops its connection whenever an operation does not end well
/// (a dropped future included), so that no transaction of unknown state is ever continued.
#[derive(Debug)]
pub enum Appender {
    /// PostgreSQL, or Citus.
    Postgres(postgres::Appender),
    /// An SQLite file.
    Sqlite(sqlite::Appender),
}

impl Appender {
    /// The entries that have one of `ids`, in no order, without taking a lock.
    pub async fn entries_find(&mut self, ids: &[Uuid]) -> Result<Vec<Entry>, StoreError> {
        match self {
            Self::Postgres(appender) => appender.entries_find(ids).await,
            Self::Sqlite(appender) => appender.entries_find(ids).await,
        }
    }

    /// Makes sure that everything this connection has found is durable. An append does so too.
    pub async fn entries_confirm(&mut self) -> Result<(), StoreError> {
        match self {
            Self::Postgres(appender) => appender.entries_confirm().await,
            // What is visible here has been flushed.
            Self::Sqlite(_) => Ok(()),
        }
    }

    /// Appends entries with distinct ids in one durable transaction, under the lock of the
    /// partition's head. Those that record without a pair get their session's, if it is decided.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] leaves it open whether the entries were stored.
    pub async fn entries_append(&mut self, entries: &[&Entry]) -> Result<Appended, StoreError> {
        match self {
            Self::Postgres(appender) => appender.entries_append(entries).await,
            Self::Sqlite(appender) => appender.entries_append(entries).await,
        }
    }

    /// As [`Self::entries_append`], of entries that bill nobody or whom they name: false, and nothing
    /// is changed, when one of them is stored already, or the head is missing.
    pub async fn entries_append_new(&mut self, entries: &[&Entry]) -> Result<bool, StoreError> {
        debug_assert!(!entries.iter().any(|entry| entry.awaits_pair()));
        match self {
            Self::Postgres(appender) => appender.entries_append_new(entries).await,
            Self::Sqlite(appender) => appender.entries_append_new(entries).await,
        }
    }

    /// Voids billables of this partition in one durable transaction. The first reason stays.
    pub async fn entries_void(&mut self, voids: &[Void]) -> Result<Voided, StoreError> {
        match self {
            Self::Postgres(appender) => appender.entries_void(voids).await,
            Self::Sqlite(appender) => appender.entries_void(voids).await,
        }
    }

    /// Attributes the next [`super::STEP`] billables of a session in this partition, in one durable
    /// transaction; returns where the next step goes on, or `None` when the partition is done. From
    /// the first step on, whoever records gets the pair at once.
    pub async fn entries_attribute(
        &mut self,
        attribution: &Attribution,
        after: Option<ListKey>,
    ) -> Result<Option<ListKey>, StoreError> {
        match self {
            Self::Postgres(appender) => appender.entries_attribute(attribution, after).await,
            Self::Sqlite(appender) => appender.entries_attribute(attribution, after).await,
        }
    }
}
