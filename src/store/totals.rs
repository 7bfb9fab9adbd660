//! Totals: buckets that sum up the entries up to a watermark, and the entries after it.
//!
//! Buckets are derived from the log. Rolling a batch of a partition and moving its watermark is one
//! transaction. So wherever it is interrupted, the buckets and the entries after the watermark add
//! up to the log.

use super::feed::by_partition;
use super::row::{LOG, LogRow};
use super::{LogInfo, StoreError, postgres, sqlite};

/// What each kind of entry adds, as rows of four columns: the kind; 1 for the billed pair or 0 for
/// no account; what is added to the billables; what is added to the voided billables.
///
/// Attributing moves a billable from no account to its pair. Voiding moves it from its pair's
/// billables to its pair's voided billables.
macro_rules! deltas {
    () => {
        "(values (1, 1, 1, 0), (2, 1, 1, 0), (2, 0, -1, 0), (3, 1, -1, 1)) "
    };
}

/// Rolls entries into buckets: `$1` is the partition; the positions are after `$2` and up to `$3`.
macro_rules! roll {
    ($month:literal) => {
        concat!(
            "insert into buckets (partition, level, account_id, customer_id, starts_at, billable_count, voided_count)
             with delta (kind, to_pair, billable, voided) as ",
            deltas!(),
            ", level (code) as (values (1), (2), (3))
             select entries.partition, level.code,
                 case when delta.to_pair = 1 then coalesce(billed_account_id, '') else '' end as account,
                 case when delta.to_pair = 1 then coalesce(billed_customer_id, '') else '' end as customer,
                 case level.code
                     when 1 then occurred_at - occurred_at % 900000000
                     when 2 then occurred_at - occurred_at % 86400000000
                     else ", $month, "
                 end as start,
                 sum(delta.billable), sum(delta.voided)
             from entries join delta on delta.kind = entries.kind cross join level
             where partition = $1 and position > $2 and position <= $3
             group by 1, 2, 3, 4, 5
             on conflict (level, account_id, starts_at, customer_id, partition) do update set
                 billable_count = buckets.billable_count + excluded.billable_count,
                 voided_count = buckets.voided_count + excluded.voided_count"
        )
    };
}

/// Selects the rows of a partition's tail. `$1` is the partition, `$2` and `$3` the positions, `$4`
/// and `$5` the times, `$6` and `$7` the account and the customer, or null, `$8` the limit, and
/// `$9` the account that stands for unattributed billables, or null; `$10` is what each entry counts,
/// `$11` the width of the quarter hours. The rows are after the account `$12` and the customer `$13`,
/// if that is given.
pub(super) const TAIL: &str = concat!(
    "with delta (kind, to_pair, billable, voided) as ",
    deltas!(),
    "select group_key, account_id, customer_id,
         cast($10 * sum(billable) as bigint) as billable_count,
         cast($10 * sum(voided) as bigint) as voided_count
     from (
         select occurred_at - occurred_at % cast($11 as bigint) as group_key,
             case when delta.to_pair = 1 then coalesce(billed_account_id, '') else '' end as account_id,
             case when delta.to_pair = 1 then coalesce(billed_customer_id, '') else '' end as customer_id,
             delta.billable, delta.voided
         from entries join delta on delta.kind = entries.kind
         where partition = $1 and position > $2 and position <= $3 and occurred_at >= $4 and occurred_at < $5
     ) as tail
     where (cast($6 as text) is null or account_id = $6 or account_id = $9)
       and (cast($7 as text) is null or customer_id = $7 or account_id = '')
       and (cast($13 as text) is null or (account_id, customer_id) > ($12, $13))
     group by group_key, account_id, customer_id
     order by group_key, account_id, customer_id limit $8"
);

/// Selects the partitions that have entries after their watermark.
const BEHIND: &str = "select log_heads.partition from log_heads
     join watermarks on watermarks.partition = log_heads.partition
     where watermarks.position < log_heads.next_position - 1 order by log_heads.partition";

/// Sums up the buckets in the ranges, which have the columns of [`BucketRange`]. `$1` is the
/// account and `$2` the customer, or null. `$after` is the key that the rows are after.
macro_rules! bucketed {
    ($account:expr, $ranges:literal, $after:literal, $limit:literal) => {
        concat!(
            "select wanted.group_key, account_id, customer_id,
                 cast(sum(wanted.sign * billable_count) as bigint) as billable_count,
                 cast(sum(wanted.sign * voided_count) as bigint) as voided_count
             from ",
            $ranges,
            " join buckets on buckets.level = wanted.level
                 and buckets.starts_at >= wanted.starts_from and buckets.starts_at < wanted.starts_until
             where ",
            $account,
            " and (cast($2 as text) is null or customer_id = $2 or account_id = '')
               and (wanted.group_key, account_id, customer_id) > ",
            $after,
            " group by wanted.group_key, account_id, customer_id
             order by wanted.group_key, account_id, customer_id limit ",
            $limit
        )
    };
}
pub(super) use bucketed;

/// The two forms of [`bucketed`], with and without an account.
macro_rules! bucketed_forms {
    ($ranges:literal, $after:literal, $limit:literal, $nobody:literal) => {
        [
            $crate::store::totals::bucketed!(
                concat!("account_id in ($1, ", $nobody, ")"),
                $ranges,
                $after,
                $limit
            ),
            $crate::store::totals::bucketed!(
                concat!(
                    "cast($1 as text) is null and (account_id <> '' or account_id = ",
                    $nobody,
                    ")"
                ),
                $ranges,
                $after,
                $limit
            ),
        ]
    };
}
pub(super) use bucketed_forms;

pub(super) mod compare;
mod query;

pub use compare::Compared;
use query::MAX_TAIL;
pub use query::{BucketRange, Level, QUARTER_HOUR, Totals, TotalsKey, TotalsQuery, TotalsRow};

macro_rules! totals_operations {
    ($store:ty, $dialect:ident, $roll:expr) => {
        impl $store {
            pub(super) async fn totals_behind(&self) -> Result<Vec<u32>, StoreError> {
                let partitions: Vec<i32> =
                    sqlx::query_scalar(BEHIND).fetch_all(&self.derived).await?;
                Ok(partitions.into_iter().map(i32::cast_unsigned).collect())
            }

            pub(super) async fn totals_roll(
                &self,
                partition: u32,
                limit: i64,
            ) -> Result<bool, StoreError> {
                let partition = partition.cast_signed();
                let mut transaction = self.derived.begin_with($dialect::BEGIN_DERIVED).await?;
                // The update locks the row: if two processes roll, one waits and then finds nothing
                // to do.
                let watermark: i64 = sqlx::query_scalar(
                    "update watermarks set position = position where partition = $1
                     returning position",
                )
                .bind(partition)
                .fetch_one(&mut *transaction)
                .await?;
                let head: i64 = sqlx::query_scalar(
                    "select next_position - 1 from log_heads where partition = $1",
                )
                .bind(partition)
                .fetch_one(&mut *transaction)
                .await?;
                let until = head.min(watermark + limit);
                if until > watermark {
                    sqlx::query($roll)
                        .bind(partition)
                        .bind(watermark)
                        .bind(until)
                        .execute(&mut *transaction)
                        .await?;
                    sqlx::query("update watermarks set position = $2 where partition = $1")
                        .bind(partition)
                        .bind(until)
                        .execute(&mut *transaction)
                        .await?;
                }
                transaction.commit().await?;
                Ok(until < head)
            }

            pub(super) async fn totals_clear(&self, partition: u32) -> Result<(), StoreError> {
                let partition = partition.cast_signed();
                let mut transaction = self.derived.begin_with($dialect::BEGIN_DERIVED).await?;
                sqlx::query("update watermarks set position = 0 where partition = $1")
                    .bind(partition)
                    .execute(&mut *transaction)
                    .await?;
                sqlx::query($dialect::CLEAR_BUCKETS)
                    .bind(partition)
                    .execute(&mut *transaction)
                    .await?;
                transaction.commit().await?;
                Ok(())
            }

            pub(super) async fn totals_read(
                &self,
                log: LogInfo,
                query: &TotalsQuery<'_>,
            ) -> Result<Totals, StoreError> {
                self.check_files()?;
                let mut transaction = self.read.begin_with($dialect::BEGIN_SNAPSHOT).await?;
                let found: LogRow = sqlx::query_as(LOG).fetch_one(&mut *transaction).await?;
                if LogInfo::from(found) != log {
                    return Err(StoreError::WrongLog);
                }
                let rows = sqlx::query_as("select partition, next_position - 1 from log_heads")
                    .fetch_all(&mut *transaction)
                    .await?;
                let heads = by_partition("log_heads", rows, log)?;
                let rows = sqlx::query_as("select partition, position from watermarks")
                    .fetch_all(&mut *transaction)
                    .await?;
                let watermarks = by_partition("watermarks", rows, log)?;
                let cut = match query.cut {
                    None => heads,
                    Some(cut) if cut.iter().zip(&heads).all(|(cut, head)| cut <= head) => {
                        cut.to_vec()
                    }
                    // The log has lost its last entries.
                    Some(_) => return Err(StoreError::WrongLog),
                };
                let bucketed = $dialect::totals::bucketed(&mut transaction, query).await?;
                let (mut tail, mut tail_ends) = (Vec::new(), Vec::new());
                for (partition, (cut, watermark)) in cut.iter().zip(watermarks).enumerate() {
                    if watermark != *cut {
                        let partition = i32::try_from(partition).expect("at most 256");
                        let rows: Vec<TotalsRow> = sqlx::query_as(TAIL)
                            .bind(partition)
                            .bind(watermark.min(*cut))
                            .bind(watermark.max(*cut))
                            .bind(query.from)
                            .bind(query.until)
                            .bind(query.account)
                            .bind(query.customer)
                            .bind(i64::try_from(query.tail_limit()).expect("a small number"))
                            .bind(query.nobody())
                            .bind((*cut - watermark).signum())
                            .bind(query.tail_width)
                            .bind(&query.after.account_id)
                            .bind(query.after_customer())
                            .fetch_all(&mut *transaction)
                            .await?;
                        if rows.len() == query.tail_limit() {
                            tail_ends.extend(rows.last().map(TotalsRow::key));
                        }
                        tail.extend(rows);
                        if !query.has_ordered_tail() && tail.len() >= MAX_TAIL {
                            return Err(StoreError::FarBehind);
                        }
                    }
                }
                transaction.commit().await?;
                Ok(Totals {
                    bucketed,
                    tail,
                    tail_end: tail_ends.into_iter().min(),
                    cut,
                })
            }
        }
    };
}

const POSTGRES_ROLL: &str = roll!(
    "cast(extract(epoch from date_trunc('month', to_timestamp(occurred_at / 1000000) at time zone 'UTC')) as bigint) * 1000000"
);
pub(super) const SQLITE_ROLL: &str =
    roll!("unixepoch(occurred_at / 1000000, 'unixepoch', 'start of month') * 1000000");

totals_operations!(postgres::Store, postgres, POSTGRES_ROLL);
totals_operations!(sqlite::Store, sqlite, SQLITE_ROLL);
