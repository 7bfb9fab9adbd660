//! How far the log goes, as this process knows it: what it committed itself it knows at once, what
//! others commit it asks for while somebody waits.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;
use tracing::warn;

use crate::store::{LogInfo, Store};
use crate::telemetry::chain;

/// How often the store is asked while anybody waits, however many do.
const ASK_EVERY: Duration = Duration::from_millis(250);

/// The last known position of each partition. A clone is a handle to the same ones.
#[derive(Clone, Debug)]
pub struct Heads {
    known: watch::Sender<Vec<i64>>,
    waiting: watch::Sender<usize>,
}

impl Heads {
    pub(super) fn new(log: LogInfo) -> Self {
        let (known, _) = watch::channel(vec![0; log.partitions as usize]);
        let (waiting, _) = watch::channel(0);
        Self { known, waiting }
    }

    /// This process has committed up to `head`. Commits before it are done, whoever made them.
    pub(super) fn committed(&self, partition: u32, head: i64) {
        self.known.send_if_modified(|known| {
            let known = &mut known[partition as usize];
            let is_news = head > *known;
            *known = head.max(*known);
            is_news
        });
    }

    /// Waits until a partition is known to go further than `after`; returns what is known then.
    pub async fn past(&self, after: &[i64]) -> Vec<i64> {
        let mut known = self.known.subscribe();
        let _waiting = Waiting::new(&self.waiting);
        let is_past =
            |known: &Vec<i64>| known.iter().zip(after).any(|(known, after)| known > after);
        match known.wait_for(is_past).await {
            Ok(known) => known.clone(),
            Err(_) => unreachable!("the sender lives as long as this"),
        }
    }

    /// Asks the store while anybody waits, for ever.
    pub async fn keep_asking(self, store: Store, log: LogInfo) {
        let mut waiting = self.waiting.subscribe();
        while waiting.wait_for(|count| *count > 0).await.is_ok() {
            match store.heads(log).await {
                Ok(heads) => {
                    for (partition, head) in (0..).zip(heads) {
                        self.committed(partition, head);
                    }
                }
                Err(error) => warn!(error = chain(&error), "cannot read the log's heads"),
            }
            sleep(ASK_EVERY).await;
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
