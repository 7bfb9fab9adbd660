//! The writing side of one partition of the log, in either database.

use std::collections::HashMap;

use uuid::Uuid;

use super::{StoreError, Voided, postgres, sqlite};
use crate::billable::{Attribution, Entry, ListKey, Pair, Void};

/// The billables whose entries an append inserted, each with the pair that the entry bills.
///
/// An entry that names no pair gets its session's, if that is decided and accepted. An entry whose
/// billable is not in the map was already committed, or the head is missing.
pub type Appended = HashMap<Uuid, Option<Pair>>;

/// Who appends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A server, whose clock gives the entries their `recorded_at`.
    Server,
    /// An import, whose entries have times from elsewhere.
    Import,
}

/// The writing side of one partition.
///
/// It connects on demand. It drops its connection whenever an operation fails or its future is
/// dropped, so that no transaction of unknown state is ever continued.
#[derive(Debug)]
pub enum Appender {
    /// PostgreSQL, or Citus.
    Postgres(postgres::Appender),
    /// An SQLite file.
    Sqlite(sqlite::Appender),
}

impl Appender {
    /// Returns the entries of these billables, in no particular order, without taking a lock.
    pub async fn entries_find(&mut self, ids: &[Uuid]) -> Result<Vec<Entry>, StoreError> {
        match self {
            Self::Postgres(appender) => appender.entries_find(ids).await,
            Self::Sqlite(appender) => appender.entries_find(ids).await,
        }
    }

    /// Makes sure that everything this connection has read is durable. An append does this, too.
    pub async fn entries_confirm(&mut self) -> Result<(), StoreError> {
        match self {
            Self::Postgres(appender) => appender.entries_confirm().await,
            // In SQLite, everything visible has been flushed, unless a flush failed.
            Self::Sqlite(appender) => appender.confirm(),
        }
    }

    /// Appends entries of one kind and of distinct billables in one durable transaction, under the
    /// lock of the partition's head. `recorded` entries without a pair get their session's, if it
    /// is decided and [accepted](Entry::accepts).
    ///
    /// # Errors
    /// After [`StoreError::Unavailable`], the entries may or may not be stored.
    pub async fn entries_append(&mut self, entries: &[&Entry]) -> Result<Appended, StoreError> {
        match self {
            Self::Postgres(appender) => appender.entries_append(entries).await,
            Self::Sqlite(appender) => appender.entries_append(entries).await,
        }
    }

    /// Fast path of [`Self::entries_append`] for entries that need no session lookup. Returns
    /// false, and changes nothing, if one of them is already stored or the head is missing.
    pub async fn entries_append_new(&mut self, entries: &[&Entry]) -> Result<bool, StoreError> {
        debug_assert!(!entries.iter().any(|entry| entry.awaits_pair()));
        match self {
            Self::Postgres(appender) => appender.entries_append_new(entries).await,
            Self::Sqlite(appender) => appender.entries_append_new(entries).await,
        }
    }

    /// Voids billables of this partition in one durable transaction. A billable that is already
    /// voided keeps its first reason.
    pub async fn entries_void(&mut self, voids: &[Void]) -> Result<Voided, StoreError> {
        match self {
            Self::Postgres(appender) => appender.entries_void(voids).await,
            Self::Sqlite(appender) => appender.entries_void(voids).await,
        }
    }

    /// Commits a transaction that changes nothing, to learn whether the partition can be written.
    /// Inserts `sample`, if given, and rolls that back: PostgreSQL keeps the space of such a row
    /// until it is vacuumed.
    pub async fn probe(&mut self, sample: Option<&Entry>) -> Result<(), StoreError> {
        match self {
            Self::Postgres(appender) => appender.probe(sample).await,
            Self::Sqlite(appender) => appender.probe(sample).await,
        }
    }

    /// Reads at most [`super::STEP`] of the session's entries in this partition and attributes
    /// their billables, unless they do not [accept](Entry::accepts) the pair, in one durable
    /// transaction.
    ///
    /// Returns the key to continue after, or `None` if the partition is done. From the first step
    /// on, new entries of the session get the pair immediately.
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
