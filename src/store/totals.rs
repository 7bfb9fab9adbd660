//! Totals: buckets of what the entries up to a watermark add up to, and the entries behind it.
//!
//! Buckets are derived: rolling a batch of a partition and moving its watermark is one
//! transaction, so wherever it is cut short, buckets and the entries behind the watermark
//! together say what the log says.

use super::feed::by_partition;
use super::row::{LOG, LogRow};
use super::{LogInfo, StoreError, postgres, sqlite};

/// The widths that totals are kept in, the finest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// 15 minutes: the days of every time zone since 1980 are made of them.
    QuarterHour,
    /// A day of UTC.
    Day,
    /// A calendar month of UTC.
    Month,
}

impl Level {
    pub(super) fn code(self) -> i16 {
        match self {
            Self::QuarterHour => 1,
            Self::Day => 2,
            Self::Month => 3,
        }
    }
}

/// Buckets that count for a row of the result, or against it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BucketRange {
    /// The row of the result.
    pub row: i64,
    /// The width of the buckets.
    pub level: Level,
    /// The first bucket begins here, in microseconds since 1970.
    pub from: i64,
    /// The last one ends here.
    pub until: i64,
    /// 1 or -1.
    pub sign: i64,
}

#[derive(Clone, Debug)]
pub struct TotalsQuery<'a> {
    /// What the buckets make of each row.
    pub ranges: &'a [BucketRange],
    /// Calls at or after this, in microseconds since 1970.
    pub from: i64,
    /// Calls before this.
    pub until: i64,
    /// Only this account; all when not given.
    pub account: Option<&'a str>,
    /// Only this customer; all when not given.
    pub customer: Option<&'a str>,
    /// Whether to count what nobody is billed for yet.
    pub with_unattributed: bool,
}

impl TotalsQuery<'_> {
    /// The account that stands for nobody, if it counts.
    pub(super) fn nobody(&self) -> Option<&'static str> {
        self.with_unattributed.then_some("")
    }
}

/// A row that adds to a total. The account and the customer are empty where nobody is billed yet.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct TotalsRow {
    /// The row of the result if it comes from buckets, else the start of the quarter of an hour.
    pub group_key: i64,
    pub account_id: String,
    pub customer_id: String,
    pub billable_count: i64,
    pub voided_count: i64,
}

/// Totals as rows, and the heads that they are exact at.
#[derive(Clone, Debug)]
pub struct Totals {
    /// Rows from buckets; `group_key` is the row.
    pub bucketed: Vec<TotalsRow>,
    /// Rows from the entries behind the watermarks; `group_key` is the start of a quarter hour.
    pub tail: Vec<TotalsRow>,
    /// The last position of each partition.
    pub heads: Vec<i64>,
}

/// What entries add, as (kind, whether to the pair that they bill, billables, voided ones):
/// attributing moves a billable from nobody to its pair, voiding takes it from whoever had it.
macro_rules! deltas {
    () => {
        "(values (1, 1, 1, 0), (2, 1, 1, 0), (2, 0, -1, 0), (3, 1, -1, 1)) "
    };
}

/// `$1` partition, `$2` and `$3` the positions, after and until.
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

/// The rows of a partition's tail: `$1` partition, `$2` and `$3` the positions, `$4` and `$5` the
/// time, `$6` and `$7` the account and the customer, or null; `$9` the account that stands for nobody, or null.
pub(super) const TAIL: &str = concat!(
    "with delta (kind, to_pair, billable, voided) as ",
    deltas!(),
    "select group_key, account_id, customer_id,
         cast(sum(billable) as bigint) as billable_count, cast(sum(voided) as bigint) as voided_count
     from (
         select occurred_at - occurred_at % 900000000 as group_key,
             case when delta.to_pair = 1 then coalesce(billed_account_id, '') else '' end as account_id,
             case when delta.to_pair = 1 then coalesce(billed_customer_id, '') else '' end as customer_id,
             delta.billable, delta.voided
         from entries join delta on delta.kind = entries.kind
         where partition = $1 and position > $2 and position <= $3 and occurred_at >= $4 and occurred_at < $5
     ) as tail
     where (cast($6 as text) is null or account_id = $6 or account_id = $9)
       and (cast($7 as text) is null or customer_id = $7 or account_id = '')
     group by group_key, account_id, customer_id limit $8"
);

/// The most rows that are held at once: 400,000 of some 150 bytes are 60 MB.
pub(super) const MAX_ROWS: usize = 400_000;

/// Every partition that has entries behind its watermark.
const BEHIND: &str = "select log_heads.partition from log_heads
     join watermarks on watermarks.partition = log_heads.partition
     where watermarks.position < log_heads.next_position - 1 order by log_heads.partition";

/// What the buckets make of the ranges, which are the columns of [`BucketRange`]. `$1` is the account
/// and `$2` the customer, or null.
macro_rules! bucketed {
    ($account:expr, $ranges:literal, $limit:literal) => {
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
             group by wanted.group_key, account_id, customer_id limit ",
            $limit
        )
    };
}
pub(super) use bucketed;

/// The two forms of [`bucketed`], with and without an account.
macro_rules! bucketed_forms {
    ($ranges:literal, $limit:literal, $nobody:literal) => {
        [
            $crate::store::totals::bucketed!(
                concat!("account_id in ($1, ", $nobody, ")"),
                $ranges,
                $limit
            ),
            $crate::store::totals::bucketed!(
                concat!(
                    "cast($1 as text) is null and (account_id <> '' or account_id = ",
                    $nobody,
                    ")"
                ),
                $ranges,
                $limit
            ),
        ]
    };
}
pub(super) use bucketed_forms;

pub(super) mod compare;

pub use compare::Compared;

macro_rules! totals_operations {
    ($store:ty, $dialect:ident, $roll:expr) => {
        impl $store {
            /// The partitions that have entries behind their watermark.
            pub(super) async fn totals_behind(&self) -> Result<Vec<u32>, StoreError> {
                let partitions: Vec<i32> =
                    sqlx::query_scalar(BEHIND).fetch_all(&self.derived).await?;
                Ok(partitions.into_iter().map(i32::cast_unsigned).collect())
            }

            /// Rolls a batch of at most `most` positions; whether there is more.
            pub(super) async fn totals_roll(
                &self,
                partition: u32,
                most: i64,
            ) -> Result<bool, StoreError> {
                let partition = partition.cast_signed();
                let mut transaction = self.derived.begin_with($dialect::BEGIN_DERIVED).await?;
                // The update locks the row: of two processes one waits and finds nothing to do.
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
                let until = head.min(watermark + most);
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

            /// Forgets the buckets of a partition.
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

            /// Everything in one snapshot.
            pub(super) async fn totals_read(
                &self,
                log: LogInfo,
                query: &TotalsQuery<'_>,
            ) -> Result<Option<Totals>, StoreError> {
                self.check_same_file()?;
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
                let bucketed = $dialect::totals::bucketed(&mut transaction, query).await?;
                if bucketed.len() == MAX_ROWS {
                    return Ok(None);
                }
                let mut tail = Vec::new();
                for (partition, (head, watermark)) in heads.iter().zip(watermarks).enumerate() {
                    if watermark < *head {
                        let partition = i32::try_from(partition).expect("at most 1024");
                        let rows: Vec<TotalsRow> = sqlx::query_as(TAIL)
                            .bind(partition)
                            .bind(watermark)
                            .bind(head)
                            .bind(query.from)
                            .bind(query.until)
                            .bind(query.account)
                            .bind(query.customer)
                            .bind(i64::try_from(MAX_ROWS).expect("a small number"))
                            .bind(query.nobody())
                            .fetch_all(&mut *transaction)
                            .await?;
                        tail.extend(rows);
                        if tail.len() >= MAX_ROWS {
                            return Ok(None);
                        }
                    }
                }
                transaction.commit().await?;
                Ok(Some(Totals {
                    bucketed,
                    tail,
                    heads,
                }))
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
