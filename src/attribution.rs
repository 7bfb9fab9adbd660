//! Writes decisions about sessions to every partition of the log.
//!
//! An attribution is stored first. Then each partition gets a copy, and the session's billables
//! there are attributed, at most [`STEP`](crate::store::STEP) in a transaction. Reports recorded
//! after the copy see it. Every step is idempotent: if a crash interrupts the work, any process
//! finishes it later.

use std::time::Duration;

use tokio::time::sleep;
use tracing::warn;

use crate::billable::Attribution;
use crate::store::{LogInfo, Store, StoreError};
use crate::telemetry::chain;
use crate::writer::{WriteError, Writer};

/// How often to look for unfinished attributions.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How long the lock of a partition's head is free for other writers between two steps of a large
/// session. Writers that poll for the lock, as on SQLite, would otherwise never find it free.
const PAUSE: Duration = Duration::from_millis(20);

/// Why an attribution is not finished yet.
#[derive(Debug, thiserror::Error)]
pub enum AttributionError {
    /// A step failed.
    #[error("an attribution step failed")]
    Step(#[from] WriteError),
    /// The attribution could not be marked complete.
    #[error("an attribution could not be marked complete")]
    Complete(#[from] StoreError),
}

/// Copies a stored attribution into every partition and attributes the session's billables.
///
/// # Errors
/// See [`AttributionError`]; [`keep_finishing`] retries it.
pub async fn carry_out(
    store: &Store,
    log: LogInfo,
    writer: &Writer,
    attribution: &Attribution,
) -> Result<(), AttributionError> {
    for partition in 0..log.partitions {
        let mut next = writer.attribute(partition, attribution, None).await?;
        while let Some(after) = next {
            sleep(PAUSE).await;
            next = writer
                .attribute(partition, attribution, Some(after))
                .await?;
        }
    }
    let session = attribution.session_id.as_str();
    Ok(store.session_complete(session).await?)
}

/// Finishes unfinished attributions, forever.
pub async fn keep_finishing(store: Store, log: LogInfo, writer: Writer) {
    loop {
        match store.sessions_pending().await {
            Ok(pending) => {
                for attribution in pending {
                    if let Err(error) = carry_out(&store, log, &writer, &attribution).await {
                        warn!(
                            error = chain(&error),
                            "an attribution failed and will be retried"
                        );
                    }
                }
            }
            Err(error) => warn!(error = chain(&error), "cannot read unfinished attributions"),
        }
        sleep(LOOK_EVERY).await;
    }
}
