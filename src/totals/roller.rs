//! The roller: moves the watermarks on. Several processes may roll: a watermark's row is locked
//! while its batch is rolled, and whoever comes second finds it further on.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, warn};

use crate::store::{LogInfo, Store, StoreError};
use crate::telemetry::chain;

/// How often the log is looked at. What came since is counted at each read, so this is no matter
/// of exactness. What a whole second brings takes a processor from reports for longer at a time.
const ROLL_EVERY: Duration = Duration::from_millis(250);

/// How long a batch may take.
const ROLL_TIMEOUT: Duration = Duration::from_secs(60);

/// Positions that are rolled in one transaction.
const ROLL_BATCH: i64 = 50_000;

/// The same on SQLite, where a transaction keeps reports waiting.
const EMBEDDED_ROLL_BATCH: i64 = 2_000;

/// Rolls whatever is behind, for ever. Has a new log analysed, once.
pub async fn keep_rolling(store: Store) {
    let mut is_analyzed = false;
    loop {
        if let Err(error) = roll(&store).await {
            warn!(error = chain(&error), "the totals were not rolled");
        }
        if !is_analyzed {
            is_analyzed = store.log_analyze().await.unwrap_or_else(|error| {
                warn!(error = chain(&error), "the log was not analysed");
                false
            });
        }
        sleep(ROLL_EVERY).await;
    }
}

/// Forgets the totals and makes them anew from the log. Reads are exact all the while, and slow
/// until it is done.
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
                Ok(true) => debug!(partition, "rolled a batch of the totals"),
                Ok(false) => break,
                Err(error) => {
                    // Others are no worse for it.
                    first_error.get_or_insert(error);
                    break;
                }
            }
            if is_embedded {
                // Whoever wants to write finds the lock free half of the time.
                sleep(started.elapsed()).await;
            }
        }
    }
    first_error.map_or(Ok(()), Err)
}
