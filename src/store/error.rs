//! Why an operation of the store did not succeed.

use uuid::Uuid;

use super::OpenError;

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
    /// The database was replaced under a running server: ids would land in other partitions. What
    /// holds for [`Self::Unavailable`] holds here.
    #[error("the database holds another log than when this server was started")]
    WrongLog,
    /// The database can be reached, and is not fit for use; what holds for [`Self::Unavailable`]
    /// holds here.
    #[error("the database cannot be used")]
    Unfit(#[source] Box<OpenError>),
    /// The log is damaged: a partition has no head, or no watermark.
    #[error("the partition {partition} of the log has no row in {table}")]
    NoHead {
        /// `log_heads` or `watermarks`.
        table: &'static str,
        partition: i32,
    },
    /// The database refuses the data itself; writing it again cannot help.
    #[error("the database refused the data")]
    Refused(#[source] sqlx::Error),
    /// The database took an entry without complaint and does not have it: the head of its
    /// partition is missing.
    #[error("the entry {0} was not stored: its partition has no row in log_heads")]
    NotStored(Uuid),
    /// A stored row is not one that this program writes.
    #[error("the table {table} has an unusable {column} in the row {key:?}")]
    Corrupt {
        table: &'static str,
        column: &'static str,
        key: String,
    },
}

impl StoreError {
    /// Whether the database may do later what it has not confirmed now. What was to be written may
    /// or may not be stored.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::TimedOut | Self::WrongLog | Self::Unfit(_) => true,
            Self::NoHead { .. } | Self::Refused(_) | Self::NotStored(_) | Self::Corrupt { .. } => {
                false
            }
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let is_refused = error.as_database_error().is_some_and(|database| {
            let code = database.code().unwrap_or_default();
            match database.try_downcast_ref::<sqlx::postgres::PgDatabaseError>() {
                // data exception, constraint violation, program limit exceeded, raised by a
                // trigger, a damaged row or index
                Some(_) => ["22", "23", "54", "P0", "XX001", "XX002"]
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
