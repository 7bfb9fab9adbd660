//! Lookups by call.
//!
//! The ids of a call's billables begin alike, so they are a range of the primary key. Billables with
//! other ids (computed from a key, or elsewhere) are found by the index of `call_prefix`. Different
//! calls can have the same first part, so the text of the `callSid` is compared in both.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::billable::entry::partition_of;
use crate::billable::identity::{call_prefix, neighbours};
use crate::billable::{LogEntry, Timestamp};
use crate::store::LogInfo;
use crate::store::backend::Backend;
use crate::store::dialect::Dialect;
use crate::store::error::StoreError;
use crate::store::query::query;
use crate::store::row::{ENTRY_COLUMNS, EntryRow, log_entries, prefix_number};
use crate::store::sql::Sql;
use crate::store::table::{Column, Table};

/// The entries to look up.
#[derive(Clone, Copy, Debug)]
pub struct CallLookup<'a> {
    /// Distinct `callSid`s.
    pub calls: &'a [&'a str],
    /// Only entries that bill one of these accounts, or name it and bill none.
    pub accounts: Option<&'a [&'a str]>,
    /// Only entries of calls at or after this timestamp.
    pub from: Timestamp,
    /// Only entries of calls before this timestamp.
    pub to: Timestamp,
    /// Only entries up to this position of each partition; `None` for all.
    pub cut: Option<&'a [i64]>,
    /// The maximum number of entries.
    pub limit: usize,
}

impl CallLookup<'_> {
    /// Returns the last position in each partition that is included.
    fn positions(&self, log: LogInfo) -> Vec<i64> {
        let all = || vec![i64::MAX; log.partitions as usize];
        self.cut.map_or_else(all, <[i64]>::to_vec)
    }

    /// Returns how many more entries may be read after `count`.
    fn room(&self, count: usize) -> i64 {
        i64::try_from(self.limit.saturating_sub(count)).unwrap_or(i64::MAX)
    }
}

impl<D: Dialect> Backend<D> {
    pub(in crate::store) async fn entries_of_calls(
        &self,
        log: LogInfo,
        lookup: &CallLookup<'_>,
    ) -> Result<Vec<LogEntry>, StoreError> {
        let mut calls: BTreeMap<u32, Vec<(Uuid, Uuid, &str)>> = BTreeMap::new();
        let mut prefixes = Vec::new();
        for call in lookup.calls {
            let prefix = call_prefix(call);
            let (first, last) = neighbours(prefix);
            let partition = partition_of(first, log.partitions);
            let of_partition = calls.entry(partition).or_default();
            of_partition.push((first, last, call));
            prefixes.push(prefix_number(prefix));
        }
        let positions = lookup.positions(log);
        let mut rows: Vec<EntryRow> = Vec::new();
        // One statement for each partition, so that Citus runs it on one shard.
        for (partition, calls) in calls {
            let wanted = ranges(&calls);
            let found: Vec<EntryRow> = query::<D>(of_ranges::<D>(&wanted))
                .bind(partition.cast_signed())
                .bind_accounts(lookup.accounts)
                .bind(lookup.from.as_micros())
                .bind(lookup.to.as_micros())
                .bind(positions[partition as usize])
                .bind(lookup.room(rows.len()))
                .bind_table(wanted)
                .fetch_all(&self.read)
                .await?;
            rows.extend(found);
        }
        let found: Vec<EntryRow> = query::<D>(of_prefixes::<D>())
            .bind_list(Column::bigints(prefixes))
            .bind_list(Column::texts(lookup.calls.iter().copied()))
            .bind_accounts(lookup.accounts)
            .bind(lookup.from.as_micros())
            .bind(lookup.to.as_micros())
            .bind_list(Column::bigints(positions))
            .bind(lookup.room(rows.len()))
            .fetch_all(&self.read)
            .await?;
        rows.extend(found);
        log_entries(rows)
    }
}

/// Returns calls, each with the first and the last id that its billables can have, as a table.
pub(in crate::store) fn ranges<'a>(calls: &[(Uuid, Uuid, &'a str)]) -> Table<'a> {
    let calls = calls.iter();
    Table(vec![
        (
            "first",
            Column::Ids(calls.clone().map(|call| call.0).collect()),
        ),
        (
            "last",
            Column::Ids(calls.clone().map(|call| call.1).collect()),
        ),
        ("call", Column::texts(calls.map(|call| call.2))),
    ])
}

/// Selects the entries of calls whose ids are in ranges of the partition `$1`.
///
/// The unary plus, and the dialect's part, keep the planners from the indexes by time and by account,
/// with which they would read the whole log if they expected a range to be large.
pub(in crate::store) fn of_ranges<D: Dialect>(wanted: &Table<'_>) -> Sql {
    Sql::from("select ")
        + ENTRY_COLUMNS
        + " from "
        + D::table(wanted, 7, "wanted")
        + D::OF_RANGES
        + " and "
        + D::of_accounts(2)
        + " and +occurred_at >= $3 and +occurred_at < $4 and +position <= $5 limit $6"
}

/// Selects the entries of the calls `$2` whose ids are elsewhere, from all partitions.
pub(in crate::store) fn of_prefixes<D: Dialect>() -> Sql {
    Sql::from("select ")
        + ENTRY_COLUMNS
        + D::OF_PREFIXES
        + " and "
        + D::of_accounts(3)
        + " and +occurred_at >= $4 and +occurred_at < $5 and +position <= "
        + D::at_partition(6)
        + " limit $7"
}
