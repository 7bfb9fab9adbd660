//! Totals in SQLite: what the buckets make of a query's pieces.

use serde_json::json;
use sqlx::SqliteConnection;

use crate::store::StoreError;
use crate::store::totals::{MAX_ROWS, TotalsQuery, TotalsRow, bucketed_forms};

const BUCKETED: [&str; 2] = bucketed_forms!(
    "(select value ->> 0 as place, value ->> 1 as level, value ->> 2 as starts_from,
             value ->> 3 as starts_until, value ->> 4 as sign from json_each($3)) as piece",
    "$4",
    "$5"
);

pub(in crate::store) async fn bucketed(
    connection: &mut SqliteConnection,
    query: &TotalsQuery<'_>,
) -> Result<Vec<TotalsRow>, StoreError> {
    let pieces: Vec<_> = query
        .pieces
        .iter()
        .map(|piece| {
            (
                piece.row,
                piece.level.code(),
                piece.from,
                piece.until,
                piece.sign,
            )
        })
        .collect();
    let rows = sqlx::query_as(BUCKETED[usize::from(query.account.is_none())])
        .bind(query.account)
        .bind(query.customer)
        .bind(json!(pieces).to_string())
        .bind(i64::try_from(MAX_ROWS).expect("a small number"))
        .bind(query.nobody())
        .fetch_all(connection)
        .await?;
    Ok(rows)
}
