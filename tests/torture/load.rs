//! Clients that repeat each report until it is acknowledged, whatever happens to the server.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::support::Client;
use crate::{TIMEOUT, Torture};

/// The pause between two attempts of a well-behaved client.
const BACK_OFF: Duration = Duration::from_millis(15);

/// The client's timeout. It exceeds the server's time for any request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// The number of sessions.
pub(crate) const SESSIONS: usize = 40;

/// Returns the report with this number and its key. Each number always gives the same, unique
/// report.
pub(crate) fn report(number: usize) -> (Option<String>, Value) {
    let (account, customer) = (format!("a{}", number % 3), format!("c{}", number / 3 % 5));
    let (call, session) = (format!("CA{number}"), format!("S{}", number % SESSIONS));
    let at = format!(
        "2026-03-{:02}T{:02}:{:02}:00Z",
        1 + number % 28,
        number % 24,
        number % 60
    );
    match number % 4 {
        0 => (
            None,
            json!({"accountId": account, "customerId": customer, "callSid": call, "occurredAt": at}),
        ),
        1 => (
            None,
            json!({"sessionId": session, "callSid": call, "occurredAt": at}),
        ),
        2 => (
            Some(format!("key-{number}")),
            json!({"accountId": account, "customerId": customer, "occurredAt": at}),
        ),
        _ => (
            None,
            json!({"accountId": account, "customerId": customer, "sessionId": session, "callSid": call, "occurredAt": at}),
        ),
    }
}

/// The counts and ids that the clients collected.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// The id of each acknowledged report.
    pub(crate) acknowledged: HashMap<usize, Uuid>,
    /// Reports that were not acknowledged at the first attempt.
    pub(crate) repeated: usize,
    /// Attempts that were not acknowledged.
    pub(crate) failed_attempts: usize,
    /// Unacknowledged attempts that got no reply, or an incomplete one.
    pub(crate) unanswered: usize,
    /// Reports that were sent again after they had been acknowledged.
    pub(crate) resent: usize,
}

impl Ledger {
    fn add(&mut self, other: Self) {
        self.acknowledged.extend(other.acknowledged);
        self.repeated += other.repeated;
        self.failed_attempts += other.failed_attempts;
        self.unanswered += other.unanswered;
        self.resent += other.resent;
    }
}

/// A load of different reports.
pub(crate) struct Load {
    targets: watch::Sender<Vec<Client>>,
    stop: watch::Sender<bool>,
    acknowledged: watch::Receiver<usize>,
    refused: watch::Receiver<usize>,
    took: Arc<Mutex<Vec<Duration>>>,
    /// The ids of acknowledged reports.
    ids: Arc<Mutex<Vec<Uuid>>>,
    workers: JoinSet<Ledger>,
}

/// One connection of a load.
struct Worker {
    random: crate::Random,
    targets: watch::Receiver<Vec<Client>>,
    acknowledge: watch::Sender<usize>,
    refuse: watch::Sender<usize>,
    took: Arc<Mutex<Vec<Duration>>>,
    ids: Arc<Mutex<Vec<Uuid>>>,
    ledger: Ledger,
}

impl Load {
    /// Starts a load over this many connections, with random targets.
    pub(crate) fn start(torture: &Torture, targets: Vec<Client>, connections: usize) -> Self {
        let (targets, _) = watch::channel(targets);
        let (stop, _) = watch::channel(false);
        let (acknowledge, acknowledged) = watch::channel(0);
        let (refuse, refused) = watch::channel(0);
        let (next, took) = (Arc::new(AtomicUsize::new(0)), Arc::default());
        let ids = Arc::default();
        let mut workers = JoinSet::new();
        for connection in 0..connections {
            let worker = Worker {
                random: torture.random(&format!("connection {connection}")),
                targets: targets.subscribe(),
                acknowledge: acknowledge.clone(),
                refuse: refuse.clone(),
                took: Arc::clone(&took),
                ids: Arc::clone(&ids),
                ledger: Ledger::default(),
            };
            workers.spawn(worker.run(next.clone(), stop.subscribe()));
        }
        Self {
            targets,
            stop,
            acknowledged,
            refused,
            took,
            ids,
            workers,
        }
    }

    /// Where reports are sent, which changes.
    pub(crate) fn targets(&self) -> watch::Receiver<Vec<Client>> {
        self.targets.subscribe()
    }

    /// The ids of acknowledged reports, which grow.
    pub(crate) fn ids(&self) -> Arc<Mutex<Vec<Uuid>>> {
        Arc::clone(&self.ids)
    }

    /// Sends further reports to these targets.
    pub(crate) fn aim(&self, targets: Vec<Client>) {
        self.targets.send_replace(targets);
    }

    /// Returns when this many more reports are acknowledged.
    pub(crate) async fn until_acknowledged(&mut self, more: usize) {
        let count = *self.acknowledged.borrow() + more;
        timeout(TIMEOUT, self.acknowledged.wait_for(|seen| *seen >= count))
            .await
            .expect("the load continues")
            .unwrap();
    }

    /// Returns after the next failed attempt.
    pub(crate) async fn until_refused(&mut self) {
        let before = *self.refused.borrow();
        timeout(TIMEOUT, self.refused.wait_for(|seen| *seen > before))
            .await
            .expect("the load is refused")
            .unwrap();
    }

    /// Returns how long each report that was acknowledged since the last call took, over all its
    /// attempts.
    pub(crate) fn took(&self) -> Vec<Duration> {
        std::mem::take(&mut *self.took.lock().unwrap())
    }

    /// Ends the load when each report that was begun is acknowledged.
    pub(crate) async fn finish(self) -> Ledger {
        self.stop.send_replace(true);
        let ledgers = timeout(TIMEOUT, self.workers.join_all())
            .await
            .expect("the load ends");
        let mut all = Ledger::default();
        ledgers.into_iter().for_each(|ledger| all.add(ledger));
        all
    }
}

impl Worker {
    async fn run(mut self, next: Arc<AtomicUsize>, stop: watch::Receiver<bool>) -> Ledger {
        let mut sent = Vec::new();
        while !*stop.borrow() {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let begun = Instant::now();
            let (_, id, tries) = self.until_acknowledged(number).await;
            self.took.lock().unwrap().push(begun.elapsed());
            self.ledger.repeated += usize::from(tries > 1);
            self.ledger.acknowledged.insert(number, id);
            self.ids.lock().unwrap().push(id);
            self.acknowledge.send_modify(|count| *count += 1);
            sent.push((number, id));
            if self.random.once_in(8) {
                let (number, id) = *self.random.of(&sent);
                let (status, again, _) = self.until_acknowledged(number).await;
                assert_eq!((status, again), (200, id), "report {number} is known");
                self.ledger.resent += 1;
            }
        }
        self.ledger
    }

    async fn until_acknowledged(&mut self, number: usize) -> (u16, Uuid, usize) {
        for tries in 1.. {
            let client = {
                let targets = self.targets.borrow_and_update();
                self.random.of(&targets).clone()
            };
            match send(&client, number).await {
                Ok(Some((status, id))) => return (status, id, tries),
                Ok(None) => {}
                Err(_) => self.ledger.unanswered += 1,
            }
            self.ledger.failed_attempts += 1;
            self.refuse.send_modify(|count| *count += 1);
            sleep(BACK_OFF).await;
        }
        unreachable!("a report is sent until it is acknowledged")
    }
}

/// Makes one attempt. Returns the status and id of a success, `None` if it must be retried.
async fn send(client: &Client, number: usize) -> reqwest::Result<Option<(u16, Uuid)>> {
    let (key, body) = report(number);
    let mut request = client
        .post("/billables")
        .json(&body)
        .timeout(REQUEST_TIMEOUT);
    if let Some(key) = key {
        request = request.header("Idempotency-Key", key);
    }
    let response = request.send().await?;
    let status = response.status().as_u16();
    let may_repeat = response.headers().contains_key("retry-after");
    let replayed = response.headers().contains_key("idempotent-replayed");
    let body = response.text().await?;
    match status {
        200 | 201 => {
            assert_eq!(status == 200, replayed, "report {number}: {body}");
            let body: Value = serde_json::from_str(&body).unwrap();
            Ok(Some((
                status,
                body["id"].as_str().unwrap().parse().unwrap(),
            )))
        }
        503 if may_repeat => Ok(None),
        _ => panic!("report {number}: {status}: {body}"),
    }
}
