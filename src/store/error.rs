//! Errors of store operations, and reasons why a store cannot be opened.

use sqlx::migrate::MigrateError;
use uuid::Uuid;

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

/// A reason why a store cannot be opened. `Display` is the message for the operator: one sentence,
/// which says how to fix the problem if that is known.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL is for neither of the two databases.
    #[error("DATABASE_URL must begin with sqlite:// or postgres://")]
    Scheme,
    /// There is no database, or an empty one.
    #[error(
        "{0} has no log yet: is DATABASE_URL the same as the server's? Starting a server creates it, and so does `billables migrate`"
    )]
    Missing(String),
    /// The rest of the URL is invalid. The message omits the URL, because it may hold a password.
    #[error("DATABASE_URL is invalid: {0}")]
    Url(String),
    /// The operating system does not allow it.
    #[error("cannot open {label}: {reason}")]
    File {
        /// The file.
        label: String,
        reason: String,
    },
    #[error("cannot open {label}")]
    Connect {
        /// The database, without credentials.
        label: String,
        /// The driver's error.
        #[source]
        source: sqlx::Error,
    },
    /// With this setting, an acknowledged commit can be lost.
    #[error("{label} may lose acknowledged commits: {setting}; {remedy}")]
    NotDurable {
        /// The server or file.
        label: String,
        /// The setting and its value.
        setting: String,
        remedy: &'static str,
    },
    /// Texts would not be stored byte for byte.
    #[error(
        "the database's encoding is {0}, but it must be UTF8: create a new database (PostgreSQL: `createdb --encoding UTF8 --template template0 NAME`)"
    )]
    NotUtf8(String),
    /// Only the primary accepts writes.
    #[error("{0} is a read-only standby: DATABASE_URL must point to the primary server")]
    Standby(String),
    /// A migration failed.
    #[error("cannot migrate the database schema")]
    Migrate(#[source] MigrateError),
    /// The database has an older format, which no released version wrote.
    #[error(
        "the database was created by a build from before version 0.1.0, whose format this version cannot read: use a new database"
    )]
    Unreleased,
    /// A connection or a statement failed while the database was being checked or prepared.
    #[error("cannot prepare the database")]
    Prepare(#[source] sqlx::Error),
    /// The number cannot change, because an id's partition is computed from it.
    #[error("the log has {made} partition(s), which cannot be changed to {wanted}")]
    PartitionsFixed {
        /// The requested number.
        wanted: u32,
        /// The log's number.
        made: u32,
    },
    /// More partitions would not help: SQLite writes one transaction at a time.
    #[error("a log on SQLite has one partition; use PostgreSQL for more")]
    OnePartition,
    #[error("cannot copy {label}")]
    Copy {
        label: String,
        /// The driver's error.
        #[source]
        source: sqlx::Error,
    },
    /// The pages of the file are inconsistent.
    #[error("{label} is damaged: {reason}")]
    Damaged {
        label: String,
        /// SQLite's message.
        reason: String,
    },
    /// The file is a backup, which may be older than what this log has acknowledged.
    #[error("{0} is a backup: put it in place with `billables restore FILE`")]
    IsBackup(String),
    /// What was committed lately is in a WAL whose database is missing.
    #[error(
        "{label} is missing or empty, but there is {rest}: put the database back, or move the -wal and the -shm away"
    )]
    Orphan {
        label: String,
        /// The WAL or its index.
        rest: String,
    },
    /// A server that lost the name of its WAL kept what it held.
    #[error(
        "what was stored in {label} lately is in {kept}: see \"A replaced WAL\" in the operations manual, and move that file when it is done"
    )]
    KeptWal {
        label: String,
        /// The file.
        kept: String,
    },
    /// Another process has the file open, with a WAL that is not beside it.
    #[error(
        "{label} is in use by the process {processes}, whose WAL is not beside it: the file or its WAL was moved; stop that process"
    )]
    Detached {
        label: String,
        /// The processes, with their ids and names.
        processes: String,
    },
    /// The pages in the WAL do not fit the file: the file or the WAL was replaced.
    #[error(
        "{label} or its WAL is damaged, or the WAL beside it belongs to another file ({reason}): see \"A replaced WAL\" in the operations manual; nothing was changed"
    )]
    OtherWal {
        label: String,
        /// What does not fit.
        reason: String,
    },
    /// The database has no log, because no server has used it yet.
    #[error("{0} has no log")]
    NoLog(String),
    #[error("cannot create the log")]
    Create(#[source] StoreError),
    #[error("cannot note the start of the server in the log")]
    Begin(#[source] StoreError),
    #[error("cannot give the log a new epoch")]
    Renew(#[source] StoreError),
    #[error("cannot get random bytes from the operating system")]
    Randomness(#[source] getrandom::Error),
}

impl From<MigrateError> for OpenError {
    fn from(error: MigrateError) -> Self {
        match error {
            // No migration of a released version changes later.
            MigrateError::VersionMismatch(_) => Self::Unreleased,
            error => Self::Migrate(error),
        }
    }
}

impl OpenError {
    /// Converts the error for a running server, which can only retry.
    pub(super) fn while_running(self) -> StoreError {
        match self {
            Self::Connect { source, .. } | Self::Prepare(source) => source.into(),
            other => StoreError::Unfit(Box::new(other)),
        }
    }
}
