//! The state of a store for the operator: the totals' lag, unattributed billables, connections.

use super::totals::Level;
use crate::store::backend::Backend;
use crate::store::dialect::Dialect;
use crate::store::error::StoreError;
use crate::store::query::query;

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

const LAG: &str = "select cast(coalesce(sum(head.next_position - 1 - case
         when done.accounts_position < done.position then done.accounts_position else done.position
     end), 0) as bigint)
     from log_heads as head join watermarks as done on done.partition = head.partition";

impl<D: Dialect> Backend<D> {
    pub(in crate::store) async fn log_state(&self) -> Result<LogState, StoreError> {
        let (lag,) = query::<D>(LAG).fetch_one(&self.derived).await?;
        let (unattributed,) = query::<D>(UNATTRIBUTED)
            .bind(Level::Month.code())
            .fetch_one(&self.derived)
            .await?;
        // Find the oldest month, its oldest day, and that day's oldest quarter hour: there are few
        // months, while every quarter hour that ever had a billable keeps its bucket.
        let mut oldest = Some(i64::MIN);
        for level in [Level::Month, Level::Day, Level::QuarterHour] {
            if let Some(from) = oldest {
                let found: Option<(i64,)> = query::<D>(FIRST_UNATTRIBUTED)
                    .bind(level.code())
                    .bind(from)
                    .fetch_optional(&self.derived)
                    .await?;
                oldest = found.map(|(starts_at,)| starts_at);
            }
        }
        Ok(LogState {
            unattributed,
            oldest_unattributed: oldest,
            lag,
        })
    }

    pub(in crate::store) fn pool_states(&self) -> [PoolState; 4] {
        self.pools().map(|(name, pool)| {
            let idle = pool.num_idle();
            PoolState {
                name,
                used: (pool.size() as usize).saturating_sub(idle),
                idle,
                limit: pool.options().get_max_connections(),
            }
        })
    }
}
