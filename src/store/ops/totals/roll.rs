//! Rolling: what is derived from the log, up to a watermark in each partition.
//!
//! Rolling a batch of a partition and moving its watermark is one transaction. So wherever it is
//! interrupted, the derived rows and the entries after the watermark add up to the log.

use super::DELTAS;
use crate::store::backend::Backend;
use crate::store::dialect::Dialect;
use crate::store::error::StoreError;
use crate::store::query::query;
use crate::store::sql::Sql;

/// Rolls entries into buckets: `$1` is the partition; the positions are after `$2` and up to `$3`.
pub(in crate::store) fn roll<D: Dialect>() -> Sql {
    Sql::from("insert into buckets (partition, level, account_id, customer_id, starts_at, billable_count, voided_count) ")
        + DELTAS
        + ", level (code) as (values (1), (2), (3))
             select entries.partition, level.code,
                 case when delta.to_pair = 1 then coalesce(billed_account_id, '') else '' end as account,
                 case when delta.to_pair = 1 then coalesce(billed_customer_id, '') else '' end as customer,
                 case level.code
                     when 1 then occurred_at - occurred_at % 900000000
                     when 2 then occurred_at - occurred_at % 86400000000
                     else "
        + D::MONTH
        + " end as start,
                 sum(delta.billable), sum(delta.voided)
             from entries join delta on delta.kind = entries.kind cross join level
             where partition = $1 and position > $2 and position <= $3
             group by 1, 2, 3, 4, 5
             on conflict (level, account_id, starts_at, customer_id, partition) do update set
                 billable_count = buckets.billable_count + excluded.billable_count,
                 voided_count = buckets.voided_count + excluded.voided_count"
}

/// Selects the entries of the partition `$1` after the position `$2` and up to `$3`.
const BATCH: &str = " from entries where partition = $1 and position > $2 and position <= $3 and ";

/// Rolls entries into what each account has. An account and its billables stay together for good, so
/// only the counts can get smaller.
pub(in crate::store) fn roll_accounts() -> Sql {
    Sql::from(
        "insert into account_totals (partition, account_id, billable_count, voided_count, first_at, last_at)
             select partition, billed_account_id,
                 sum(case when kind = 3 then -1 else 1 end), sum(case when kind = 3 then 1 else 0 end),
                 min(occurred_at), max(occurred_at)",
    ) + BATCH
        + "billed_account_id is not null
             group by partition, billed_account_id
             on conflict (account_id, partition) do update set
                 billable_count = account_totals.billable_count + excluded.billable_count,
                 voided_count = account_totals.voided_count + excluded.voided_count,
                 first_at = case when excluded.first_at < account_totals.first_at
                     then excluded.first_at else account_totals.first_at end,
                 last_at = case when excluded.last_at > account_totals.last_at
                     then excluded.last_at else account_totals.last_at end"
}

/// Rolls entries into what each account has in each quarter of an hour.
pub(in crate::store) fn roll_account_buckets() -> Sql {
    Sql::from(
        "insert into account_buckets (partition, account_id, starts_at, billable_count, voided_count, last_position)
             select partition, billed_account_id, occurred_at - occurred_at % 900000000 as start,
                 sum(case when kind = 3 then -1 else 1 end), sum(case when kind = 3 then 1 else 0 end),
                 max(position)",
    ) + BATCH
        + "billed_account_id is not null
             group by partition, billed_account_id, start
             on conflict (account_id, starts_at, partition) do update set
                 billable_count = account_buckets.billable_count + excluded.billable_count,
                 voided_count = account_buckets.voided_count + excluded.voided_count,
                 last_position = excluded.last_position"
}

/// The condition for entries that change how many billables of a session bill nobody, and what each
/// adds: one that is recorded without a pair adds it, and one that is attributed, or voided without a
/// pair, removes it.
pub(in crate::store) const CHANGES_UNDECIDED: &str = "(kind = 2 or billed_account_id is null)";
pub(in crate::store) const UNDECIDED_DELTA: &str = "case when kind = 1 then 1 else -1 end";

/// Rolls entries into the unattributed billables of each session.
pub(in crate::store) fn roll_undecided() -> Sql {
    Sql::from(
        "insert into undecided (partition, session_id, account_id, billable_count, first_at)
             select partition, coalesce(session_id, ''), coalesce(account_id, '') as account, sum(",
    ) + UNDECIDED_DELTA
        + "), min(occurred_at)"
        + BATCH
        + CHANGES_UNDECIDED
        + " group by partition, coalesce(session_id, ''), account
             having sum("
        + UNDECIDED_DELTA
        + ") <> 0
             on conflict (session_id, account_id, partition) do update set
                 billable_count = undecided.billable_count + excluded.billable_count,
                 first_at = case when excluded.first_at < undecided.first_at
                     then excluded.first_at else undecided.first_at end"
}

/// Deletes the rows of the sessions of which a batch attributed or voided the last.
pub(in crate::store) fn delete_decided() -> Sql {
    Sql::from(
        "delete from undecided where partition = $1 and billable_count = 0
             and session_id in (select coalesce(session_id, '')",
    ) + BATCH
        + "(kind = 2 or (kind = 3 and billed_account_id is null)))"
}

/// Selects the partitions that have entries after a watermark.
const BEHIND: &str = "select log_heads.partition from log_heads
     join watermarks on watermarks.partition = log_heads.partition
     where watermarks.position < log_heads.next_position - 1
        or watermarks.accounts_position < log_heads.next_position - 1
     order by log_heads.partition";

/// The tables that are derived from the log.
pub(in crate::store) const DERIVED: [&str; 4] =
    ["buckets", "account_totals", "account_buckets", "undecided"];

impl<D: Dialect> Backend<D> {
    pub(in crate::store) async fn totals_behind(&self) -> Result<Vec<u32>, StoreError> {
        let partitions: Vec<(i32,)> = query::<D>(BEHIND).fetch_all(&self.derived).await?;
        let partitions = partitions.into_iter();
        Ok(partitions.map(|(one,)| one.cast_unsigned()).collect())
    }

    pub(in crate::store) async fn totals_roll(
        &self,
        partition: u32,
        limit: i64,
    ) -> Result<bool, StoreError> {
        let partition = partition.cast_signed();
        let mut transaction = self.derived.begin_with(D::BEGIN_DERIVED).await?;
        // The update locks the row: if two processes roll, one waits and then finds nothing to do.
        let (buckets, accounts): (i64, i64) = query::<D>(
            "update watermarks set position = position where partition = $1
             returning position, accounts_position",
        )
        .bind(partition)
        .fetch_one(&mut *transaction)
        .await?;
        let (head,): (i64,) =
            query::<D>("select next_position - 1 from log_heads where partition = $1")
                .bind(partition)
                .fetch_one(&mut *transaction)
                .await?;
        let until = [buckets, accounts].map(|watermark| head.min(watermark + limit));
        let [of_buckets, of_accounts] = until;
        let statements = [
            (roll::<D>(), buckets, of_buckets),
            (roll_accounts(), accounts, of_accounts),
            (roll_account_buckets(), accounts, of_accounts),
            (roll_undecided(), accounts, of_accounts),
            (delete_decided(), accounts, of_accounts),
        ];
        for (statement, watermark, until) in statements {
            if until > watermark {
                query::<D>(statement)
                    .bind(partition)
                    .bind(watermark)
                    .bind(until)
                    .execute(&mut *transaction)
                    .await?;
            }
        }
        query::<D>(
            "update watermarks set position = $2, accounts_position = $3 where partition = $1",
        )
        .bind(partition)
        .bind(of_buckets)
        .bind(of_accounts)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(until.iter().any(|until| *until < head))
    }

    pub(in crate::store) async fn totals_clear(&self, partition: u32) -> Result<(), StoreError> {
        let partition = partition.cast_signed();
        let mut transaction = self.derived.begin_with(D::BEGIN_DERIVED).await?;
        query::<D>(
            "update watermarks set position = 0, accounts_position = 0 where partition = $1",
        )
        .bind(partition)
        .execute(&mut *transaction)
        .await?;
        for table in DERIVED {
            query::<D>(Sql::from("delete from ") + table + D::CLEARED)
                .bind(partition)
                .execute(&mut *transaction)
                .await?;
        }
        Ok(transaction.commit().await?)
    }
}
