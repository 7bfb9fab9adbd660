//! Watches the log's heads for readers that wait for new entries.
//!
//! While any reader waits, the store is queried four times a second, however many readers there
//! are, and immediately after a commit of this process. The result replaces the known heads: after
//! a failover or a restored backup the log may be shorter, and a reader that kept the old head
//! would skip the entries later written at those positions.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use tracing::warn;

use crate::store::{LogInfo, Store};
use crate::telemetry::chain;

/// How often the store is queried while any reader waits.
const ASK_EVERY: Duration = Duration::from_millis(250);

/// The minimum time between two queries, when commits follow each other quickly.
const ASK_AT_MOST_EVERY: Duration = Duration::from_millis(5);

/// The last known head of each partition. A clone is a handle to the same watcher.
#[derive(Clone, Debug)]
pub struct HeadWatcher {
    latest_heads: watch::Sender<Vec<i64>>,
    waiting: watch::Sender<usize>,
    committed: Arc<Notify>,
}

impl HeadWatcher {
    pub(super) fn new() -> Self {
        let (latest_heads, _) = watch::channel(Vec::new());
        let (waiting, _) = watch::channel(0);
        Self {
            latest_heads,
            waiting,
            committed: Arc::new(Notify::new()),
        }
    }

    /// Notes that this process has committed something.
    pub(super) fn committed(&self) {
        self.committed.notify_one();
    }

    /// Waits until the store reports heads that differ from `after` (further on or, in a shorter
    /// log, further back) and returns them.
    pub async fn other_than(&self, after: &[i64]) -> Vec<i64> {
        let mut latest_heads = self.latest_heads.subscribe();
        let _waiting = Waiting::new(&self.waiting);
        // The heads known so far may be older than `after`.
        latest_heads.mark_unchanged();
        loop {
            latest_heads
                .changed()
                .await
                .expect("the sender lives as long as this");
            let heads = latest_heads.borrow_and_update();
            if **heads != *after {
                return heads.clone();
            }
        }
    }

    /// Queries the store whenever a reader waits, forever.
    pub async fn keep_asking(self, store: Store, log: LogInfo) {
        let mut waiting = self.waiting.subscribe();
        while waiting.wait_for(|count| *count > 0).await.is_ok() {
            match store.heads(log).await {
                Ok(heads) => drop(self.latest_heads.send_replace(heads)),
                Err(error) => warn!(error = chain(&error), "cannot read the log's heads"),
            }
            sleep(ASK_AT_MOST_EVERY).await;
            let _ = timeout(ASK_EVERY - ASK_AT_MOST_EVERY, self.committed.notified()).await;
        }
    }
}

/// Counts as a waiting reader until it is dropped.
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
