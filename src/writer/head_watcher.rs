//! How far the log goes, for whoever waits for news.
//!
//! While anybody waits, the store is asked four times a second, however many wait, and at once
//! after a commit of this process. What it says replaces what was known: after a failover or a
//! restored backup the log may go less far, and a reader that kept a position behind
//! its end would skip the entries that are written there next.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use tracing::warn;

use crate::store::{LogInfo, Store};
use crate::telemetry::chain;

/// How often the store is asked while anybody waits.
const ASK_EVERY: Duration = Duration::from_millis(250);

/// The least time between two questions, when one commit follows the other.
const ASK_AT_MOST_EVERY: Duration = Duration::from_millis(5);

/// The last position of each partition as the store said last. A clone is a handle to the same.
#[derive(Clone, Debug)]
pub struct HeadWatcher {
    said: watch::Sender<Vec<i64>>,
    waiting: watch::Sender<usize>,
    committed: Arc<Notify>,
}

impl HeadWatcher {
    pub(super) fn new() -> Self {
        let (said, _) = watch::channel(Vec::new());
        let (waiting, _) = watch::channel(0);
        Self {
            said,
            waiting,
            committed: Arc::new(Notify::new()),
        }
    }

    /// This process has committed something.
    pub(super) fn committed(&self) {
        self.committed.notify_one();
    }

    /// Waits until the store says of a partition that it goes further than `after`, or less far;
    /// returns what it said.
    pub async fn other_than(&self, after: &[i64]) -> Vec<i64> {
        let mut said = self.said.subscribe();
        let _waiting = Waiting::new(&self.waiting);
        // What it said before may be of a time before `after`.
        said.mark_unchanged();
        loop {
            said.changed()
                .await
                .expect("the sender lives as long as this");
            let heads = said.borrow_and_update();
            if **heads != *after {
                return heads.clone();
            }
        }
    }

    /// Asks the store while anybody waits, for ever.
    pub async fn keep_asking(self, store: Store, log: LogInfo) {
        let mut waiting = self.waiting.subscribe();
        while waiting.wait_for(|count| *count > 0).await.is_ok() {
            match store.heads(log).await {
                Ok(heads) => drop(self.said.send_replace(heads)),
                Err(error) => warn!(error = chain(&error), "cannot read the log's heads"),
            }
            sleep(ASK_AT_MOST_EVERY).await;
            let _ = timeout(ASK_EVERY - ASK_AT_MOST_EVERY, self.committed.notified()).await;
        }
    }
}

/// Counts as one who waits until it is dropped.
struct Waiting<'a>(&'a watch::Sender<usize>);

impl<'a> Waiting<'a> {
    fn new(waiting: &'a watch::Sender<usize>) -> Self {
        waiting.send_modify(|count| *count += 1);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}
