//! Writes decisions about sessions to every partition of the log.
//!
//! Attributions are stored first. Then each partition gets copies, and the sessions' billables there
//! are attributed, at most [`STEP`](crate::store::STEP) in a transaction. Reports recorded after the
//! copies see them. Every step is idempotent: if a crash interrupts the work, any process finishes it
//! later.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tracing::warn;

use crate::billable::{Attribution, Text};
use crate::formats::decisions::Decision;
use crate::store::{AttributionStep, LogInfo, SessionFound, Store, StoreError};
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

/// Stores decisions about distinct sessions that have none. Returns the decision of each session, with
/// the outcome for who asked, as if it was carried out, and those that are not carried out yet.
///
/// # Errors
/// The database failed; some may be stored.
pub async fn decide(
    store: &Store,
    wanted: &[Attribution],
) -> Result<(HashMap<Text, Decision>, Vec<Attribution>), StoreError> {
    let found = store.sessions_decide(wanted).await?;
    let wanted: HashMap<_, _> = wanted.iter().map(|one| (&one.session_id, one)).collect();
    let (mut decisions, mut open) = (HashMap::new(), Vec::new());
    for SessionFound {
        attribution,
        is_complete,
    } in found
    {
        let asked = wanted.get(&attribution.session_id);
        let is_new = asked.is_some_and(|asked| **asked == attribution);
        if !is_complete && asked.is_some_and(|asked| asked.pair == attribution.pair) {
            open.push(attribution.clone());
        }
        let outcome = if is_new { "decided" } else { "same" };
        let Attribution {
            session_id, pair, ..
        } = attribution;
        decisions.insert(session_id, Decision { pair, outcome });
    }
    Ok((decisions, open))
}

/// Copies stored attributions of distinct sessions into every partition and attributes the sessions'
/// billables. If the sessions have too many for one step, they are divided.
///
/// # Errors
/// See [`AttributionError`]; [`keep_finishing`] retries it.
pub async fn carry_out(
    store: &Store,
    log: LogInfo,
    writer: &Writer,
    attributions: &[Attribution],
) -> Result<(), AttributionError> {
    if attributions.is_empty() {
        return Ok(());
    }
    for partition in 0..log.partitions {
        let mut parts = vec![Arc::<[Attribution]>::from(attributions)];
        while let Some(part) = parts.pop() {
            let mut after = None;
            loop {
                match writer.attribute(partition, part.clone(), after).await? {
                    AttributionStep::Done => break,
                    AttributionStep::After(last) => after = Some(last),
                    AttributionStep::TooMany => {
                        let (first, second) = part.split_at(part.len() / 2);
                        parts.extend([first.into(), second.into()]);
                        break;
                    }
                }
                sleep(PAUSE).await;
            }
        }
    }
    let sessions: Vec<_> = attributions
        .iter()
        .map(|one| one.session_id.as_str())
        .collect();
    Ok(store.sessions_complete(&sessions).await?)
}

/// Finishes unfinished attributions, forever.
pub async fn keep_finishing(store: Store, log: LogInfo, writer: Writer) {
    loop {
        match store.sessions_pending().await {
            Ok(pending) => {
                if let Err(error) = carry_out(&store, log, &writer, &pending).await {
                    warn!(
                        error = chain(&error),
                        "attributions failed and will be retried one by one"
                    );
                    for attribution in &pending {
                        let one = std::slice::from_ref(attribution);
                        // The error has been said, and this is retried.
                        let _ = carry_out(&store, log, &writer, one).await;
                    }
                }
            }
            Err(error) => warn!(error = chain(&error), "cannot read unfinished attributions"),
        }
        sleep(LOOK_EVERY).await;
    }
}
