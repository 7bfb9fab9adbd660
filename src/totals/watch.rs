//! Keeps the metrics of the log's state up to date.

use std::time::Duration;

use tokio::time::sleep;
use tracing::warn;

use crate::metrics::METRICS;
use crate::store::Store;
use crate::telemetry::chain;

/// How often the log's state is read; scrapes are some 15 s apart.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Reads the log's state and sets its metrics, forever.
pub async fn keep_watching(store: Store) {
    loop {
        match store.log_state().await {
            Ok(state) => {
                METRICS.set_state(state.unattributed, state.oldest_unattributed, state.lag)
            }
            Err(error) => warn!(error = chain(&error), "cannot read the log's state"),
        }
        sleep(LOOK_EVERY).await;
    }
}
