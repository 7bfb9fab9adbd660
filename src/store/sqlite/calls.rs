//! Lookups by call in SQLite.

use serde_json::json;

use crate::store::StoreError;
use crate::store::calls::{CallLookup, CallRange};
use crate::store::row::{EntryRow, entry_columns};

/// Selects the entries of calls whose ids are in ranges. The unary plus keeps SQLite from using the
/// index by time or by account, with which it would read the whole log.
pub(in crate::store) const OF_RANGES: &str = concat!(
    "select ",
    entry_columns!(),
    " from json_each($1) as wanted cross join entries
     where entries.billable_id >= unhex(wanted.value ->> 0)
       and entries.billable_id <= unhex(wanted.value ->> 1)
       and +entries.partition = $2 and +entries.call_sid = wanted.value ->> 2
       and ($3 is null
           or +coalesce(billed_account_id, account_id) in (select value from json_each($3)))
       and +occurred_at >= $4 and +occurred_at < $5 and +position <= $6
     limit $7"
);

/// Selects the entries of calls whose ids are elsewhere.
pub(in crate::store) const OF_PREFIXES: &str = concat!(
    "select ",
    entry_columns!(),
    " from entries where call_prefix in (select value from json_each($1))
       and +call_sid in (select value from json_each($2))
       and ($3 is null
           or +coalesce(billed_account_id, account_id) in (select value from json_each($3)))
       and +occurred_at >= $4 and +occurred_at < $5 and +position <= $6
     limit $7"
);

impl super::Store {
    pub(in crate::store) async fn entries_of_ranges(
        &self,
        (partition, until): (i32, i64),
        ranges: &[CallRange<'_>],
        lookup: &CallLookup<'_>,
        limit: i64,
    ) -> Result<Vec<EntryRow>, StoreError> {
        let ids =
            |range: &CallRange<'_>| [range.first, range.last].map(|id| id.simple().to_string());
        let ranges: Vec<_> = ranges
            .iter()
            .map(|range| {
                let [first, last] = ids(range);
                (first, last, range.call)
            })
            .collect();
        let rows = sqlx::query_as(OF_RANGES)
            .bind(json!(ranges).to_string())
            .bind(partition)
            .bind(lookup.accounts.map(|accounts| json!(accounts).to_string()))
            .bind(lookup.from.as_micros())
            .bind(lookup.to.as_micros())
            .bind(until)
            .bind(limit)
            .fetch_all(&self.read);
        Ok(rows.await?)
    }

    pub(in crate::store) async fn entries_of_prefixes(
        &self,
        prefixes: &[i64],
        positions: &[i64],
        lookup: &CallLookup<'_>,
        limit: i64,
    ) -> Result<Vec<EntryRow>, StoreError> {
        let rows = sqlx::query_as(OF_PREFIXES)
            .bind(json!(prefixes).to_string())
            .bind(json!(lookup.calls).to_string())
            .bind(lookup.accounts.map(|accounts| json!(accounts).to_string()))
            .bind(lookup.from.as_micros())
            .bind(lookup.to.as_micros())
            .bind(positions[0])
            .bind(limit)
            .fetch_all(&self.read);
        Ok(rows.await?)
    }
}
