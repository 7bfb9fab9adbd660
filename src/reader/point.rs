//! Points in the log at which a reader continues.
//!
//! A log can lose its last entries: a failover to a standby that lacks them, or a backup put in
//! place without `billables restore`. Other entries then get their positions. A point holds a mark
//! of the entry before it, so that a reader who has read lost entries is told, instead of skipping
//! the new ones.

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::billable::LogPoint;
use crate::store::{Store, StoreError};

/// The maximum number of partitions that are queried at the same time.
const CONCURRENT: usize = 4;

/// Returns the point at a position of each partition.
pub async fn points_at(store: &Store, positions: &[i64]) -> Result<Vec<LogPoint>, StoreError> {
    let points = (0..).zip(positions.iter().copied());
    let points: Vec<_> = points
        .map(|(partition, position)| point_at(store, partition, position))
        .collect();
    stream::iter(points)
        .buffered(CONCURRENT)
        .try_collect()
        .await
}

async fn point_at(store: &Store, partition: u32, position: i64) -> Result<LogPoint, StoreError> {
    let entry = match position {
        0 => None,
        _ => store.entry_at(partition, position).await?,
    };
    Ok(LogPoint {
        position,
        mark: entry.map(|entry| entry.mark()).unwrap_or_default(),
    })
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
