//! Totals in PostgreSQL: the sums of the buckets in a query's ranges.

use sqlx::PgConnection;

use crate::store::StoreError;
use crate::store::totals::{BucketRange, TotalsQuery, TotalsRow, bucketed_forms};

const BUCKETED: [&str; 2] = bucketed_forms!(
    "unnest($3::bigint[], $4::smallint[], $5::bigint[], $6::bigint[], $7::bigint[])
         as wanted (group_key, level, starts_from, starts_until, sign)",
    "($8, $9, $10)",
    "$11",
    "$12"
);

pub(in crate::store) async fn bucketed(
    connection: &mut PgConnection,
    query: &TotalsQuery<'_>,
) -> Result<Vec<TotalsRow>, StoreError> {
    let column =
        |value: fn(&BucketRange) -> i64| query.ranges.iter().map(value).collect::<Vec<_>>();
    let levels: Vec<_> = query
        .ranges
        .iter()
        .map(|range| range.level.code())
        .collect();
    let rows = sqlx::query_as(BUCKETED[usize::from(query.account.is_none())])
        .bind(query.account)
        .bind(query.customer)
        .bind(column(|range| range.row))
        .bind(levels)
        .bind(column(|range| range.from))
        .bind(column(|range| range.until))
        .bind(column(|range| range.sign))
        .bind(query.after.row)
        .bind(&query.after.account_id)
        .bind(&query.after.customer_id)
        .bind(i64::try_from(query.limit).expect("a small number"))
        .bind(query.nobody())
        .fetch_all(connection)
        .await?;
    Ok(rows)
}
