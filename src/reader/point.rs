//! Points in the log at which a reader continues.
//!
//! A log can lose its last entries: a failover to a standby that lacks them, or a backup put in
//! place without `billables restore`. Other entries then get their positions. A point holds a mark
//! of the entry before it, so that a reader who has read lost entries is told, instead of skipping
//! the new ones.

use std::collections::HashMap;

use crate::billable::{EntryMark, LogPoint};
use crate::store::{Store, StoreError};

/// Returns the point at a position of each partition.
pub async fn points_at(store: &Store, positions: &[i64]) -> Result<Vec<LogPoint>, StoreError> {
    let positions = (0..).zip(positions.iter().copied());
    let wanted: Vec<(u32, i64)> = positions.clone().filter(|(_, at)| *at > 0).collect();
    let found = match &*wanted {
        [] => Vec::new(),
        wanted => store.entries_at(wanted).await?,
    };
    let found = found.iter().map(|entry| (entry.partition, entry.mark()));
    let marks: HashMap<u32, EntryMark> = found.collect();
    let point = |(partition, position)| LogPoint {
        position,
        mark: marks.get(&partition).copied().unwrap_or_default(),
    };
    Ok(positions.map(point).collect())
}

/// Returns whether a point is beyond the end of the log.
pub fn are_beyond(points: &[LogPoint], heads: &[i64]) -> bool {
    let mut pairs = points.iter().zip(heads);
    pairs.any(|(point, head)| point.position > *head)
}

/// Returns whether the log still has the entry before each point.
pub async fn has_points(store: &Store, points: &[LogPoint]) -> Result<bool, StoreError> {
    let positions: Vec<_> = points.iter().map(|point| point.position).collect();
    Ok(points_at(store, &positions).await? == points)
}
