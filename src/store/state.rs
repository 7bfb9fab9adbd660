//! What an operator is told of a store: how far the totals are behind, what nobody is billed for,
//! the connections.

use sqlx::Pool;

use super::row::{LOG, LogRow};
use super::{Level, LogInfo, Store, StoreError, in_time, postgres, sqlite};

/// The log's state, up to the watermarks of the totals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogState {
    /// Billables that nobody is billed for yet.
    pub unattributed: i64,
    /// The quarter of an hour in which the oldest of them happened, in microseconds since 1970.
    pub oldest_unattributed: Option<i64>,
    /// Positions behind the watermarks. There are gaps among them.
    pub lag: i64,
}

/// A pool of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolState {
    /// What it is for.
    pub name: &'static str,
    /// Connections that are in use.
    pub used: usize,
    /// Connections that are not.
    pub idle: usize,
    /// How many there may be.
    pub limit: u32,
}

const UNATTRIBUTED: &str = "select cast(coalesce(sum(billable_count), 0) as bigint)
     from buckets where level = $1 and account_id = ''";

const FIRST_UNATTRIBUTED: &str = "select starts_at from buckets
     where level = $1 and account_id = '' and billable_count > 0 and starts_at >= $2
     order by starts_at limit 1";

const LAG: &str = "select cast(coalesce(sum(head.next_position - 1 - done.position), 0) as bigint)
     from log_heads as head join watermarks as done on done.partition = head.partition";

macro_rules! state_operations {
    ($dialect:ident) => {
        impl $dialect::Store {
            async fn log_state(&self) -> Result<LogState, StoreError> {
                let lag = sqlx::query_scalar(LAG).fetch_one(&self.derived).await?;
                let unattributed = sqlx::query_scalar(UNATTRIBUTED)
                    .bind(Level::Month.code())
                    .fetch_one(&self.derived)
                    .await?;
                // The oldest month, in it the oldest day, in that the oldest quarter of an hour: of
                // months there are few, while every quarter of an hour that once had something
                // keeps its bucket.
                let mut oldest = Some(i64::MIN);
                for level in [Level::Month, Level::Day, Level::QuarterHour] {
                    if let Some(from) = oldest {
                        oldest = sqlx::query_scalar(FIRST_UNATTRIBUTED)
                            .bind(level.code())
                            .bind(from)
                            .fetch_optional(&self.derived)
                            .await?;
                    }
                }
                Ok(LogState {
                    unattributed,
                    oldest_unattributed: oldest,
                    lag,
                })
            }

            async fn log_check(&self, log: LogInfo) -> Result<(), StoreError> {
                self.check_place()?;
                let found: LogRow = sqlx::query_as(LOG).fetch_one(&self.control).await?;
                match LogInfo::from(found) == log {
                    true => Ok(()),
                    false => Err(StoreError::other_log()),
                }
            }

            fn pools(&self) -> [PoolState; 4] {
                [
                    pool("read", &self.read),
                    pool("control", &self.control),
                    pool("decisions", &self.decisions),
                    pool("derived", &self.derived),
                ]
            }
        }
    };
}

state_operations!(postgres);
state_operations!(sqlite);

fn pool<D: sqlx::Database>(name: &'static str, pool: &Pool<D>) -> PoolState {
    let idle = pool.num_idle();
    PoolState {
        name,
        used: (pool.size() as usize).saturating_sub(idle),
        idle,
        limit: pool.options().get_max_connections(),
    }
}

impl Store {
    /// The log's state.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn log_state(&self) -> Result<LogState, StoreError> {
        in_time(async { on_either!(self, log_state()) }).await
    }

    /// Finds out whether the database still has the log that it had when it was opened: a backup
    /// may have been restored under a running server.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it has another one, too.
    pub async fn log_check(&self, log: LogInfo) -> Result<(), StoreError> {
        on_either!(self, log_check(log))
    }

    /// The pools of connections. Each partition's writer has a connection of its own besides.
    pub fn pools(&self) -> [PoolState; 4] {
        match self {
            Self::Postgres(store) => store.pools(),
            Self::Sqlite(store) => store.pools(),
        }
    }
}
