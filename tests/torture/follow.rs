//! Readers of the feed that detect skipped, repeated and out-of-order entries. They continue across
//! restarts of the servers that they read from.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use uuid::Uuid;

use crate::check::id;
use crate::random::Random;
use crate::support::Client;
use crate::support::client::try_send;

/// The pause between two attempts.
const BACK_OFF: Duration = Duration::from_millis(30);

/// An entry: its partition and position, its kind, its billable.
pub(crate) type Seen = (i64, i64, String, Uuid);

/// A running reader.
pub(crate) struct Follower {
    stop: watch::Sender<bool>,
    reading: JoinHandle<Vec<Seen>>,
}

impl Follower {
    pub(crate) fn start(targets: watch::Receiver<Vec<Client>>, random: Random) -> Self {
        let (stop, stopped) = watch::channel(false);
        let reading = tokio::spawn(follow(targets, random, stopped));
        Self { stop, reading }
    }

    /// Waits until the reader reaches the end and returns what it saw. There must be no writes
    /// meanwhile.
    pub(crate) async fn finish(self) -> Vec<Seen> {
        self.stop.send_replace(true);
        tokio::time::timeout(crate::TIMEOUT, self.reading)
            .await
            .expect("the reader comes to the end")
            .unwrap()
    }
}

async fn follow(
    mut targets: watch::Receiver<Vec<Client>>,
    mut random: Random,
    stopped: watch::Receiver<bool>,
) -> Vec<Seen> {
    let mut seen: Vec<Seen> = Vec::new();
    let mut last: HashMap<i64, i64> = HashMap::new();
    let mut after = String::new();
    loop {
        // Entries that are written after this are not awaited.
        let is_last = *stopped.borrow();
        let client = {
            let targets = targets.borrow_and_update();
            random.of(&targets).clone()
        };
        let path = format!("/log?limit={}{after}", 1 + random.below(400));
        let request = client.request(reqwest::Method::GET, &path);
        let page = match try_send(request.timeout(Duration::from_secs(20))).await {
            Ok(page) if page.status == 200 => page.json(),
            Ok(page) => {
                assert_eq!(page.status, 503, "{page:?}");
                sleep(BACK_OFF).await;
                continue;
            }
            Err(_) => {
                sleep(BACK_OFF).await;
                continue;
            }
        };
        let items = page["items"].as_array().unwrap();
        for entry in items {
            let number = |name: &str| entry[name].as_i64().unwrap();
            let (partition, position) = (number("partition"), number("position"));
            let before = last.insert(partition, position);
            assert!(before < Some(position), "{before:?}, then {position}");
            let kind = entry["kind"].as_str().unwrap().to_owned();
            seen.push((partition, position, kind, id(&entry["billableId"])));
        }
        after = match &page["nextCursor"] {
            Value::String(next) => format!("&after={next}"),
            other => panic!("no cursor: {other}"),
        };
        if items.is_empty() {
            if is_last {
                return seen;
            }
            sleep(BACK_OFF).await;
        }
    }
}
