//! The writing side of one partition: it locks the partition's head, appends a group and commits.
//!
//! The head of a partition is its row in `log_heads`. The transaction that locks the row appends next
//! and takes the next positions. On SQLite, `begin immediate` has taken the only write lock before;
//! the row is updated anyway, because positions come from it.

use std::fmt;

use sqlx::{Connection, Transaction};
use tokio::time::Instant;
use uuid::Uuid;

use super::find::find;
use super::insertion::{Appended, Insertion};
use crate::billable::{Entry, Timestamp};
use crate::store::LogInfo;
use crate::store::backend::Backend;
use crate::store::dialect::{Connector, Dialect, ServerFacts};
use crate::store::error::StoreError;
use crate::store::query::query;
use crate::store::row::{LOG, LogRow};
use crate::store::sql::Sql;

/// Who appends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A server, whose clock gives the entries their `recorded_at`.
    Server,
    /// An import, whose entries have times from elsewhere.
    Import,
}

/// The writing side of one partition, with the one connection that appends to it.
///
/// It connects on demand. It drops its connection whenever an operation fails or its future is
/// dropped, so that no transaction of unknown state is ever continued.
pub struct Appender<D: Dialect> {
    connector: D::Connector,
    log: LogInfo,
    pub(super) partition: i32,
    origin: Origin,
    pub(super) insertion: Insertion<D>,
    link: Option<Link<D>>,
}

/// An appender's connection.
pub(super) struct Link<D: Dialect> {
    pub(super) connection: D::Connection,
    server: ServerFacts,
    /// When the log was last checked.
    log_checked: Option<Instant>,
}

impl<D: Dialect> Link<D> {
    pub(super) async fn begin(&mut self) -> Result<Transaction<'_, D>, sqlx::Error> {
        self.connection.begin_with(Sql::from(D::BEGIN)).await
    }
}

/// Omits the connector, which may hold a password.
impl<D: Dialect> fmt::Debug for Appender<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Appender").field(&self.partition).finish()
    }
}

impl<D: Dialect> Backend<D> {
    pub(in crate::store) fn appender(
        &self,
        log: LogInfo,
        partition: u32,
        origin: Origin,
    ) -> Appender<D> {
        Appender {
            connector: self.connector.clone(),
            log,
            partition: partition.cast_signed(),
            origin,
            insertion: Insertion::new(),
            link: None,
        }
    }
}

impl<D: Dialect> Appender<D> {
    /// Takes the connection out of the appender, so that it is dropped unless the operation
    /// succeeds.
    pub(super) async fn take_link(&mut self) -> Result<Link<D>, StoreError> {
        let link = self.link.take();
        self.connector.recover().await?;
        let mut link = match link {
            Some(link) => link,
            None => {
                let (connection, server) = self.connector.connect().await?;
                Link {
                    connection,
                    server,
                    log_checked: None,
                }
            }
        };
        if link
            .log_checked
            .is_none_or(|at| at.elapsed() >= D::CHECK_LOG_EVERY)
        {
            let log: LogRow = query::<D>(LOG).fetch_one(&mut link.connection).await?;
            if LogInfo::from(log) != self.log {
                return Err(StoreError::WrongLog);
            }
            link.log_checked = Some(Instant::now());
        }
        Ok(link)
    }

    /// Checks that what was committed or read may be acknowledged, and keeps the connection.
    pub(super) fn confirm(&mut self, link: Link<D>) -> Result<(), StoreError> {
        self.connector.confirm()?;
        self.link = Some(link);
        Ok(())
    }

    /// Takes `count` positions in a transaction. `recorded_at` is the time of the latest entry.
    /// Returns false if there is no head.
    pub(super) async fn lock_head(
        &self,
        connection: &mut D::Connection,
        count: usize,
        recorded_at: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        let lock = lock::<D>("$1".into(), "$2".into(), "$3".into());
        let mut lock = query::<D>(lock)
            .bind(i64::try_from(count).expect("a group is bounded"))
            .bind(self.partition);
        if D::KEEPS_TIME {
            lock = lock.bind(self.of_server(recorded_at));
        }
        Ok(lock.execute(connection).await? == 1)
    }

    /// Returns a time if a server's clock gave it, in microseconds since 1970; else 0.
    fn of_server(&self, recorded_at: Option<Timestamp>) -> i64 {
        match (self.origin, recorded_at) {
            (Origin::Server, Some(at)) => at.as_micros(),
            _ => 0,
        }
    }

    /// Begins a transaction, locks the head and takes a position for each entry, in one round trip
    /// instead of several: in PostgreSQL each costs as much as inserting a few dozen rows. It takes
    /// two on Citus, which sends the whole text that contains a `SET LOCAL` to its workers.
    ///
    /// The head is locked first, so that groups with overlapping ids cannot deadlock.
    async fn begin_append<'c>(
        &self,
        link: &'c mut Link<D>,
        entries: &[&Entry],
    ) -> Result<Transaction<'c, D>, StoreError> {
        let latest = entries.iter().map(|entry| entry.recorded_at).max();
        if !link.server.is_citus {
            let count = i64::try_from(entries.len()).expect("a group is bounded");
            let lock = lock::<D>(
                count.into(),
                i64::from(self.partition).into(),
                self.of_server(latest).into(),
            );
            let begin = Sql::from(D::BEGIN) + "; " + lock;
            return Ok(link.connection.begin_with(begin).await?);
        }
        let mut transaction = link.begin().await?;
        self.lock_head(&mut transaction, entries.len(), latest)
            .await?;
        Ok(transaction)
    }

    pub(in crate::store) async fn entries_find(
        &mut self,
        ids: &[Uuid],
    ) -> Result<Vec<Entry>, StoreError> {
        let mut link = self.take_link().await?;
        let found = find::<D>(&mut link.connection, self.partition, ids).await?;
        self.link = Some(link);
        Ok(found)
    }

    /// If commits may wait for standbys, commits a transaction that changes nothing, which returns
    /// when everything before it is replicated. Otherwise a repeat of a report whose commit was
    /// waiting when its connection broke would find the entry, and be answered as stored.
    ///
    /// SQLite needs no commit: everything visible has been flushed, unless a flush failed.
    pub(in crate::store) async fn entries_confirm(&mut self) -> Result<(), StoreError> {
        self.connector.confirm()?;
        let mut link = self.take_link().await?;
        if link.server.has_standbys {
            let mut transaction = link.begin().await?;
            self.lock_head(&mut transaction, 0, None).await?;
            transaction.commit().await?;
        }
        self.confirm(link)
    }

    pub(in crate::store) async fn entries_append(
        &mut self,
        entries: &[&Entry],
    ) -> Result<Appended, StoreError> {
        let mut link = self.take_link().await?;
        let mut transaction = self.begin_append(&mut link, entries).await?;
        // Nothing is inserted if the head is missing, which the caller sees from the returned ids.
        let new = self
            .insertion
            .insert(&mut transaction, self.partition, entries)
            .await?;
        transaction.commit().await?;
        self.confirm(link)?;
        Ok(new)
    }

    /// Appends a group without returning rows and without looking up the sessions' pairs.
    pub(in crate::store) async fn entries_append_new(
        &mut self,
        entries: &[&Entry],
    ) -> Result<bool, StoreError> {
        debug_assert!(!entries.iter().any(|entry| entry.awaits_pair()));
        let mut link = self.take_link().await?;
        let mut transaction = self.begin_append(&mut link, entries).await?;
        let are_stored = self
            .insertion
            .insert_new(&mut transaction, self.partition, entries)
            .await?;
        if are_stored {
            transaction.commit().await?;
            self.confirm(link)?;
        } else {
            transaction.rollback().await?;
            self.link = Some(link);
        }
        Ok(are_stored)
    }
}

/// Returns the SQL that locks the head of a partition and takes `count` positions.
fn lock<D: Dialect>(count: Sql, partition: Sql, recorded_at: Sql) -> Sql {
    let lock = Sql::from("update log_heads set next_position = next_position + ") + count;
    let lock = if D::KEEPS_TIME {
        lock + ", recorded_at = max(recorded_at, " + recorded_at + ")"
    } else {
        lock
    };
    lock + " where partition = " + partition
}
