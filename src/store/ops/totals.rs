//! Totals: buckets that sum up the entries up to a watermark, and the entries after it.

pub(in crate::store) mod compare;
pub(in crate::store) mod compare_derived;
pub(in crate::store) mod entries;
mod query;
pub(in crate::store) mod roll;

use super::feed::by_partition;
use crate::store::LogInfo;
use crate::store::backend::Backend;
use crate::store::dialect::{Connector, Dialect};
use crate::store::error::StoreError;
use crate::store::query::query;
use crate::store::row::{LOG, LogRow};
use crate::store::sql::Sql;
use crate::store::table::{Column, Table};

pub use compare::Compared;
pub use compare_derived::ComparedDerived;
use entries::{from_entries, of_entries};
pub(in crate::store) use query::MAX_READ;
use query::MAX_TAIL;
pub use query::{
    BucketRange, Level, QUARTER_HOUR, Totals, TotalsKey, TotalsQuery, TotalsRow, TotalsSource,
};

/// What each kind of entry adds, as rows of four columns: the kind; 1 for the billed pair or 0 for
/// no account; what is added to the billables; what is added to the voided billables.
///
/// Attributing moves a billable from no account to its pair. Voiding moves it from its pair's
/// billables to its pair's voided billables.
pub(in crate::store) const DELTAS: &str = "with delta (kind, to_pair, billable, voided) as
         (values (1, 1, 1, 0), (2, 1, 1, 0), (2, 0, -1, 0), (3, 1, -1, 1))";

/// Sums up the billables of the account `$1` in the ranges of a table, which has the columns of
/// [`BucketRange`]. A voided one has two entries.
fn entries_of_account<D: Dialect>(ranges: &Table<'_>) -> Sql {
    Sql::from(
        "select cast(coalesce(sum(wanted.sign * (billable_count + 2 * voided_count)), 0) as bigint) from ",
    ) + D::table(ranges, 2, "wanted")
        + " join buckets on buckets.level = wanted.level
             and buckets.starts_at >= wanted.starts_from and buckets.starts_at < wanted.starts_until
         where account_id = $1"
}

/// The number of entries of an account that are read however few are between: some 50 ms.
pub(super) const FEW: i64 = 50_000;

pub(in crate::store) const WATERMARKS: &str = "select partition, position from watermarks";

/// Sums up the buckets in the ranges of a table, which has the columns of [`BucketRange`]. `$1` is
/// the account and `$2` the customer, or null. The rows are after the key `$3`, `$4`, `$5`; `$6` is
/// the limit, and `$7` the account that stands for unattributed billables, or null.
fn bucketed<D: Dialect>(ranges: &Table<'_>, has_account: bool) -> Sql {
    let account = if has_account {
        "account_id in ($1, $7)"
    } else {
        "cast($1 as text) is null and (account_id <> '' or account_id = $7)"
    };
    Sql::from(
        "select wanted.group_key, account_id, customer_id,
             cast(sum(wanted.sign * billable_count) as bigint) as billable_count,
             cast(sum(wanted.sign * voided_count) as bigint) as voided_count
         from ",
    ) + D::table(ranges, 8, "wanted")
        + " join buckets on buckets.level = wanted.level
             and buckets.starts_at >= wanted.starts_from and buckets.starts_at < wanted.starts_until
         where "
        + account
        + " and (cast($2 as text) is null or customer_id = $2 or account_id = '')
             and (wanted.group_key, account_id, customer_id) > ($3, $4, $5)
         group by wanted.group_key, account_id, customer_id
         order by wanted.group_key, account_id, customer_id limit $6"
}

impl<D: Dialect> Backend<D> {
    pub(in crate::store) async fn totals_read(
        &self,
        log: LogInfo,
        wanted: &TotalsQuery<'_>,
    ) -> Result<Totals, StoreError> {
        self.connector.check_files()?;
        let mut transaction = self.read.begin_with(D::BEGIN_SNAPSHOT).await?;
        let (heads, watermarks) = positions::<D>(&mut transaction, log).await?;
        let cut = match wanted.cut {
            None => heads,
            Some(cut) if cut.iter().zip(&heads).all(|(cut, head)| cut <= head) => cut.to_vec(),
            // The log has lost its last entries.
            Some(_) => return Err(StoreError::WrongLog),
        };
        let source = match wanted.source {
            Some(source) => source,
            None => choose::<D>(&mut transaction, wanted, &cut, &watermarks).await?,
        };
        if source == TotalsSource::Account {
            let tail = of_entries::<D>(&mut transaction, wanted, &cut).await?;
            transaction.commit().await?;
            if !wanted.has_ordered_tail() && tail.len() >= MAX_TAIL {
                return Err(StoreError::TooMuch);
            }
            let is_full = tail.len() == wanted.tail_limit();
            let tail_end = tail.last().filter(|_| is_full).map(TotalsRow::key);
            return Ok(Totals {
                bucketed: Vec::new(),
                tail,
                tail_end,
                cut,
                source,
            });
        }
        let bucketed = from_buckets::<D>(&mut transaction, wanted).await?;
        let (mut tail, mut tail_ends) = (Vec::new(), Vec::new());
        for (partition, (cut, watermark)) in (0..).zip(cut.iter().zip(watermarks)) {
            if watermark != *cut {
                let between = (watermark, *cut);
                let rows = from_entries::<D>(&mut transaction, wanted, partition, between).await?;
                if rows.len() == wanted.tail_limit() {
                    tail_ends.extend(rows.last().map(TotalsRow::key));
                }
                tail.extend(rows);
                if !wanted.has_ordered_tail() && tail.len() >= MAX_TAIL {
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
            source,
        })
    }
}

/// Returns the heads and the watermarks.
async fn positions<D: Dialect>(
    connection: &mut D::Connection,
    log: LogInfo,
) -> Result<(Vec<i64>, Vec<i64>), StoreError> {
    let heads = heads::<D>(&mut *connection, log).await?;
    let watermarks = query::<D>(WATERMARKS).fetch_all(connection).await?;
    let watermarks = by_partition("watermarks", watermarks, log)?;
    Ok((heads, watermarks))
}

/// Returns the last position of each partition.
///
/// # Errors
/// [`StoreError::WrongLog`] if the database has another log.
pub(super) async fn heads<D: Dialect>(
    connection: &mut D::Connection,
    log: LogInfo,
) -> Result<Vec<i64>, StoreError> {
    let found: LogRow = query::<D>(LOG).fetch_one(&mut *connection).await?;
    if LogInfo::from(found) != log {
        return Err(StoreError::WrongLog);
    }
    let heads = query::<D>("select partition, next_position - 1 from log_heads")
        .fetch_all(connection)
        .await?;
    by_partition("log_heads", heads, log)
}

/// Chooses how totals are counted: with the entries between the watermarks and the cut, or with those
/// of the account, if they are fewer.
async fn choose<D: Dialect>(
    connection: &mut D::Connection,
    wanted: &TotalsQuery<'_>,
    cut: &[i64],
    watermarks: &[i64],
) -> Result<TotalsSource, StoreError> {
    let ends = cut.iter().zip(watermarks);
    let between: i64 = ends.map(|(cut, watermark)| (cut - watermark).abs()).sum();
    // The clock must not tell a limited caller how much others wrote, so the account's own entries
    // decide.
    let account = wanted
        .account
        .filter(|_| between > 0 && wanted.cut.is_some());
    let of_account = match account {
        None => i64::MAX,
        Some(account) => {
            let ranges = table_of(wanted.ranges);
            let (count,): (i64,) = query::<D>(entries_of_account::<D>(&ranges))
                .bind(account)
                .bind_table(ranges)
                .fetch_one(connection)
                .await?;
            count
        }
    };
    if wanted.cut.is_some() && between.min(of_account) > MAX_READ {
        return Err(StoreError::TooMuch);
    }
    Ok(if of_account <= FEW.max(between) {
        TotalsSource::Account
    } else {
        TotalsSource::Buckets
    })
}

/// Returns bucket ranges as a table.
fn table_of(ranges: &[BucketRange]) -> Table<'static> {
    let column = |value: fn(&BucketRange) -> i64| Column::bigints(ranges.iter().map(value));
    Table(vec![
        ("group_key", column(|range| range.row)),
        ("level", column(|range| range.level.code().into())),
        ("starts_from", column(|range| range.from)),
        ("starts_until", column(|range| range.until)),
        ("sign", column(|range| range.sign)),
    ])
}

/// Returns the sums of the buckets in a query's ranges.
async fn from_buckets<D: Dialect>(
    connection: &mut D::Connection,
    wanted: &TotalsQuery<'_>,
) -> Result<Vec<TotalsRow>, StoreError> {
    let ranges = table_of(wanted.ranges);
    let rows = query::<D>(bucketed::<D>(&ranges, wanted.account.is_some()))
        .bind(wanted.account)
        .bind(wanted.customer)
        .bind(wanted.after.row)
        .bind(wanted.after.account_id.as_str())
        .bind(wanted.after.customer_id.as_str())
        .bind(i64::try_from(wanted.limit).expect("a small number"))
        .bind(wanted.nobody())
        .bind_table(ranges)
        .fetch_all(connection)
        .await?;
    Ok(rows)
}
