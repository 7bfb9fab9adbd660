//! Totals that are counted from entries, instead of buckets.

use super::DELTAS;
use super::query::{TotalsQuery, TotalsRow};
use crate::store::dialect::Dialect;
use crate::store::error::StoreError;
use crate::store::query::{Statement, query};
use crate::store::sql::Sql;
use crate::store::table::Column;

/// The entries of a partition's tail: `$1` is the partition, `$2` and `$3` are the positions.
const OF_TAIL: &str = "partition = $1 and position > $2 and position <= $3";

/// The entries of the account `$6` up to the positions `$1`; they are also after `$2` and up to `$3`.
/// The unary plus keeps the planners from the account's index by position.
fn of_account<D: Dialect>() -> Sql {
    Sql::from(
        "coalesce(billed_account_id, account_id) = $6 and +position > $2 and +position <= $3 and +position <= ",
    ) + D::at_partition(1)
}

/// Selects the rows that entries add. `entries` are their condition, with `$1` to `$3`, `$4`
/// and `$5` the times, `$6` and `$7` the account and the customer, or null, `$8` the limit, and
/// `$9` the account that stands for unattributed billables, or null; `$10` is what each entry counts,
/// `$11` the width of the quarter hours. The rows are after the account `$12` and the customer `$13`,
/// if that is given.
fn added_by(entries: Sql) -> Sql {
    Sql::from(DELTAS)
        + " select group_key, account_id, customer_id,
         cast($10 * sum(billable) as bigint) as billable_count,
         cast($10 * sum(voided) as bigint) as voided_count
     from (
         select occurred_at - occurred_at % cast($11 as bigint) as group_key,
             case when delta.to_pair = 1 then coalesce(billed_account_id, '') else '' end as account_id,
             case when delta.to_pair = 1 then coalesce(billed_customer_id, '') else '' end as customer_id,
             delta.billable, delta.voided
         from entries join delta on delta.kind = entries.kind
         where "
        + entries
        + " and occurred_at >= $4 and occurred_at < $5
     ) as tail
     where (cast($6 as text) is null or account_id = $6 or account_id = $9)
       and (cast($7 as text) is null or customer_id = $7 or account_id = '')
       and (cast($13 as text) is null or (account_id, customer_id) > ($12, $13))
     group by group_key, account_id, customer_id
     order by group_key, account_id, customer_id limit $8"
}

/// Selects the rows of a partition's tail.
pub(in crate::store) fn tail() -> Sql {
    added_by(Sql::from(OF_TAIL))
}

/// Selects the rows of an account's entries.
pub(in crate::store) fn tail_of_account<D: Dialect>() -> Sql {
    added_by(of_account::<D>())
}

/// Returns what a partition's entries between the watermark and the cut add, or what the buckets
/// have beyond the cut.
pub(super) async fn from_entries<D: Dialect>(
    connection: &mut D::Connection,
    wanted: &TotalsQuery<'_>,
    partition: i32,
    (watermark, cut): (i64, i64),
) -> Result<Vec<TotalsRow>, StoreError> {
    let statement = query::<D>(tail())
        .bind(partition)
        .bind(watermark.min(cut))
        .bind(watermark.max(cut));
    added::<D>(connection, statement, wanted, (cut - watermark).signum()).await
}

/// Returns what the entries of the account up to the cut add.
pub(super) async fn of_entries<D: Dialect>(
    connection: &mut D::Connection,
    wanted: &TotalsQuery<'_>,
    cut: &[i64],
) -> Result<Vec<TotalsRow>, StoreError> {
    let statement = query::<D>(tail_of_account::<D>())
        .bind_list(Column::bigints(cut.iter().copied()))
        .bind(0_i64)
        .bind(i64::MAX);
    added::<D>(connection, statement, wanted, 1).await
}

/// Runs [`added_by`]; each entry counts `sign`.
async fn added<D: Dialect>(
    connection: &mut D::Connection,
    statement: Statement<D>,
    wanted: &TotalsQuery<'_>,
    sign: i64,
) -> Result<Vec<TotalsRow>, StoreError> {
    let rows = statement
        .bind(wanted.from)
        .bind(wanted.until)
        .bind(wanted.account)
        .bind(wanted.customer)
        .bind(i64::try_from(wanted.tail_limit()).expect("a small number"))
        .bind(wanted.nobody())
        .bind(sign)
        .bind(wanted.tail_width)
        .bind(wanted.after.account_id.as_str())
        .bind(wanted.after_customer())
        .fetch_all(connection)
        .await?;
    Ok(rows)
}
