//! Lookups by call.
//!
//! The ids of a call's billables begin alike, so they are a range of the primary key. Billables with
//! other ids (computed from a key, or elsewhere) are found by the index of `call_prefix`. Different
//! calls can have the same first part, so the text of the `callSid` is compared in both.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::row::{log_entries, prefix_number};
use super::{LogInfo, Store, StoreError};
use crate::billable::entry::partition_of;
use crate::billable::identity::{call_prefix, neighbours};
use crate::billable::{LogEntry, Timestamp};

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

/// The ids that a call's billables can have, in one partition.
#[derive(Clone, Copy, Debug)]
pub(super) struct CallRange<'a> {
    pub(super) first: Uuid,
    pub(super) last: Uuid,
    pub(super) call: &'a str,
}

impl Store {
    /// Returns entries of calls, in no particular order.
    pub async fn entries_of_calls(
        &self,
        log: LogInfo,
        lookup: &CallLookup<'_>,
    ) -> Result<Vec<LogEntry>, StoreError> {
        let mut ranges: BTreeMap<u32, Vec<CallRange<'_>>> = BTreeMap::new();
        let mut prefixes = Vec::new();
        for call in lookup.calls {
            let prefix = call_prefix(call);
            let (first, last) = neighbours(prefix);
            let partition = partition_of(first, log.partitions);
            let of_partition = ranges.entry(partition).or_default();
            of_partition.push(CallRange { first, last, call });
            prefixes.push(prefix_number(prefix));
        }
        let positions = lookup.positions(log);
        let mut rows = Vec::new();
        // One statement for each partition, so that Citus runs it on one shard.
        for (partition, ranges) in ranges {
            let room = lookup.room(rows.len());
            let until = positions[partition as usize];
            let partition = (partition.cast_signed(), until);
            rows.extend(on_either!(
                self,
                entries_of_ranges(partition, &ranges, lookup, room)
            )?);
        }
        let room = lookup.room(rows.len());
        rows.extend(on_either!(
            self,
            entries_of_prefixes(&prefixes, &positions, lookup, room)
        )?);
        log_entries(rows)
    }
}
