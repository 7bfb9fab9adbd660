//! Why a store cannot be used, each in one sentence that says how to mend it.

use sqlx::migrate::MigrateError;

use super::StoreError;

/// Why a store cannot be opened. `Display` is the sentence for whoever starts the server.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Neither of the two databases.
    #[error("DATABASE_URL must begin with sqlite:// or postgres://")]
    Scheme,
    /// The rest of the URL is unusable. The URL may hold a password, so it is not repeated.
    #[error("DATABASE_URL is not usable: {0}")]
    Url(String),
    #[error("cannot open {label}")]
    Connect {
        /// The database, without credentials.
        label: String,
        /// The driver's reason.
        #[source]
        source: sqlx::Error,
    },
    /// A setting with which a commit that was acknowledged can be lost.
    #[error("{label} may lose acknowledged commits: {setting}; {remedy}")]
    NotDurable {
        /// Which server or file.
        label: String,
        /// The setting and its value.
        setting: String,
        remedy: &'static str,
    },
    /// Texts would not be kept bytewise.
    #[error(
        "the database's encoding is {0}, but it must be UTF8: create one with `createdb --encoding UTF8 --template template0 NAME`"
    )]
    NotUtf8(String),
    /// Only the primary takes writes.
    #[error("{0} is a read-only standby: DATABASE_URL must lead to the primary server")]
    Standby(String),
    /// The schema could not be brought up to date.
    #[error("cannot bring the database's schema up to date")]
    Migrate(#[from] MigrateError),
    /// A statement failed while preparing the log.
    #[error("cannot prepare the database")]
    Prepare(#[source] sqlx::Error),
    /// An id's partition is computed from the number of partitions.
    #[error("this log was made with {made} partition(s), which is fixed; {wanted} cannot be had")]
    PartitionsFixed {
        /// The number asked for.
        wanted: u32,
        /// The number it has.
        made: u32,
    },
    /// SQLite writes one transaction at a time anyway.
    #[error("a log on SQLite has one partition; more are for PostgreSQL")]
    OnePartition,
    /// The file could not be copied.
    #[error("cannot copy {label}")]
    Copy {
        label: String,
        /// The driver's reason.
        #[source]
        source: sqlx::Error,
    },
    /// A file whose pages do not fit together.
    #[error("{label} is damaged: {reason}")]
    Damaged {
        label: String,
        /// What SQLite says.
        reason: String,
    },
    /// A database that nobody has started a server on.
    #[error("{0} has no log")]
    NoLog(String),
    /// The log could not be made a new one.
    #[error("cannot give the log a new epoch")]
    Renew(#[source] StoreError),
    /// The operating system gave no random bytes.
    #[error("cannot get random bytes from the operating system")]
    Randomness(#[source] getrandom::Error),
}

impl OpenError {
    /// The same for a server that is running: it can do nothing but try again.
    pub(super) fn while_running(self) -> StoreError {
        match self {
            Self::Connect { source, .. } | Self::Prepare(source) => StoreError::Unavailable(source),
            other => StoreError::Unfit(Box::new(other)),
        }
    }
}
