//! One set of operations for both databases. All of the crate's SQL is in this module.
//!
//! Most operations are named `resource_verb`. A missing row is `Ok(None)`. The two backends have
//! the same files: read `postgres/entries.rs` next to `sqlite/entries.rs`.
//!
//! **Invariant:** an append returns only after its transaction is durable. The settings that this
//! depends on are checked when a store is opened and for every new connection of an appender,
//! because after a failover a different server may answer.

/// Calls the operation on the database in use.
macro_rules! on_either {
    ($store:expr, $operation:ident ( $($argument:expr),* )) => {
        match $store {
            Store::Postgres(store) => store.$operation($($argument),*).await,
            Store::Sqlite(store) => store.$operation($($argument),*).await,
        }
    };
}

mod appender;
mod backup;
mod calls;
mod copy;
mod error;
mod faults;
mod feed;
mod head;
mod keys;
mod migrate;
mod open;
#[cfg(test)]
mod plans;
mod postgres;
mod row;
mod scan;
mod sessions;
mod sqlite;
mod state;
mod tokens;
mod totals;
mod trust;
mod verify;
mod void_attribute;

use std::fs;
use std::io::ErrorKind::NotFound;
use std::time::Duration;

use tokio::time::timeout;
use uuid::Uuid;

use crate::billable::{Attribution, LogEntry, Timestamp};
use crate::token::random_bytes;
use crate::token::{SecretHash, Token};

pub use appender::{Appended, Appender, Origin};
pub use backup::{FileContents, file_check_and_renew, file_copy};
pub use calls::CallLookup;
pub use error::StoreError;
pub use feed::{AccountFilter, PositionRange};
pub use open::OpenError;
pub use scan::{Scan, ScanIndex};
pub use state::{LogState, PoolState};
pub use totals::{
    BucketRange, Compared, Level, QUARTER_HOUR, Totals, TotalsKey, TotalsQuery, TotalsRow,
};
pub use trust::ClockReference;
pub use verify::{EntryRead, SessionRead};
pub use void_attribute::{STEP, Voided};

/// The time limit of operations that have no other limit.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(10);

/// The number of connections in each of the pools `control` and `decisions`.
///
/// Token refreshes and health checks use `control`. It is separate from the read connections, so
/// that slow reads cannot delay the refresh: after 5 s without one, all requests with a token are
/// refused.
const CONTROL_CONNECTIONS: u32 = 2;

/// An open database. Clones share its connections.
#[derive(Clone, Debug)]
pub enum Store {
    /// PostgreSQL, or Citus.
    Postgres(postgres::Store),
    /// An SQLite file.
    Sqlite(sqlite::Store),
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
            Some(path) => Self::Sqlite(sqlite::Store::open(&path, read_connections).await?),
            None => Self::Postgres(postgres::Store::open(url, read_connections).await?),
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
            let label = opened.label();
            store.close().await;
            return Err(OpenError::Missing(label));
        }
        Ok(store)
    }

    /// Migrates the schema, under a lock. Idempotent.
    ///
    /// # Errors
    /// A migration failed.
    pub async fn migrate(&self) -> Result<(), OpenError> {
        match self {
            Self::Postgres(store) => store.migrate().await,
            Self::Sqlite(store) => store.migrate().await,
        }
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

    /// Returns the appender of one partition, which has its own connection.
    pub fn appender(&self, log: LogInfo, partition: u32, origin: Origin) -> Appender {
        match self {
            Self::Postgres(store) => Appender::Postgres(store.appender(log, partition)),
            Self::Sqlite(store) => Appender::Sqlite(store.appender(log, partition, origin)),
        }
    }

    /// Returns the entries of these billables, given as (partition, id), in no particular order.
    pub async fn entries_find(&self, ids: &[(u32, Uuid)]) -> Result<Vec<LogEntry>, StoreError> {
        match self {
            Self::Postgres(store) => store.entries_find(ids).await,
            Self::Sqlite(store) => store.entries_find(ids).await,
        }
    }

    /// Returns the entries of these billables that bill one of these accounts, or name it and bill
    /// none. Others' entries do not leave the database.
    pub async fn entries_find_of(
        &self,
        ids: &[(u32, Uuid)],
        accounts: &[&str],
    ) -> Result<Vec<LogEntry>, StoreError> {
        on_either!(self, entries_find_of(ids, accounts))
    }

    /// Returns a batch of entries in list order.
    pub async fn entries_scan(&self, scan: Scan<'_>) -> Result<Vec<LogEntry>, StoreError> {
        match self {
            Self::Postgres(store) => store.entries_scan(scan).await,
            Self::Sqlite(store) => store.entries_scan(scan).await,
        }
    }

    /// Returns a batch of a partition's entries in commit order.
    pub async fn entries_after(
        &self,
        range: PositionRange<'_>,
    ) -> Result<Vec<LogEntry>, StoreError> {
        match self {
            Self::Postgres(store) => store.entries_after(range).await,
            Self::Sqlite(store) => store.entries_after(range).await,
        }
    }

    /// Returns the entry at each (partition, position), or the last one before it if there is one.
    pub async fn entries_at(&self, points: &[(u32, i64)]) -> Result<Vec<LogEntry>, StoreError> {
        match self {
            Self::Postgres(store) => store.entries_at(points).await,
            Self::Sqlite(store) => store.entries_at_each(points).await,
        }
    }

    /// Returns the last position of each partition. All entries up to it are committed and visible.
    pub async fn heads(&self, log: LogInfo) -> Result<Vec<i64>, StoreError> {
        match self {
            Self::Postgres(store) => in_time(store.heads(log)).await,
            Self::Sqlite(store) => in_time(store.heads(log)).await,
        }
    }

    /// Stores a decision about a session unless the session has one, and returns the session's
    /// decision.
    pub async fn session_decide(
        &self,
        attribution: &Attribution,
    ) -> Result<SessionFound, StoreError> {
        match self {
            Self::Postgres(store) => in_time(store.session_decide(attribution)).await,
            Self::Sqlite(store) => in_time(store.session_decide(attribution)).await,
        }
    }

    /// Returns the decision about a session.
    pub async fn session_find(&self, session_id: &str) -> Result<Option<SessionFound>, StoreError> {
        match self {
            Self::Postgres(store) => store.session_find(session_id).await,
            Self::Sqlite(store) => store.session_find(session_id).await,
        }
    }

    /// Returns the oldest decisions that have not been applied in every partition.
    pub async fn sessions_pending(&self) -> Result<Vec<Attribution>, StoreError> {
        match self {
            Self::Postgres(store) => in_time(store.sessions_pending()).await,
            Self::Sqlite(store) => in_time(store.sessions_pending()).await,
        }
    }

    /// Records that a decision has been applied in every partition.
    pub async fn session_complete(&self, session_id: &str) -> Result<(), StoreError> {
        match self {
            Self::Postgres(store) => in_time(store.session_complete(session_id)).await,
            Self::Sqlite(store) => in_time(store.session_complete(session_id)).await,
        }
    }

    /// Returns the partitions that have entries after their watermark.
    pub async fn totals_behind(&self) -> Result<Vec<u32>, StoreError> {
        match self {
            Self::Postgres(store) => in_time(store.totals_behind()).await,
            Self::Sqlite(store) => in_time(store.totals_behind()).await,
        }
    }

    /// Adds at most `limit` positions of a partition to its buckets, and returns whether more are
    /// left.
    pub async fn totals_roll(&self, partition: u32, limit: i64) -> Result<bool, StoreError> {
        match self {
            Self::Postgres(store) => store.totals_roll(partition, limit).await,
            Self::Sqlite(store) => store.totals_roll(partition, limit).await,
        }
    }

    /// Deletes a partition's buckets and resets its watermark, so that rolling rebuilds them.
    pub async fn totals_clear(&self, partition: u32) -> Result<(), StoreError> {
        match self {
            Self::Postgres(store) => store.totals_clear(partition).await,
            Self::Sqlite(store) => store.totals_clear(partition).await,
        }
    }

    /// Reads totals in one snapshot.
    ///
    /// # Errors
    /// [`StoreError::FarBehind`] if too many entries have not been rolled into buckets, or were
    /// since the cut.
    pub async fn totals_read(
        &self,
        log: LogInfo,
        query: &TotalsQuery<'_>,
    ) -> Result<Totals, StoreError> {
        match self {
            Self::Postgres(store) => store.totals_read(log, query).await,
            Self::Sqlite(store) => store.totals_read(log, query).await,
        }
    }

    /// Returns the key that seals cursors. Creates it the first time.
    ///
    /// # Errors
    /// The database failed, or the operating system gave no random bytes.
    pub async fn cursor_key(&self) -> Result<[u8; 32], OpenError> {
        let fresh: [u8; 32] = random_bytes().map_err(OpenError::Randomness)?;
        let key = match self {
            Self::Postgres(store) => store.cursor_key(&fresh).await,
            Self::Sqlite(store) => store.cursor_key(&fresh).await,
        };
        let unusable = || sqlx::Error::Decode("the key in cursor_keys is not 32 bytes long".into());
        key.and_then(|key| key.try_into().map_err(|_| unusable()))
            .map_err(OpenError::Prepare)
    }

    /// Returns whether this is the embedded database, SQLite.
    pub fn is_embedded(&self) -> bool {
        matches!(self, Self::Sqlite(_))
    }

    /// Closes the connections after the running operations have finished.
    pub async fn close(&self) {
        match self {
            Self::Postgres(store) => store.close().await,
            Self::Sqlite(store) => store.close().await,
        }
    }
}

/// Limits the time of an operation. If a server vanished without closing the connection, the
/// operation would otherwise wait until TCP times out.
async fn in_time<T>(
    operation: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    match timeout(OPERATION_TIMEOUT, operation).await {
        Ok(done) => done,
        Err(_) => Err(StoreError::TimedOut),
    }
}
