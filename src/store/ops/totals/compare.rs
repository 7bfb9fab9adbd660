//! Checks that buckets are correct. Each comparison is one statement, and so one snapshot, because
//! the roller may be running.

use super::{DELTAS, Level};
use crate::store::backend::Backend;
use crate::store::dialect::Dialect;
use crate::store::error::StoreError;
use crate::store::query::query;
use crate::store::sql::Sql;

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

/// Selects up to `$3` buckets with counts that differ from the expected ones. `with` precedes the
/// statement, `expected` selects what the buckets should have, and `actual` is the condition for the
/// buckets.
fn compared(with: &'static str, expected: &'static str, actual: &'static str) -> Sql {
    Sql::from(with)
        + " select level, partition, account_id, customer_id, starts_at,
                cast(sum(due_billable) as bigint) as due_billables, cast(sum(due_voided) as bigint) as due_voided,
                cast(sum(kept_billable) as bigint) as kept_billables, cast(sum(kept_voided) as bigint) as kept_voided
            from ("
        + expected
        + " union all
                select cast(level as bigint), partition, account_id, customer_id, starts_at, 0, 0, billable_count, voided_count
                from buckets where "
        + actual
        + " and starts_at >= $1 and starts_at < $2
            ) as compared
            group by level, partition, account_id, customer_id, starts_at
            having sum(due_billable) <> sum(kept_billable) or sum(due_voided) <> sum(kept_voided)
            order by starts_at, level, account_id, customer_id, partition limit $3"
}

/// Compares the finest buckets from `$1` until `$2` with the log up to the watermarks. The join
/// order makes SQLite use the index by time; the unary plus makes PostgreSQL use it.
pub(in crate::store) fn with_log() -> Sql {
    compared(
        DELTAS,
        "select cast(1 as bigint) as level, entries.partition as partition,
             case when delta.to_pair = 1 then coalesce(billed_account_id, '') else '' end as account_id,
             case when delta.to_pair = 1 then coalesce(billed_customer_id, '') else '' end as customer_id,
             occurred_at - occurred_at % 900000000 as starts_at,
             cast(delta.billable as bigint) as due_billable, cast(delta.voided as bigint) as due_voided,
             cast(0 as bigint) as kept_billable, cast(0 as bigint) as kept_voided
         from entries cross join watermarks join delta on delta.kind = entries.kind
         where occurred_at >= $1 and occurred_at < $2
           and watermarks.partition = entries.partition and +entries.position <= watermarks.position",
        "level = 1",
    )
}

/// Compares the day and month buckets from `$1` until `$2` with the sums of the finest buckets.
fn with_finer() -> Sql {
    compared(
        "",
        "select cast(2 as bigint) as level, partition, account_id, customer_id,
             starts_at - starts_at % 86400000000 as starts_at,
             billable_count as due_billable, voided_count as due_voided,
             cast(0 as bigint) as kept_billable, cast(0 as bigint) as kept_voided
         from buckets where level = 1 and starts_at >= $1 and starts_at < $2
         union all
         select 3, partition, account_id, customer_id, cast($1 as bigint), billable_count, voided_count, 0, 0
         from buckets where level = 1 and starts_at >= $1 and starts_at < $2",
        "level in (2, 3)",
    )
}

/// Skips the first `$2` entries from time `$1` on, and selects `occurred_at` of the next.
const TIME_BEHIND: &str = "select occurred_at from entries where occurred_at >= $1
     order by occurred_at, billable_id limit 1 offset $2";

/// The start times of the first and the last bucket of a level.
const ENDS: &str = "select (select min(starts_at) from buckets where level = $1),
     (select max(starts_at) from buckets where level = $1)";

impl<D: Dialect> Backend<D> {
    pub(in crate::store) async fn buckets_against_log(
        &self,
        from: i64,
        until: i64,
        limit: i64,
    ) -> Result<Vec<Compared>, StoreError> {
        self.buckets_compare(with_log(), from, until, limit).await
    }

    pub(in crate::store) async fn buckets_against_finer(
        &self,
        from: i64,
        until: i64,
        limit: i64,
    ) -> Result<Vec<Compared>, StoreError> {
        self.buckets_compare(with_finer(), from, until, limit).await
    }

    async fn buckets_compare(
        &self,
        statement: Sql,
        from: i64,
        until: i64,
        limit: i64,
    ) -> Result<Vec<Compared>, StoreError> {
        let mut transaction = self.read.begin_with(D::BEGIN_LONG_READ).await?;
        let found = query::<D>(statement)
            .bind(from)
            .bind(until)
            .bind(limit)
            .fetch_all(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(found)
    }

    pub(in crate::store) async fn time_behind(
        &self,
        from: i64,
        entries: i64,
    ) -> Result<Option<i64>, StoreError> {
        let found: Option<(i64,)> = query::<D>(TIME_BEHIND)
            .bind(from)
            .bind(entries)
            .fetch_optional(&self.read)
            .await?;
        Ok(found.map(|(time,)| time))
    }

    pub(in crate::store) async fn buckets_ends(&self) -> Result<Option<(i64, i64)>, StoreError> {
        let mut ends: Option<(i64, i64)> = None;
        for level in [Level::QuarterHour, Level::Day, Level::Month] {
            let (first, last): (Option<i64>, Option<i64>) = query::<D>(ENDS)
                .bind(level.code())
                .fetch_one(&self.read)
                .await?;
            ends = match (ends, first.zip(last)) {
                (Some(known), Some(found)) => Some((known.0.min(found.0), known.1.max(found.1))),
                (known, found) => known.or(found),
            };
        }
        Ok(ends)
    }
}
