//! Carries decisions about sessions into every partition of the log.
//!
//! A decision is stored first; then, partition by partition, its copy is written and the session's
//! billables are attributed, at most [`STEP`](crate::store::STEP) in a transaction. Whoever records
//! after the copy sees it. All of it can be repeated, so what a crash cuts short is finished later,
//! by whichever process comes first.

use std::time::Duration;

use tokio::time::sleep;
use tracing::warn;

use crate::billable::Attribution;
use crate::store::{LogInfo, Store, StoreError};
use crate::telemetry::chain;
use crate::writer::{WriteError, Writer};

/// How often unfinished attributions are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What others get of the log's lock between two steps of a large session. Where they have to ask
/// for it again and again, as on SQLite, they would never find it free otherwise.
const PAUSE: Duration = Duration::from_millis(20);

/// Why an attribution is not finished yet.
#[derive(Debug, thiserror::Error)]
pub enum AttributionError {
    /// A step was not confirmed.
    #[error("a step of an attribution was not confirmed")]
    Step(#[from] WriteError),
    /// The end could not be noted.
    #[error("the end of an attribution could not be noted")]
    Complete(#[from] StoreError),
}

/// Carries a stored decision into every partition.
///
/// # Errors
/// See [`AttributionError`]; somebody will finish it.
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

/// Finishes what was left unfinished, for ever.
pub async fn keep_finishing(store: Store, log: LogInfo, writer: Writer) {
    loop {
        match store.sessions_pending().await {
            Ok(pending) => {
                for attribution in pending {
                    if let Err(error) = carry_out(&store, log, &writer, &attribution).await {
                        warn!(error = chain(&error), "an attribution is not finished yet");
                    }
                }
            }
            Err(error) => warn!(error = chain(&error), "cannot read unfinished attributions"),
        }
        sleep(LOOK_EVERY).await;
    }
}
