//! The roller adds new entries to the totals ("rolls" them) in batches, and advances each
//! partition's watermark past them. Several processes may roll: a watermark's row is locked while
//! its batch is rolled; a second process waits, and then finds the watermark advanced.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, warn};

use crate::store::{LogInfo, Store, StoreError};
use crate::telemetry::chain;

/// How often to roll. Reads add the entries not yet rolled, so results are exact at any interval.
/// With a longer interval, such as one second, each batch would be larger and would keep the CPU
/// from incoming reports for longer at a time.
const ROLL_EVERY: Duration = Duration::from_millis(250);

/// How long a batch may take.
const ROLL_TIMEOUT: Duration = Duration::from_secs(60);

/// The number of positions rolled in one transaction.
const ROLL_BATCH: i64 = 50_000;

/// The number of positions rolled in one transaction on SQLite, where a transaction blocks reports.
const EMBEDDED_ROLL_BATCH: i64 = 2_000;

/// Rolls all partitions that lag behind, forever. On PostgreSQL, also runs `ANALYZE` once a new log
/// has data.
pub async fn keep_rolling(store: Store) {
    let mut is_analyzed = false;
    loop {
        if let Err(error) = roll(&store).await {
            warn!(
                error = chain(&error),
                "cannot add new entries to the totals"
            );
        }
        if !is_analyzed {
            is_analyzed = store.log_analyze().await.unwrap_or_else(|error| {
                warn!(error = chain(&error), "cannot run ANALYZE on the log");
                false
            });
        }
        sleep(ROLL_EVERY).await;
    }
}

/// Clears the totals and rebuilds them from the log. Meanwhile reads stay exact, but are slow.
pub async fn rebuild(store: &Store, log: LogInfo) -> Result<(), StoreError> {
    for partition in 0..log.partitions {
        store.totals_clear(partition).await?;
        roll(store).await?;
    }
    Ok(())
}

async fn roll(store: &Store) -> Result<(), StoreError> {
    let is_embedded = store.is_embedded();
    let batch = if is_embedded {
        EMBEDDED_ROLL_BATCH
    } else {
        ROLL_BATCH
    };
    let mut first_error = None;
    for partition in store.totals_behind().await? {
        loop {
            let started = Instant::now();
            let rolled = timeout(ROLL_TIMEOUT, store.totals_roll(partition, batch)).await;
            match rolled.unwrap_or(Err(StoreError::TimedOut)) {
                Ok(true) => debug!(partition, "added a batch of entries to the totals"),
                Ok(false) => break,
                Err(error) => {
                    // Other partitions are not affected.
                    first_error.get_or_insert(error);
                    break;
                }
            }
            if is_embedded {
                // Leaves the lock free for other writers half of the time.
                sleep(started.elapsed()).await;
            }
        }
    }
    first_error.map_or(Ok(()), Err)
}
