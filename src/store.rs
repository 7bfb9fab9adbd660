//! The two databases behind one set of operations. All SQL of the crate is below this module.
//!
//! An operation is named `resource_verb`. Absent is `Ok(None)`. The two backends' files line up:
//! read `postgres/entries.rs` beside `sqlite/entries.rs`.
//!
//! **Invariant:** an append returns only after its transaction is durable. The settings that
//! promise depends on are checked when a store is opened and again whenever a writing connection
//! is made, because a database can come back from a failover as another one.

mod open;
mod postgres;
mod row;
mod sqlite;
mod tokens;

use uuid::Uuid;

use crate::billable::{Entry, Instant};
use crate::token::{SecretHash, Token};

pub use open::OpenError;

/// Connections for refreshing tokens and health, apart from those for reading, so that slow
/// reads cannot keep a revoked token alive.
const CONTROL_CONNECTIONS: u32 = 2;

/// An opened database. A clone is a handle to the same connections.
#[derive(Clone, Debug)]
pub enum Store {
    /// PostgreSQL, or Citus.
    Postgres(postgres::Store),
    /// An SQLite file.
    Sqlite(sqlite::Store),
}

/// What the log is, fixed when it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogInfo {
    /// Random; tells this log from every other.
    pub epoch: Uuid,
    /// How many partitions it has.
    pub partitions: u32,
}

/// A token and the hash of its secret, or why its row is unusable.
pub type TokenFound = Result<(SecretHash, Token), StoreError>;

/// Why an operation did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database is away, or did not confirm. What was written may or may not be stored;
    /// writing the same ids again is harmless.
    #[error("the database is unavailable")]
    Unavailable(#[source] sqlx::Error),
    /// The database did not answer in time; what holds for [`Self::Unavailable`] holds here.
    #[error("the database did not answer in time")]
    TimedOut,
    /// The database refuses the data itself; writing it again cannot help.
    #[error("the database refused the data")]
    Refused(#[source] sqlx::Error),
    /// The database took an entry without complaint and does not have it: the head of its
    /// partition is missing.
    #[error("the entry {0} was not stored: its partition has no row in log_heads")]
    NotStored(Uuid),
    /// A stored row is not one that this program writes.
    #[error("the table {table} has an unusable {column} in the row {key}")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The row's id.
        key: Uuid,
    },
}

impl StoreError {
    /// The database was replaced under a running server. Ids would land in other partitions.
    fn other_log() -> Self {
        let reason = "the database holds another log than when this server was started";
        Self::Unavailable(sqlx::Error::Configuration(reason.into()))
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let is_refused = error.as_database_error().is_some_and(|database| {
            let code = database.code().unwrap_or_default();
            match database.try_downcast_ref::<sqlx::postgres::PgDatabaseError>() {
                // data exception, constraint violation, program limit exceeded, raised by a
                // trigger
                Some(_) => ["22", "23", "54", "P0"]
                    .iter()
                    .any(|class| code.starts_with(class)),
                // the primary code is the low byte: too big, constraint, mismatch, range
                None => code
                    .parse()
                    .is_ok_and(|code: i32| matches!(code & 0xff, 18 | 19 | 20 | 25)),
            }
        });
        if is_refused {
            Self::Refused(error)
        } else {
            Self::Unavailable(error)
        }
    }
}

impl Store {
    /// Opens the database of a URL, and refuses one that may lose acknowledged commits.
    ///
    /// # Errors
    /// One clear sentence: the URL, the connection, or the setting that is in the way.
    pub async fn open(url: &str, read_connections: u32) -> Result<Self, OpenError> {
        if url.starts_with("sqlite:") {
            Ok(Self::Sqlite(
                sqlite::Store::open(url, read_connections).await?,
            ))
        } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            Ok(Self::Postgres(
                postgres::Store::open(url, read_connections).await?,
            ))
        } else {
            Err(OpenError::Scheme)
        }
    }

    /// Brings the schema up to date. Harmless to repeat.
    ///
    /// # Errors
    /// A migration failed, or a newer program has migrated further.
    pub async fn migrate(&self) -> Result<(), OpenError> {
        match self {
            Self::Postgres(store) => store.migrate().await,
            Self::Sqlite(store) => store.migrate().await,
        }
    }

    /// Makes the log if there is none, with `partitions` (1 when not given), and says what it is.
    ///
    /// # Errors
    /// [`OpenError::PartitionsFixed`] when the log was made with another number.
    pub async fn log_prepare(
        &self,
        partitions: Option<u32>,
        now: Instant,
    ) -> Result<LogInfo, OpenError> {
        let mut epoch = [0; 16];
        getrandom::fill(&mut epoch).map_err(OpenError::Randomness)?;
        let fresh = LogInfo {
            epoch: Uuid::new_v8(epoch),
            partitions: partitions.unwrap_or(1),
        };
        let log = match self {
            Self::Postgres(store) => store
                .log_prepare(fresh, now)
                .await
                .map_err(OpenError::Prepare)?,
            Self::Sqlite(_) if fresh.partitions != 1 => return Err(OpenError::OnePartition),
            Self::Sqlite(store) => store
                .log_prepare(fresh, now)
                .await
                .map_err(OpenError::Prepare)?,
        };
        match partitions {
            Some(wanted) if wanted != log.partitions => Err(OpenError::PartitionsFixed {
                wanted,
                made: log.partitions,
            }),
            _ => Ok(log),
        }
    }

    /// The writing side of one partition of the log, with a connection of its own.
    pub fn appender(&self, log: LogInfo, partition: u32) -> Appender {
        match self {
            Self::Postgres(store) => Appender::Postgres(store.appender(log, partition)),
            Self::Sqlite(store) => Appender::Sqlite(store.appender(log, partition)),
        }
    }

    /// The entries of `partition` that have one of `ids`, in no order.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn entries_find(
        &self,
        partition: u32,
        ids: &[Uuid],
    ) -> Result<Vec<Entry>, StoreError> {
        match self {
            Self::Postgres(store) => store.entries_find(partition, ids).await,
            Self::Sqlite(store) => store.entries_find(partition, ids).await,
        }
    }

    /// Stores a token.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn token_insert(&self, token: &Token, hash: &SecretHash) -> Result<(), StoreError> {
        match self {
            Self::Postgres(store) => store.token_insert(token, hash).await,
            Self::Sqlite(store) => store.token_insert(token, hash).await,
        }
    }

    /// Every token that is not revoked, expired ones included, oldest first. A row that is not
    /// one that this program writes, such as one of a newer program, stands for itself alone.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn tokens_list(&self) -> Result<Vec<TokenFound>, StoreError> {
        match self {
            Self::Postgres(store) => store.tokens_list().await,
            Self::Sqlite(store) => store.tokens_list().await,
        }
    }

    /// Whether a token was ever made, revoked ones included.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn tokens_exist(&self) -> Result<bool, StoreError> {
        match self {
            Self::Postgres(store) => store.tokens_exist().await,
            Self::Sqlite(store) => store.tokens_exist().await,
        }
    }

    /// Revokes a token; false when there is none of that id, or it was revoked before.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn token_revoke(&self, id: Uuid, now: Instant) -> Result<bool, StoreError> {
        match self {
            Self::Postgres(store) => store.token_revoke(id, now).await,
            Self::Sqlite(store) => store.token_revoke(id, now).await,
        }
    }

    /// Whether this is the embedded database.
    pub fn is_embedded(&self) -> bool {
        matches!(self, Self::Sqlite(_))
    }

    /// Closes the connections, after the operations under way.
    pub async fn close(&self) {
        match self {
            Self::Postgres(store) => store.close().await,
            Self::Sqlite(store) => store.close().await,
        }
    }
}

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
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn entries_find(&mut self, ids: &[Uuid]) -> Result<Vec<Entry>, StoreError> {
        match self {
            Self::Postgres(appender) => appender.entries_find(ids).await,
            Self::Sqlite(appender) => appender.entries_find(ids).await,
        }
    }

    /// Makes sure that everything this connection has found is durable. An append does so too.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn entries_confirm(&mut self) -> Result<(), StoreError> {
        match self {
            Self::Postgres(appender) => appender.entries_confirm().await,
            // What is visible here has been flushed.
            Self::Sqlite(_) => Ok(()),
        }
    }

    /// Appends entries with distinct ids in one durable transaction, under the lock of the
    /// partition's head. Returns the ids that were new; the others were there before, committed.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] leaves it open whether the entries were stored.
    pub async fn entries_append(&mut self, entries: &[&Entry]) -> Result<Vec<Uuid>, StoreError> {
        match self {
            Self::Postgres(appender) => appender.entries_append(entries).await,
            Self::Sqlite(appender) => appender.entries_append(entries).await,
        }
    }
}
