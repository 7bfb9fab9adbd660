//! The state of a store for the operator: the totals' lag, unattributed billables, connections.

use sqlx::Pool;

use super::row::{LOG, LogRow};
use super::{Level, LogInfo, Store, StoreError, in_time, postgres, sqlite};

/// The log's state, in which unattributed billables are counted up to the watermarks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogState {
    /// The number of billables that are not billed to any pair yet.
    pub unattributed: i64,
    /// The start of the quarter hour of the oldest one, in microseconds since 1970.
    pub oldest_unattributed: Option<i64>,
    /// The number of positions after the watermarks, gaps included.
    pub lag: i64,
}

/// A pool of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolState {
    /// What the pool is used for.
    pub name: &'static str,
    /// The number of connections in use.
    pub used: usize,
    /// The number of connections not in use.
    pub idle: usize,
    /// The maximum number of connections.
    pub limit: u32,
}

const UNATTRIBUTED: &str = "select cast(coalesce(sum(billable_count), 0) as bigint)
     from buckets where level = $1 and account_id = ''";

const FIRST_UNATTRIBUTED: &str = "select starts_at from buckets
     where level = $1 and account_id = '' and billable_count > 0 and starts_at >= $2
     order by starts_at limit 1";

const LAG: &str = "select cast(coalesce(sum(head.next_position - 1 - done.position), 0) as bigint)
     from log_heads as head join watermarks as done on done.partition = head.partition";

/// Whether the planner has statistics on the log, and whether the log has 64 KiB or more. On Citus
/// the first is true, because the rows and their statistics are on the workers.
const IS_KNOWN: &str = "select to_regproc('run_command_on_workers') is not null
         or exists (select from pg_stats as known
             where known.schemaname = namespace.nspname and known.tablename = entries.relname),
         pg_relation_size(entries.oid) >= 65536
     from pg_class as entries join pg_namespace as namespace on namespace.oid = entries.relnamespace
     where entries.oid = 'entries'::regclass";

macro_rules! state_operations {
    ($dialect:ident) => {
        impl $dialect::Store {
            async fn log_state(&self) -> Result<LogState, StoreError> {
                let lag = sqlx::query_scalar(LAG).fetch_one(&self.derived).await?;
                let unattributed = sqlx::query_scalar(UNATTRIBUTED)
                    .bind(Level::Month.code())
                    .fetch_one(&self.derived)
                    .await?;
                // Find the oldest month, its oldest day, and that day's oldest quarter hour: there
                // are few months, while every quarter hour that ever had a billable keeps its
                // bucket.
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
                self.check_files()?;
                let found: LogRow = sqlx::query_as(LOG).fetch_one(&self.control).await?;
                match LogInfo::from(found) == log {
                    true => Ok(()),
                    false => Err(StoreError::WrongLog),
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

impl postgres::Store {
    async fn log_analyze(&self) -> Result<bool, StoreError> {
        let (is_known, is_large): (bool, bool) =
            sqlx::query_as(IS_KNOWN).fetch_one(&self.derived).await?;
        if is_large && !is_known {
            // Skip a locked table instead of waiting: the holder of the lock may be analyzing it
            // already. If not, the table is left to autovacuum.
            sqlx::query("analyze (skip_locked) entries")
                .execute(&self.derived)
                .await?;
        }
        Ok(is_known || is_large)
    }
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
    pub async fn log_state(&self) -> Result<LogState, StoreError> {
        in_time(async { on_either!(self, log_state()) }).await
    }

    /// Runs `ANALYZE` if PostgreSQL has no statistics on the log, once the log has data. Returns
    /// true if no later call is needed.
    ///
    /// If a table was never analyzed, the planner assumes that a partition has few rows, and reads
    /// all of them to find one id. Autovacuum runs within a minute, unless it is switched off;
    /// until then a lookup gets slower with every report. SQLite's plans do not depend on a table's
    /// contents.
    ///
    /// # Errors
    /// See [`StoreError`]. A role that does not own the table may not analyze it, which is not an
    /// error.
    pub async fn log_analyze(&self) -> Result<bool, StoreError> {
        match self {
            Self::Postgres(store) => in_time(store.log_analyze()).await,
            Self::Sqlite(_) => Ok(true),
        }
    }

    /// Checks that the database still has the log that it had when it was opened: a backup may have
    /// been restored under a running server.
    ///
    /// # Errors
    /// [`StoreError::WrongLog`] if it has a different log; else see [`StoreError`].
    pub async fn log_check(&self, log: LogInfo) -> Result<(), StoreError> {
        on_either!(self, log_check(log))
    }

    /// Returns the connection pools. Each partition's writer has a separate connection outside of
    /// them.
    pub fn pools(&self) -> [PoolState; 4] {
        match self {
            Self::Postgres(store) => store.pools(),
            Self::Sqlite(store) => store.pools(),
        }
    }
}
