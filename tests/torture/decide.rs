//! A client that voids many billables and attributes many sessions at once, again and again, while a
//! load reports them. It repeats each request until it is answered.

use std::collections::HashSet;
use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::check::{get, id, lines};
use crate::load::{Load, SESSIONS};
use crate::support::Client;
use crate::{Random, TIMEOUT, Torture};

/// The pause between two requests, and after one that was refused.
const PAUSE: Duration = Duration::from_millis(15);

/// The account of all decisions.
const ACCOUNT: &str = "decided";

/// Decides until it is finished.
pub(crate) struct Decider {
    stop: watch::Sender<bool>,
    deciding: JoinHandle<Decisions>,
}

/// What was answered with an outcome.
#[derive(Debug, Default)]
pub(crate) struct Decisions {
    voided: HashSet<Uuid>,
    sessions: HashSet<String>,
    requests: usize,
    repeated: usize,
}

impl Decider {
    /// Decides about what this load reports.
    pub(crate) fn start(torture: &Torture, load: &Load) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (targets, ids) = (load.targets(), load.ids());
        let mut random = torture.random("decider");
        let deciding = tokio::spawn(async move {
            let mut decisions = Decisions::default();
            while !*stopped.borrow() {
                let chosen: Vec<Uuid> = {
                    let ids = ids.lock().unwrap();
                    let count = ids.len().min(1 + random.below(20));
                    (0..count).map(|_| *random.of(&ids)).collect()
                };
                if !chosen.is_empty() && random.once_in(2) {
                    let ids: Vec<_> = chosen.iter().map(Uuid::to_string).collect();
                    let body = json!({"ids": ids, "reason": "torture"});
                    let send = |client: &Client| client.post("/billables/void").json(&body);
                    let items = decisions.ask(&mut random, &targets, send).await;
                    for (id, item) in chosen.iter().zip(&items) {
                        // What was acknowledged is never missing.
                        assert!(
                            ["voided", "replayed"].contains(&&*outcome(item)),
                            "{id}: {item}"
                        );
                    }
                    decisions.voided.extend(chosen);
                } else {
                    let sessions = (0..=random.below(5)).map(|_| random.below(SESSIONS));
                    let sessions: Vec<_> = sessions.map(|number| format!("S{number}")).collect();
                    let pair = |session| json!({"sessionId": session, "accountId": ACCOUNT, "customerId": "c"});
                    let body: Vec<_> = sessions.iter().map(pair).collect();
                    let send =
                        |client: &Client| client.request(Method::PUT, "/sessions").json(&body);
                    for item in decisions.ask(&mut random, &targets, send).await {
                        assert_ne!(outcome(&item), "conflict", "{item}");
                    }
                    decisions.sessions.extend(sessions);
                }
                sleep(PAUSE).await;
            }
            decisions
        });
        Self { stop, deciding }
    }

    /// Ends with the request that was begun. Returns when all attributions are carried out.
    pub(crate) async fn finish(self, client: &Client) -> Decisions {
        self.stop.send_replace(true);
        let decided = timeout(TIMEOUT, self.deciding).await;
        let decisions = decided.expect("every request is answered").unwrap();
        for session in &decisions.sessions {
            let path = format!("/sessions/{session}");
            let complete = async { while get(client, &path).await.json()["isComplete"] != true {} };
            timeout(TIMEOUT, complete)
                .await
                .expect("attributions are carried out");
        }
        decisions
    }
}

impl Decisions {
    /// Sends a request until it is answered with outcomes.
    async fn ask(
        &mut self,
        random: &mut Random,
        targets: &watch::Receiver<Vec<Client>>,
        request: impl Fn(&Client) -> RequestBuilder,
    ) -> Vec<Value> {
        self.requests += 1;
        loop {
            let client = random.of(&targets.borrow()).clone();
            if let Ok(response) = request(&client).send().await {
                let status = response.status().as_u16();
                match (status, response.text().await) {
                    (200, Ok(body)) => {
                        let body: Value = serde_json::from_str(&body).unwrap();
                        return body["items"].as_array().unwrap().clone();
                    }
                    (200 | 429 | 503, _) => {}
                    (status, body) => panic!("{status}: {body:?}"),
                }
            }
            self.repeated += 1;
            sleep(PAUSE).await;
        }
    }

    /// Checks that everything that was answered was done, and returns what to print.
    pub(crate) async fn check(&self, client: &Client) -> String {
        let rows = lines(&get(client, "/billables?format=ndjson").await);
        let (mut voided, mut attributed) = (0, 0);
        for row in &rows {
            let state = row["state"].as_str().unwrap();
            if self.voided.contains(&id(&row["id"])) {
                assert_eq!(
                    (state, &row["voidReason"]),
                    ("voided", &json!("torture")),
                    "{row}"
                );
                voided += 1;
            } else {
                assert_ne!(state, "voided", "{row}");
            }
            let session = row["sessionId"].as_str();
            if row.get("accountId").is_none()
                && session.is_some_and(|one| self.sessions.contains(one))
            {
                assert_ne!(state, "unattributed", "{row}");
                attributed += usize::from(row["billedAccountId"] == ACCOUNT);
            }
        }
        assert_eq!(voided, self.voided.len(), "every voided billable is there");
        let undecided = get(client, "/sessions?state=undecided&limit=1000")
            .await
            .json();
        for row in undecided["items"].as_array().unwrap() {
            let session = row["sessionId"].as_str().unwrap();
            assert!(!self.sessions.contains(session), "{row}");
        }
        let Self {
            sessions,
            requests,
            repeated,
            ..
        } = self;
        format!(
            "{requests} bulk requests, {repeated} repeated, voided {voided} and attributed {attributed} billables of {} sessions, each once",
            sessions.len()
        )
    }
}

fn outcome(item: &Value) -> String {
    item["outcome"].as_str().unwrap().to_owned()
}
