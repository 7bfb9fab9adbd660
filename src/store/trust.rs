//! Whether what a database acknowledges can be relied on, and what its contents say of the time.

use super::{OpenError, Store, StoreError, in_time, postgres, sqlite};
use crate::billable::Timestamp;
use crate::token::random_bytes;

/// What a server's clock is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockReference {
    /// The clock of the database.
    Now(Timestamp),
    /// The latest time that a server recorded; `None` if none has recorded anything.
    Latest(Option<Timestamp>),
}

impl postgres::Store {
    async fn clock_reference(&self) -> Result<ClockReference, StoreError> {
        let micros: i64 = sqlx::query_scalar(
            "select cast(extract(epoch from clock_timestamp()) * 1000000 as bigint)",
        )
        .fetch_one(&self.control)
        .await?;
        Ok(ClockReference::Now(time(micros, "clock_timestamp")?))
    }
}

impl sqlite::Store {
    async fn clock_reference(&self) -> Result<ClockReference, StoreError> {
        let micros: Option<i64> =
            sqlx::query_scalar("select recorded_at from log_heads where partition = 0")
                .fetch_optional(&self.control)
                .await?;
        let latest = micros.filter(|micros| *micros != 0);
        let latest = latest
            .map(|micros| time(micros, "recorded_at"))
            .transpose()?;
        Ok(ClockReference::Latest(latest))
    }

    async fn clock_accept(&self, now: Timestamp) -> Result<(), StoreError> {
        self.recover().await?;
        let mut transaction = self.control.begin_with(sqlite::BEGIN).await?;
        sqlx::query("update log_heads set recorded_at = $1")
            .bind(now.as_micros())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        self.confirm()
    }
}

fn time(micros: i64, column: &'static str) -> Result<Timestamp, StoreError> {
    Timestamp::from_micros(micros).ok_or(StoreError::Corrupt {
        table: "log_heads",
        column,
        key: "0".to_owned(),
    })
}

impl Store {
    /// Checks that commits are still durable: PostgreSQL's settings, or SQLite's files.
    ///
    /// # Errors
    /// [`StoreError::Unfit`] or [`StoreError::Distrusted`] if they are not; else see
    /// [`StoreError`].
    pub async fn trust_check(&self) -> Result<(), StoreError> {
        match self {
            Self::Postgres(store) => in_time(store.trust_check()).await,
            Self::Sqlite(store) => in_time(store.trust_check()).await,
        }
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

    /// Returns what to compare this machine's clock with.
    pub async fn clock_reference(&self) -> Result<ClockReference, StoreError> {
        in_time(async { on_either!(self, clock_reference()) }).await
    }

    /// Makes `now` the latest time that a server recorded. Returns false for PostgreSQL, which has
    /// a clock of its own.
    pub async fn clock_accept(&self, now: Timestamp) -> Result<bool, StoreError> {
        match self {
            Self::Postgres(_) => Ok(false),
            Self::Sqlite(store) => in_time(store.clock_accept(now)).await.map(|()| true),
        }
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
}
