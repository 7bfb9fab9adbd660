//! Checks that what is derived for accounts and undecided sessions is correct, like `compare.rs`.
//!
//! What is expected and what is there are grouped by everything except the counts. So a row with
//! another last position, or another first or last call, is found as two: one that is missing and
//! one that should not be there.

use super::roll::{CHANGES_UNDECIDED, UNDECIDED_DELTA};
use crate::store::backend::Backend;
use crate::store::dialect::Dialect;
use crate::store::error::StoreError;
use crate::store::query::{Statement, query};
use crate::store::sql::Sql;

/// A derived row with its actual and its expected counts.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct ComparedDerived {
    pub table_name: String,
    pub partition: i32,
    pub account_id: String,
    /// Empty unless the table is of sessions.
    pub session_id: String,
    /// The start of the quarter of an hour, or of the account's first one; 0 for a session.
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

/// Selects up to `limit` rows of a table with other counts than expected. `expected` and `actual`
/// select the key (partition, account_id, session_id, starts_at, ends_at) and two counts.
fn compared(table: &'static str, expected: Sql, actual: &'static str, limit: &'static str) -> Sql {
    Sql::from("select cast('")
        + table
        + "' as text) as table_name, partition, account_id, session_id, starts_at,
             cast(sum(due_billable) as bigint) as due_billables, cast(sum(due_voided) as bigint) as due_voided,
             cast(sum(kept_billable) as bigint) as kept_billables, cast(sum(kept_voided) as bigint) as kept_voided
         from (
             select partition, account_id, session_id, starts_at, ends_at, billable as due_billable, voided as due_voided,
                 cast(0 as bigint) as kept_billable, cast(0 as bigint) as kept_voided
             from ("
        + expected
        + ") as expected union all
             select partition, account_id, session_id, starts_at, ends_at, 0, 0, billable, voided
             from ("
        + actual
        + ") as actual
         ) as compared
         group by partition, account_id, session_id, starts_at, ends_at
         having sum(due_billable) <> sum(kept_billable) or sum(due_voided) <> sum(kept_voided)
         order by account_id, session_id, starts_at, partition limit "
        + limit
}

/// Compares the quarter hours of accounts from `$1` until `$2` with the log up to the watermarks. The
/// join order makes SQLite use the index by time; the unary plus makes PostgreSQL use it.
pub(in crate::store) fn account_buckets_with_log() -> Sql {
    compared(
        "account_buckets",
        Sql::from(
            "select entries.partition as partition, billed_account_id as account_id, '' as session_id,
                 occurred_at - occurred_at % 900000000 as starts_at, max(entries.position) as ends_at,
                 cast(sum(case when kind = 3 then -1 else 1 end) as bigint) as billable,
                 cast(sum(case when kind = 3 then 1 else 0 end) as bigint) as voided
             from entries cross join watermarks
             where occurred_at >= $1 and occurred_at < $2 and billed_account_id is not null
               and watermarks.partition = entries.partition and +entries.position <= watermarks.accounts_position
             group by entries.partition, billed_account_id, occurred_at - occurred_at % 900000000",
        ),
        "select partition, account_id, '' as session_id, starts_at, last_position as ends_at,
             cast(billable_count as bigint) as billable, cast(voided_count as bigint) as voided
         from account_buckets where starts_at >= $1 and starts_at < $2",
        "$3",
    )
}

/// Compares what the accounts have with the sums of their quarter hours.
fn account_totals_with_finer() -> Sql {
    compared(
        "account_totals",
        Sql::from(
            "select partition, account_id, '' as session_id, min(starts_at) as starts_at, max(starts_at) as ends_at,
                 cast(sum(billable_count) as bigint) as billable, cast(sum(voided_count) as bigint) as voided
             from account_buckets group by partition, account_id",
        ),
        "select partition, account_id, '' as session_id,
             first_at - first_at % 900000000 as starts_at, last_at - last_at % 900000000 as ends_at,
             billable_count as billable, voided_count as voided
         from account_totals",
        "$1",
    )
}

/// Compares the undecided sessions after `$1` and up to `$2`, or all of them, with the log up to the
/// watermarks.
pub(in crate::store) fn undecided_with_log() -> Sql {
    let expected = Sql::from(
        "select entries.partition as partition, coalesce(account_id, '') as account_id, session_id,
             cast(0 as bigint) as starts_at, cast(0 as bigint) as ends_at, cast(sum(",
    ) + UNDECIDED_DELTA
        + ") as bigint) as billable, cast(0 as bigint) as voided
         from entries cross join watermarks
         where session_id > $1 and (cast($2 as text) is null or session_id <= $2) and "
        + CHANGES_UNDECIDED
        + " and watermarks.partition = entries.partition and +entries.position <= watermarks.accounts_position
         group by entries.partition, coalesce(account_id, ''), session_id having sum("
        + UNDECIDED_DELTA
        + ") <> 0";
    compared(
        "undecided",
        expected,
        "select partition, account_id, session_id, cast(0 as bigint) as starts_at, cast(0 as bigint) as ends_at,
             billable_count as billable, cast(0 as bigint) as voided
         from undecided where session_id > $1 and (cast($2 as text) is null or session_id <= $2)",
        "$3",
    )
}

/// Skips the first `$2` entries of the sessions after `$1`, and selects the session of the next.
const SESSION_BEHIND: &str = "select session_id from entries where session_id > $1
     order by session_id limit 1 offset $2";

impl<D: Dialect> Backend<D> {
    pub(in crate::store) async fn account_buckets_against_log(
        &self,
        from: i64,
        until: i64,
        limit: i64,
    ) -> Result<Vec<ComparedDerived>, StoreError> {
        let statement = query::<D>(account_buckets_with_log());
        self.derived_compare(statement.bind(from).bind(until).bind(limit))
            .await
    }

    pub(in crate::store) async fn account_totals_against_finer(
        &self,
        limit: i64,
    ) -> Result<Vec<ComparedDerived>, StoreError> {
        let statement = query::<D>(account_totals_with_finer());
        self.derived_compare(statement.bind(limit)).await
    }

    pub(in crate::store) async fn undecided_against_log(
        &self,
        after: &str,
        until: Option<&str>,
        limit: i64,
    ) -> Result<Vec<ComparedDerived>, StoreError> {
        let statement = query::<D>(undecided_with_log());
        self.derived_compare(statement.bind(after).bind(until).bind(limit))
            .await
    }

    async fn derived_compare(
        &self,
        statement: Statement<D>,
    ) -> Result<Vec<ComparedDerived>, StoreError> {
        let mut transaction = self.read.begin_with(D::BEGIN_LONG_READ).await?;
        let found = statement.fetch_all(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(found)
    }

    pub(in crate::store) async fn session_behind(
        &self,
        after: &str,
        entries: i64,
    ) -> Result<Option<String>, StoreError> {
        let found: Option<(String,)> = query::<D>(SESSION_BEHIND)
            .bind(after)
            .bind(entries)
            .fetch_optional(&self.read)
            .await?;
        Ok(found.map(|(session,)| session))
    }
}
