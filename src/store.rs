//! One set of operations for both databases. All of the crate's SQL is in this module.
//!
//! - [`operations`]: the list of what a store can do. It calls the database in use.
//! - [`ops`]: the operations and their statements, generic over the database: methods of a
//!   [`backend`] (the pools) and of an appender.
//! - [`dialect`]: what differs between the databases. `postgres` and `sqlite` implement it, and open
//!   and check their database.
//! - [`sql`], [`table`], [`query`], [`driver`]: the text of a statement, lists that it takes, running
//!   it, and sqlx.
//! - [`row`]: the rows and their conversion to the domain's types.
//!
//! The type parameter does not leave this module.
//!
//! Most operations are named `resource_verb`. A missing row is `Ok(None)`.
//!
//! **Invariant:** an append returns only after its transaction is durable. The settings that this
//! depends on are checked when a store is opened and for every new connection of an appender,
//! because after a failover a different server may answer.

mod backend;
mod backup;
mod clock;
mod copy;
mod dialect;
mod driver;
mod error;
mod faults;
mod migrate;
mod operations;
mod ops;
#[cfg(test)]
mod plans;
mod postgres;
mod query;
mod row;
mod sql;
mod sqlite;
mod table;

use std::fs;
use std::io::ErrorKind::NotFound;
use std::sync::Arc;

use sqlx::{Postgres, Sqlite};
use uuid::Uuid;

use self::backend::Backend;
use self::dialect::Connector as _;
use crate::billable::{Attribution, Timestamp};
use crate::token::{SecretHash, Token, random_bytes};

pub use backup::{FileContents, file_check_and_renew, file_copy};
pub use clock::ClockReference;
pub use error::{OpenError, StoreError};
pub use ops::append::Origin;
pub use ops::calls::CallLookup;
pub use ops::derived::{AccountRow, DerivedPage, UndecidedLookup, UndecidedRow};
pub use ops::feed::{AccountFilter, PositionRange};
pub use ops::insertion::Appended;
pub use ops::scan::{Scan, ScanIndex};
pub use ops::state::{LogState, PoolState};
pub use ops::totals::{
    BucketRange, Compared, ComparedDerived, Level, QUARTER_HOUR, Totals, TotalsKey, TotalsQuery,
    TotalsRow, TotalsSource,
};
pub use ops::verify::{EntryRead, SessionRead};
pub use ops::void_attribute::{AttributionStep, STEP, Voided};

/// An open database. Clones share its connections.
#[derive(Clone, Debug)]
pub enum Store {
    /// PostgreSQL, or Citus.
    Postgres(Arc<Backend<Postgres>>),
    /// An SQLite file.
    Sqlite(Arc<Backend<Sqlite>>),
}

/// The writing side of one partition, with the one connection that appends to it.
///
/// It connects on demand. It drops its connection whenever an operation fails or its future is
/// dropped, so that no transaction of unknown state is ever continued.
#[derive(Debug)]
pub enum Appender {
    /// PostgreSQL, or Citus.
    Postgres(ops::append::Appender<Postgres>),
    /// An SQLite file.
    Sqlite(ops::append::Appender<Sqlite>),
}

/// The log's identity, and its number of partitions, which is fixed when the log is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogInfo {
    /// A random id of this log, replaced after a restore.
    pub epoch: Uuid,
    pub partitions: u32,
}

/// A decision about a session, and whether all its billables are attributed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionFound {
    pub attribution: Attribution,
    /// Whether the decision has been applied in every partition.
    pub is_complete: bool,
}

/// A token and the hash of its secret, or what is wrong with its row.
pub type TokenFound = Result<(SecretHash, Token), StoreError>;

impl Store {
    /// Opens the database at a URL, and creates the file of an SQLite database if there is none. It
    /// refuses a database that may lose acknowledged commits.
    ///
    /// # Errors
    /// One sentence that names the problem: the URL, the connection or a setting.
    pub async fn open(url: &str, read_connections: u32) -> Result<Self, OpenError> {
        Ok(match Self::file(url)? {
            Some(path) => Self::Sqlite(
                Backend::<Sqlite>::open(&path, read_connections)
                    .await?
                    .into(),
            ),
            None => Self::Postgres(
                Backend::<Postgres>::open(url, read_connections)
                    .await?
                    .into(),
            ),
        })
    }

    /// Works like [`Self::open`], but creates nothing.
    ///
    /// # Errors
    /// Also [`OpenError::Missing`], if there is no database, or an empty one.
    pub async fn open_existing(url: &str, read_connections: u32) -> Result<Self, OpenError> {
        if let Some(path) = Self::file(url)?
            && fs::metadata(&path)
                .map_or_else(|error| error.kind() == NotFound, |file| file.len() == 0)
        {
            return Err(match sqlite::place::open(&path, &sqlite::label(&path)) {
                Err(reason) => reason,
                Ok(_) => OpenError::Missing(sqlite::label(&path)),
            });
        }
        let store = Self::open(url, read_connections).await?;
        if let Self::Postgres(opened) = &store
            && !opened.has_schema().await?
        {
            let label = opened.connector.label();
            store.close().await;
            return Err(OpenError::Missing(label));
        }
        Ok(store)
    }

    /// Creates the log if there is none, with `partitions` (1 by default), and returns its info.
    ///
    /// # Errors
    /// [`OpenError::PartitionsFixed`] if the log was created with a different number.
    pub async fn log_prepare(
        &self,
        partitions: Option<u32>,
        now: Timestamp,
    ) -> Result<LogInfo, OpenError> {
        let fresh = LogInfo {
            epoch: backup::fresh_epoch()?,
            partitions: partitions.unwrap_or(1),
        };
        if self.is_embedded() && fresh.partitions != 1 {
            return Err(OpenError::OnePartition);
        }
        let log = self.log_create(fresh, now).await;
        let log = log.map_err(OpenError::Create)?;
        match partitions {
            Some(wanted) if wanted != log.partitions => Err(OpenError::PartitionsFixed {
                wanted,
                made: log.partitions,
            }),
            _ => Ok(log),
        }
    }

    /// Returns the appender of one partition.
    pub fn appender(&self, log: LogInfo, partition: u32, origin: Origin) -> Appender {
        match self {
            Self::Postgres(store) => Appender::Postgres(store.appender(log, partition, origin)),
            Self::Sqlite(store) => Appender::Sqlite(store.appender(log, partition, origin)),
        }
    }

    /// Returns the key that seals cursors. Creates it the first time.
    ///
    /// # Errors
    /// The database failed, or the operating system gave no random bytes.
    pub async fn cursor_key(&self) -> Result<[u8; 32], OpenError> {
        let fresh: [u8; 32] = random_bytes().map_err(OpenError::Randomness)?;
        let unusable = || sqlx::Error::Decode("the key in cursor_keys is not 32 bytes long".into());
        let key = self.cursor_key_ensure(&fresh).await;
        key.and_then(|key| key.try_into().map_err(|_| unusable()))
            .map_err(OpenError::Prepare)
    }

    /// Notes that a server starts, so that the next start can tell whether SQLite's files belong
    /// together.
    ///
    /// # Errors
    /// The database failed, or the operating system gave no random bytes.
    pub async fn generation_begin(&self) -> Result<(), OpenError> {
        let Self::Sqlite(store) = self else {
            return Ok(());
        };
        let fresh = random_bytes().map_err(OpenError::Randomness)?;
        let begun = store.generation_begin(i64::from_be_bytes(fresh)).await;
        begun.map_err(OpenError::Begin)
    }

    /// Returns whether this is the embedded database, SQLite.
    pub fn is_embedded(&self) -> bool {
        matches!(self, Self::Sqlite(_))
    }

    /// Returns the number of names that the file of an SQLite database has; 1 for PostgreSQL.
    pub fn file_links(&self) -> u64 {
        match self {
            Self::Postgres(_) => 1,
            Self::Sqlite(store) => store.file_links(),
        }
    }

    /// Whether the file of an SQLite database is in memory, which a restart of the machine empties.
    pub fn is_volatile(&self) -> bool {
        match self {
            Self::Postgres(_) => false,
            Self::Sqlite(store) => store.is_volatile(),
        }
    }

    /// Returns the connection pools. Each partition's writer has a separate connection outside of
    /// them.
    pub fn pools(&self) -> [PoolState; 4] {
        match self {
            Self::Postgres(store) => store.pool_states(),
            Self::Sqlite(store) => store.pool_states(),
        }
    }
}
