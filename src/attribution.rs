//! Writes decisions about sessions to every partition of the log.
//!
//! Attributions are stored first. Then each partition gets copies, and the sessions' billables there
//! are attributed, at most [`STEP`](crate::store::STEP) in a transaction. Reports recorded after the
//! copies see them. Every step is idempotent: if a crash interrupts the work, any process finishes it
//! later.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;
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

/// Carries out stored attributions, a session by one task of the process at a time. Clones share
/// everything.
#[derive(Clone, Debug)]
pub struct Carrier(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    store: Store,
    log: LogInfo,
    writer: Writer,
    /// The sessions that are being carried out.
    carried: Mutex<HashSet<Text>>,
    /// Notified when sessions have left `carried`.
    left: Notify,
    /// Held for a step, so that others may write between two steps however many tasks there are.
    turn: tokio::sync::Mutex<()>,
}

/// Sessions that a task carries out.
struct Claim<'a>(&'a Shared, Vec<Attribution>);

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut carried = self.0.carried();
        for attribution in &self.1 {
            carried.remove(&attribution.session_id);
        }
        self.0.left.notify_waiters();
    }
}

impl Shared {
    fn carried(&self) -> MutexGuard<'_, HashSet<Text>> {
        self.carried.lock().expect("nothing panics under this lock")
    }

    /// Claims the sessions that no task carries out. Also returns the others.
    fn claim(&self, attributions: Vec<Attribution>) -> (Claim<'_>, Vec<Attribution>) {
        let mut carried = self.carried();
        let is_free = |one: &Attribution| carried.insert(one.session_id.clone());
        let (own, others) = attributions.into_iter().partition(is_free);
        (Claim(self, own), others)
    }

    /// Copies attributions into every partition and attributes the sessions' billables. If the sessions
    /// have too many for one step, they are divided.
    async fn carry_out(&self, attributions: &[Attribution]) -> Result<(), AttributionError> {
        if attributions.is_empty() {
            return Ok(());
        }
        for partition in 0..self.log.partitions {
            let mut parts = vec![(Arc::<[Attribution]>::from(attributions), None)];
            while let Some((part, after)) = parts.pop() {
                let _turn = self.turn.lock().await;
                match self
                    .writer
                    .attribute(partition, part.clone(), after)
                    .await?
                {
                    AttributionStep::Done => continue,
                    AttributionStep::After(last) => parts.push((part, Some(last))),
                    AttributionStep::TooMany => {
                        let (first, second) = part.split_at(part.len() / 2);
                        parts.extend([(first.into(), None), (second.into(), None)]);
                    }
                }
                sleep(PAUSE).await;
            }
        }
        let sessions = attributions.iter().map(|one| one.session_id.as_str());
        let sessions: Vec<_> = sessions.collect();
        Ok(self.store.sessions_complete(&sessions).await?)
    }

    /// Returns those attributions that are not carried out.
    async fn open(&self, attributions: Vec<Attribution>) -> Result<Vec<Attribution>, StoreError> {
        let sessions = attributions.iter().map(|one| one.session_id.as_str());
        let found = self
            .store
            .sessions_read_of(&sessions.collect::<Vec<_>>())
            .await?;
        let found = found.into_iter().filter_map(|(_, found)| found.ok());
        let open = found.filter(|found| !found.is_complete);
        Ok(open.map(|found| found.attribution).collect())
    }
}

impl Carrier {
    pub fn new(store: Store, log: LogInfo, writer: Writer) -> Self {
        Self(Arc::new(Shared {
            store,
            log,
            writer,
            carried: Mutex::default(),
            left: Notify::new(),
            turn: tokio::sync::Mutex::default(),
        }))
    }

    /// Carries out stored attributions of distinct sessions. Waits for those that another task of the
    /// process carries out.
    ///
    /// # Errors
    /// See [`AttributionError`]; [`Self::keep_finishing`] retries it.
    pub async fn carry_out(&self, attributions: Vec<Attribution>) -> Result<(), AttributionError> {
        let mut open = attributions;
        loop {
            let left = self.0.left.notified();
            let (own, others) = self.0.claim(open);
            self.0.carry_out(&own.1).await?;
            drop(own);
            if others.is_empty() {
                return Ok(());
            }
            left.await;
            open = self.0.open(others).await?;
        }
    }

    /// Finishes unfinished attributions, forever.
    pub async fn keep_finishing(self) {
        let warn_of = |error: &dyn std::error::Error| {
            warn!(
                error = chain(error),
                "an attribution failed and will be retried"
            );
        };
        loop {
            match self.0.store.sessions_pending().await {
                Ok(pending) => {
                    if self.carry_out(pending.clone()).await.is_err() {
                        for one in pending {
                            if let Err(error) = self.carry_out(vec![one]).await {
                                warn_of(&error);
                            }
                        }
                    }
                }
                Err(error) => warn!(error = chain(&error), "cannot read unfinished attributions"),
            }
            sleep(LOOK_EVERY).await;
        }
    }
}
