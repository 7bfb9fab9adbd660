//! Reasons why a store cannot be opened. Each message is one sentence, which says how to fix the
//! problem if that is known.

use sqlx::migrate::MigrateError;

use super::StoreError;

/// A reason why a store cannot be opened. `Display` is the message for the operator.
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
