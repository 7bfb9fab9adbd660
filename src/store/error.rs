//! Errors of store operations.

use uuid::Uuid;

use super::OpenError;
use super::faults::{self, Distrust};

/// An error of a store operation.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database is unreachable or did not confirm. The write may or may not be stored; writing
    /// the same ids again is harmless.
    #[error("the database is unavailable")]
    Unavailable(#[source] sqlx::Error),
    /// The database did not respond in time. As with [`Self::Unavailable`], the write may or may
    /// not be stored.
    #[error("the database did not respond in time")]
    TimedOut,
    /// The database was replaced under a running server, so positions, and perhaps partitions, mean
    /// something else. As with [`Self::Unavailable`], the write may or may not be stored.
    #[error("the database contains a different log than when this server started")]
    WrongLog,
    /// The SQLite file has another name than when it was opened. As with [`Self::Unavailable`], the
    /// write may or may not be stored.
    #[error(
        "the database file was renamed, removed or replaced while this server had it open: put it back, or stop this server"
    )]
    Moved,
    /// SQLite's files are not the ones that were opened, or are damaged. Nothing is acknowledged
    /// before a restart.
    #[error("nothing can be stored any more")]
    Distrusted(#[source] Distrust),
    /// A write to SQLite's WAL, or its flush, failed in this process or in one that was killed, and
    /// the WAL could not be copied into the database yet. As with [`Self::Unavailable`], the write
    /// may or may not be stored.
    #[error("the WAL may not be on the disk, and is not copied into the database yet")]
    WalInDoubt,
    /// The database can be reached but fails a check. As with [`Self::Unavailable`], the write may
    /// or may not be stored.
    #[error("the database cannot be used")]
    Unfit(#[source] Box<OpenError>),
    /// The log is damaged: a partition has no head or no watermark.
    #[error("partition {partition} of the log has no row in {table}")]
    NoHead {
        /// `log_heads` or `watermarks`.
        table: &'static str,
        partition: i32,
    },
    /// The database rejected the data itself, or a row or an index is damaged; writing it again
    /// cannot help.
    #[error("the database rejected the data")]
    Refused(#[source] sqlx::Error),
    /// The database reported no error but did not store an entry of this billable: the head of its
    /// partition is missing.
    #[error("an entry of the billable {0} was not stored: its partition has no row in log_heads")]
    NotStored(Uuid),
    /// Too many entries would have to be read and sorted.
    #[error("the call has too many entries in the log to list them in order")]
    TooMuch,
    /// The totals are too far behind the log to add the entries that they lack.
    #[error("the totals are too far behind the log")]
    FarBehind,
    /// The task that was reading ended without a result.
    #[error("a read ended without a result")]
    ReadLost,
    /// A stored row has a value that this program does not write.
    #[error("invalid value in column {column} of table {table}, row {key:?}")]
    Corrupt {
        table: &'static str,
        column: &'static str,
        key: String,
    },
}

impl StoreError {
    /// Returns whether a retry may succeed. If so, the failed write may or may not be stored.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable(_)
            | Self::TimedOut
            | Self::WrongLog
            | Self::Moved
            | Self::Distrusted(_)
            | Self::WalInDoubt
            | Self::Unfit(_) => true,
            Self::NoHead { .. }
            | Self::Refused(_)
            | Self::NotStored(_)
            | Self::TooMuch
            | Self::FarBehind
            | Self::ReadLost
            | Self::Corrupt { .. } => false,
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let is_refused = error.as_database_error().is_some_and(|database| {
            let code = database.code().unwrap_or_default();
            match database.try_downcast_ref::<sqlx::postgres::PgDatabaseError>() {
                // Classes 22, 23, 54 and P0 are data exception, constraint violation, program limit
                // exceeded and error raised by a trigger. XX001 and XX002 are damaged row and
                // damaged index.
                Some(_) => ["22", "23", "54", "P0", "XX001", "XX002"]
                    .iter()
                    .any(|class| code.starts_with(class)),
                // The primary code is the low byte. Codes 18, 19, 20 and 25 are TOOBIG, CONSTRAINT,
                // MISMATCH and RANGE.
                None => {
                    faults::note(database);
                    code.parse()
                        .is_ok_and(|code: i32| matches!(code & 0xff, 18 | 19 | 20 | 25))
                }
            }
        });
        if is_refused {
            Self::Refused(error)
        } else {
            Self::Unavailable(error)
        }
    }
}
