//! Lookups by call in PostgreSQL.

use crate::store::StoreError;
use crate::store::calls::{CallLookup, CallRange};
use crate::store::row::{EntryRow, entry_columns};

/// Selects the entries of calls whose ids are in ranges of one partition.
///
/// `offset 0` keeps the conditions outside out of the plan of the range: the planner would take the
/// index by time or by account if it expected the range to be large, and read the whole log.
const OF_RANGES: &str = concat!(
    "select ",
    entry_columns!(),
    " from unnest($1::uuid[], $2::uuid[], $3::text[]) as wanted (first, last, call)
     cross join lateral (
         select * from entries
         where partition = $4 and billable_id >= wanted.first and billable_id <= wanted.last
         offset 0
     ) as entries
     where entries.call_sid = wanted.call
       and (cast($5 as text[]) is null or coalesce(billed_account_id, account_id) = any($5))
       and occurred_at >= $6 and occurred_at < $7 and position <= $8
     limit $9"
);

/// Selects the entries of calls whose ids are elsewhere, from all partitions.
const OF_PREFIXES: &str = concat!(
    "select ",
    entry_columns!(),
    " from (select * from entries where call_prefix = any($1) offset 0) as entries
     where call_sid = any($2)
       and (cast($3 as text[]) is null or coalesce(billed_account_id, account_id) = any($3))
       and occurred_at >= $4 and occurred_at < $5 and position <= ($6::bigint[])[partition + 1]
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
        let rows = sqlx::query_as(OF_RANGES)
            .bind(ranges.iter().map(|range| range.first).collect::<Vec<_>>())
            .bind(ranges.iter().map(|range| range.last).collect::<Vec<_>>())
            .bind(ranges.iter().map(|range| range.call).collect::<Vec<_>>())
            .bind(partition)
            .bind(lookup.accounts)
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
            .bind(prefixes)
            .bind(lookup.calls)
            .bind(lookup.accounts)
            .bind(lookup.from.as_micros())
            .bind(lookup.to.as_micros())
            .bind(positions)
            .bind(limit)
            .fetch_all(&self.read);
        Ok(rows.await?)
    }
}
