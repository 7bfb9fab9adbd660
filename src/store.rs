//! The two databases behind one set of operations. All SQL of the crate is below this module.
//!
//! An operation is named `resource_verb`. Absent is `Ok(None)`. The two backends' files line up:
//! read `postgres/entries.rs` beside `sqlite/entries.rs`.
//!
//! **Invariant:** an append returns only after its transaction is durable. The settings that
//! promise depends on are checked when a store is opened and again whenever a writing connection
//! is made, because a database can come back from a failover as another one.

/// The operation of whichever database it is.
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
mod copy;
mod error;
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
mod verify;
mod void_attribute;

use std::time::Duration;

use tokio::time::timeout;
use uuid::Uuid;

use crate::billable::{Attribution, LogEntry, Timestamp};
use crate::token::random_bytes;
use crate::token::{SecretHash, Token};

pub use appender::{Appended, Appender};
pub use backup::{FileContents, file_copy, file_renew};
pub use error::StoreError;
pub use feed::{AccountFilter, PositionRange};
pub use open::OpenError;
pub use scan::{Scan, ScanIndex};
pub use state::{LogState, PoolState};
pub use totals::{BucketRange, Compared, Level, Totals, TotalsQuery, TotalsRow};
pub use verify::{EntryRead, SessionRead};
pub use void_attribute::{STEP, Voided};

/// How long an operation that nobody else limits may take.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(10);

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

/// A decision about a session, and whether all its billables are attributed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionFound {
    pub attribution: Attribution,
    /// Whether it has reached every partition.
    pub is_complete: bool,
}

/// A token and the hash of its secret, or why its row is unusable.
pub type TokenFound = Result<(SecretHash, Token), StoreError>;

impl Store {
    /// Opens the database of a URL, and refuses one that may lose acknowledged commits.
    ///
    /// # Errors
    /// One clear sentence: the URL, the connection, or the setting that is in the way.
    pub async fn open(url: &str, read_connections: u32) -> Result<Self, OpenError> {
        Ok(match Self::file(url)? {
            Some(path) => Self::Sqlite(sqlite::Store::open(&path, read_connections).await?),
            None => Self::Postgres(postgres::Store::open(url, read_connections).await?),
        })
    }

    /// Brings the schema up to date, under a lock. Harmless to repeat.
    ///
    /// # Errors
    /// A migration failed.
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

    /// The writing side of one partition of the log, with a connection of its own.
    pub fn appender(&self, log: LogInfo, partition: u32) -> Appender {
        match self {
            Self::Postgres(store) => Appender::Postgres(store.appender(log, partition)),
            Self::Sqlite(store) => Appender::Sqlite(store.appender(log, partition)),
        }
    }

    /// The entries that have one of these ids, each in its partition, in no order.
    pub async fn entries_find(&self, ids: &[(u32, Uuid)]) -> Result<Vec<LogEntry>, StoreError> {
        match self {
            Self::Postgres(store) => store.entries_find(ids).await,
            Self::Sqlite(store) => store.entries_find(ids).await,
        }
    }

    /// A batch of entries in the order of lists.
    pub async fn entries_scan(&self, scan: Scan<'_>) -> Result<Vec<LogEntry>, StoreError> {
        match self {
            Self::Postgres(store) => store.entries_scan(scan).await,
            Self::Sqlite(store) => store.entries_scan(scan).await,
        }
    }

    /// Entries of these calls that bill or name one of the accounts, if there are any, in no order;
    /// up to a limit, which of accounts may be reached twice over.
    pub async fn entries_of_calls(
        &self,
        calls: &[&str],
        accounts: Option<&[String]>,
        limit: u32,
    ) -> Result<Vec<LogEntry>, StoreError> {
        match self {
            Self::Postgres(store) => store.entries_of_calls(calls, accounts, limit).await,
            Self::Sqlite(store) => store.entries_of_calls(calls, accounts, limit).await,
        }
    }

    /// A batch of a partition in the order of commits.
    pub async fn entries_after(
        &self,
        range: PositionRange<'_>,
    ) -> Result<Vec<LogEntry>, StoreError> {
        match self {
            Self::Postgres(store) => store.entries_after(range).await,
            Self::Sqlite(store) => store.entries_after(range).await,
        }
    }

    /// The last position of each partition: everything up to it is committed and visible.
    pub async fn heads(&self, log: LogInfo) -> Result<Vec<i64>, StoreError> {
        match self {
            Self::Postgres(store) => in_time(store.heads(log)).await,
            Self::Sqlite(store) => in_time(store.heads(log)).await,
        }
    }

    /// Decides a session's pair if nobody has yet, and returns the decision that holds.
    pub async fn session_decide(
        &self,
        attribution: &Attribution,
    ) -> Result<SessionFound, StoreError> {
        match self {
            Self::Postgres(store) => in_time(store.session_decide(attribution)).await,
            Self::Sqlite(store) => in_time(store.session_decide(attribution)).await,
        }
    }

    /// The decision about a session.
    pub async fn session_find(&self, session_id: &str) -> Result<Option<SessionFound>, StoreError> {
        match self {
            Self::Postgres(store) => store.session_find(session_id).await,
            Self::Sqlite(store) => store.session_find(session_id).await,
        }
    }

    /// Decisions that have not reached every partition, the oldest ones.
    pub async fn sessions_pending(&self) -> Result<Vec<Attribution>, StoreError> {
        match self {
            Self::Postgres(store) => in_time(store.sessions_pending()).await,
            Self::Sqlite(store) => in_time(store.sessions_pending()).await,
        }
    }

    /// Notes that a decision has reached every partition.
    pub async fn session_complete(&self, session_id: &str) -> Result<(), StoreError> {
        match self {
            Self::Postgres(store) => in_time(store.session_complete(session_id)).await,
            Self::Sqlite(store) => in_time(store.session_complete(session_id)).await,
        }
    }

    /// The partitions that have entries behind their watermark.
    pub async fn totals_behind(&self) -> Result<Vec<u32>, StoreError> {
        match self {
            Self::Postgres(store) => in_time(store.totals_behind()).await,
            Self::Sqlite(store) => in_time(store.totals_behind()).await,
        }
    }

    /// Rolls at most `most` positions of a partition into its buckets; whether there is more.
    pub async fn totals_roll(&self, partition: u32, most: i64) -> Result<bool, StoreError> {
        match self {
            Self::Postgres(store) => store.totals_roll(partition, most).await,
            Self::Sqlite(store) => store.totals_roll(partition, most).await,
        }
    }

    /// Forgets the buckets of a partition, which rolling makes anew.
    pub async fn totals_clear(&self, partition: u32) -> Result<(), StoreError> {
        match self {
            Self::Postgres(store) => store.totals_clear(partition).await,
            Self::Sqlite(store) => store.totals_clear(partition).await,
        }
    }

    /// Reads totals in one snapshot; `None` when they have too many rows.
    pub async fn totals_read(
        &self,
        log: LogInfo,
        query: &TotalsQuery<'_>,
    ) -> Result<Option<Totals>, StoreError> {
        match self {
            Self::Postgres(store) => store.totals_read(log, query).await,
            Self::Sqlite(store) => store.totals_read(log, query).await,
        }
    }

    /// The key that cursors are sealed with, made at the first time.
    ///
    /// # Errors
    /// The database, or the operating system's randomness.
    pub async fn cursor_key(&self) -> Result<[u8; 32], OpenError> {
        let fresh: [u8; 32] = random_bytes().map_err(OpenError::Randomness)?;
        let key = match self {
            Self::Postgres(store) => store.cursor_key(&fresh).await,
            Self::Sqlite(store) => store.cursor_key(&fresh).await,
        };
        let unusable = || sqlx::Error::Decode("the key in cursor_keys has not 32 bytes".into());
        key.and_then(|key| key.try_into().map_err(|_| unusable()))
            .map_err(OpenError::Prepare)
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

/// A server that is gone without a word would be waited for until TCP gives up.
async fn in_time<T>(
    operation: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    match timeout(OPERATION_TIMEOUT, operation).await {
        Ok(done) => done,
        Err(_) => Err(StoreError::TimedOut),
    }
}
