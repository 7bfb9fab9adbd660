//! Totals in SQLite: the sums of the buckets in a query's ranges.

use serde_json::json;
use sqlx::SqliteConnection;

use crate::store::StoreError;
use crate::store::totals::{TotalsQuery, TotalsRow, bucketed_forms};

const BUCKETED: [&str; 2] = bucketed_forms!(
    "(select value ->> 0 as group_key, value ->> 1 as level, value ->> 2 as starts_from,
             value ->> 3 as starts_until, value ->> 4 as sign from json_each($3)) as wanted",
    "($4, $5, $6)",
    "$7",
    "$8"
);

pub(in crate::store) async fn bucketed(
    connection: &mut SqliteConnection,
    query: &TotalsQuery<'_>,
) -> Result<Vec<TotalsRow>, StoreError> {
    let ranges: Vec<_> = query
        .ranges
        .iter()
        .map(|range| {
            (
                range.row,
                range.level.code(),
                range.from,
                range.until,
                range.sign,
            )
        })
        .collect();
    let rows = sqlx::query_as(BUCKETED[usize::from(query.account.is_none())])
        .bind(query.account)
        .bind(query.customer)
        .bind(json!(ranges).to_string())
        .bind(query.after.row)
        .bind(&query.after.account_id)
        .bind(&query.after.customer_id)
        .bind(i64::try_from(query.limit).expect("a small number"))
        .bind(query.nobody())
        .fetch_all(connection)
        .await?;
    Ok(rows)
}
