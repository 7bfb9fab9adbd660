//! Checks that buckets are correct. Each comparison is one statement, and so one snapshot, because
//! the roller may be running.

use super::super::{Store, StoreError, postgres, sqlite};

/// A bucket, with its actual and its expected counts. The account and the customer are empty for
/// billables that are not billed to any pair yet.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Compared {
    /// The width of the bucket.
    pub level: i64,
    pub partition: i32,
    pub account_id: String,
    pub customer_id: String,
    /// The start of the bucket, in microseconds since 1970.
    pub starts_at: i64,
    /// The expected number of billables.
    #[sqlx(rename = "due_billables")]
    pub expected_billables: i64,
    /// The expected number of voided billables.
    #[sqlx(rename = "due_voided")]
    pub expected_voided: i64,
    /// The actual number of billables.
    #[sqlx(rename = "kept_billables")]
    pub actual_billables: i64,
    /// The actual number of voided billables.
    #[sqlx(rename = "kept_voided")]
    pub actual_voided: i64,
}

/// Selects up to `$3` buckets with counts that differ from the expected ones.
macro_rules! compared {
    ($with:expr, $expected:expr, $actual:literal) => {
        concat!(
            $with,
            "select level, partition, account_id, customer_id, starts_at,
                 cast(sum(due_billable) as bigint) as due_billables, cast(sum(due_voided) as bigint) as due_voided,
                 cast(sum(kept_billable) as bigint) as kept_billables, cast(sum(kept_voided) as bigint) as kept_voided
             from (",
            $expected,
            " union all
                 select cast(level as bigint), partition, account_id, customer_id, starts_at, 0, 0, billable_count, voided_count
                 from buckets where ",
            $actual,
            " and starts_at >= $1 and starts_at < $2
             ) as compared
             group by level, partition, account_id, customer_id, starts_at
             having sum(due_billable) <> sum(kept_billable) or sum(due_voided) <> sum(kept_voided)
             order by starts_at, level, account_id, customer_id, partition limit $3"
        )
    };
}

/// Compares the finest buckets from `$1` until `$2` with the log up to the watermarks. The join
/// order makes SQLite use the index by time; the unary plus makes PostgreSQL use it.
pub(in crate::store) const WITH_LOG: &str = compared!(
    concat!("with delta (kind, to_pair, billable, voided) as ", deltas!()),
    "select cast(1 as bigint) as level, entries.partition as partition,
         case when delta.to_pair = 1 then coalesce(billed_account_id, '') else '' end as account_id,
         case when delta.to_pair = 1 then coalesce(billed_customer_id, '') else '' end as customer_id,
         occurred_at - occurred_at % 900000000 as starts_at,
         cast(delta.billable as bigint) as due_billable, cast(delta.voided as bigint) as due_voided,
         cast(0 as bigint) as kept_billable, cast(0 as bigint) as kept_voided
     from entries cross join watermarks join delta on delta.kind = entries.kind
     where occurred_at >= $1 and occurred_at < $2
       and watermarks.partition = entries.partition and +entries.position <= watermarks.position",
    "level = 1"
);

/// Compares the day and month buckets from `$1` until `$2` with the sums of the finest buckets.
const WITH_FINER: &str = compared!(
    "",
    "select cast(2 as bigint) as level, partition, account_id, customer_id,
         starts_at - starts_at % 86400000000 as starts_at,
         billable_count as due_billable, voided_count as due_voided,
         cast(0 as bigint) as kept_billable, cast(0 as bigint) as kept_voided
     from buckets where level = 1 and starts_at >= $1 and starts_at < $2
     union all
     select 3, partition, account_id, customer_id, cast($1 as bigint), billable_count, voided_count, 0, 0
     from buckets where level = 1 and starts_at >= $1 and starts_at < $2",
    "level in (2, 3)"
);

/// Skips the first `$2` entries from time `$1` on, and selects `occurred_at` of the next.
const TIME_BEHIND: &str = "select occurred_at from entries where occurred_at >= $1
     order by occurred_at, billable_id limit 1 offset $2";

/// The start times of the first and the last bucket of a level.
const ENDS: &str = "select (select min(starts_at) from buckets where level = $1),
     (select max(starts_at) from buckets where level = $1)";

/// Begins a comparison. It may take longer than a read, so it has no statement timeout. A generic
/// plan would be made for the log's whole time range, so it uses custom plans.
const POSTGRES_BEGIN: &str = "begin isolation level repeatable read read only;
    set local statement_timeout = 0;
    set local plan_cache_mode = force_custom_plan";

macro_rules! compare_operations {
    ($store:ty, $begin:expr) => {
        impl $store {
            async fn buckets_compare(
                &self,
                statement: &'static str,
                from: i64,
                until: i64,
                limit: i64,
            ) -> Result<Vec<Compared>, StoreError> {
                let mut transaction = self.read.begin_with($begin).await?;
                let found = sqlx::query_as(statement)
                    .bind(from)
                    .bind(until)
                    .bind(limit)
                    .fetch_all(&mut *transaction)
                    .await?;
                transaction.commit().await?;
                Ok(found)
            }

            async fn time_behind(
                &self,
                from: i64,
                entries: i64,
            ) -> Result<Option<i64>, StoreError> {
                let found = sqlx::query_scalar(TIME_BEHIND)
                    .bind(from)
                    .bind(entries)
                    .fetch_optional(&self.read)
                    .await?;
                Ok(found)
            }

            async fn buckets_ends(&self, level: i16) -> Result<Option<(i64, i64)>, StoreError> {
                let (first, last): (Option<i64>, Option<i64>) = sqlx::query_as(ENDS)
                    .bind(level)
                    .fetch_one(&self.read)
                    .await?;
                Ok(first.zip(last))
            }
        }
    };
}

compare_operations!(postgres::Store, POSTGRES_BEGIN);
compare_operations!(sqlite::Store, sqlite::BEGIN_SNAPSHOT);

impl Store {
    /// Returns the first `limit` of the finest buckets in a time range that do not match the log up
    /// to the watermarks.
    pub async fn buckets_against_log(
        &self,
        from: i64,
        until: i64,
        limit: i64,
    ) -> Result<Vec<Compared>, StoreError> {
        on_either!(self, buckets_compare(WITH_LOG, from, until, limit))
    }

    /// Returns the day and month buckets that do not match the sums of the finest ones. The time
    /// range is one month, or all time before the first month or after the last.
    pub async fn buckets_against_finer(
        &self,
        from: i64,
        until: i64,
        limit: i64,
    ) -> Result<Vec<Compared>, StoreError> {
        on_either!(self, buckets_compare(WITH_FINER, from, until, limit))
    }

    /// Skips the first `entries` entries from time `from` on, and returns `occurred_at` of the
    /// next.
    pub async fn time_behind(&self, from: i64, entries: i64) -> Result<Option<i64>, StoreError> {
        on_either!(self, time_behind(from, entries))
    }

    /// Returns the start times of the first and the last bucket of any width.
    pub async fn buckets_ends(&self) -> Result<Option<(i64, i64)>, StoreError> {
        let mut ends: Option<(i64, i64)> = None;
        for level in [
            super::Level::QuarterHour,
            super::Level::Day,
            super::Level::Month,
        ] {
            let found: Option<(i64, i64)> = on_either!(self, buckets_ends(level.code()))?;
            ends = match (ends, found) {
                (Some(known), Some(found)) => Some((known.0.min(found.0), known.1.max(found.1))),
                (known, found) => known.or(found),
            };
        }
        Ok(ends)
    }
}
