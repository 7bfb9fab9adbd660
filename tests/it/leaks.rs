//! A client that is limited to accounts learns nothing of others: every answer is the same as on a
//! log that does not have them.

use std::collections::HashMap;

use billables::token::Scope;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::{Reply, send};
use crate::support::server::token;
use crate::support::{Client, Database, Server};

/// The first is the limited client's own.
const ACCOUNTS: [&str; 3] = ["own", "other", "third"];
const CUSTOMERS: [&str; 2] = ["c1", "c2"];
const SESSIONS: [&str; 3] = ["S1", "S2", "S3"];
const CALLS: [&str; 3] = ["CA1", "CA2", "CA3"];

#[derive(Clone, Debug)]
enum Step {
    Report(Report),
    /// Decides a session, if it has no decision yet.
    Attribute(usize, usize, usize),
    /// Voids the billable of an earlier step.
    Void(usize),
}

#[derive(Clone, Debug)]
struct Report {
    account: Option<usize>,
    customer: Option<usize>,
    session: Option<usize>,
    call: Option<usize>,
    is_keyed: bool,
    hour: u32,
}

impl Report {
    /// Every report has a time of its own, so that the order of lists does not depend on random ids.
    fn json(&self, step: usize) -> Value {
        json!({
            "accountId": self.account.map(|at| ACCOUNTS[at]),
            "customerId": self.customer.map(|at| CUSTOMERS[at]),
            "sessionId": self.session.map(|at| SESSIONS[at]),
            "callSid": self.call.map(|at| CALLS[at]),
            "occurredAt": format!("2026-03-{:02}T{:02}:00:{step:02}Z", 1 + self.hour / 24, self.hour % 24),
        })
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let at = |count: usize| prop::option::of(0..count);
    let report = (at(3), at(2), at(3), at(3), any::<bool>(), 0..72_u32);
    let report = report.prop_map(|(account, customer, session, call, is_keyed, hour)| {
        let has_pair = account.is_some() && customer.is_some();
        Step::Report(Report {
            account,
            customer,
            // Either a session, or both an account and a customer, is required.
            session: session.or((!has_pair).then_some(0)),
            call,
            is_keyed,
            hour,
        })
    });
    let step = prop_oneof![
        6 => report,
        2 => (0..3_usize, 0..3_usize, 0..2_usize)
            .prop_map(|(session, account, customer)| Step::Attribute(session, account, customer)),
        2 => (0..30_usize).prop_map(Step::Void),
    ];
    prop::collection::vec(step, 10..40)
}

/// A service with some of the steps, and the ids of the billables by step.
struct Log {
    _server: Server,
    limited: Client,
    ids: HashMap<usize, Uuid>,
    /// The first step of each id, for comparing two logs, whose random ids differ.
    names: HashMap<Uuid, usize>,
}

impl Log {
    async fn with(
        database: &Database,
        steps: &[Step],
        is_included: impl Fn(&Step) -> bool,
    ) -> Self {
        let scopes = [Scope::Report, Scope::Read, Scope::Bill];
        let secret = token(database, "limited", &scopes, Some(&[ACCOUNTS[0]])).await;
        let server = Server::start(database).await;
        let client = server.client();
        let mut ids = HashMap::new();
        for (at, step) in steps.iter().enumerate() {
            match step {
                Step::Report(report) if is_included(step) => {
                    let mut request = client.post("/billables").json(&report.json(at));
                    if report.is_keyed {
                        request = request.header("Idempotency-Key", format!("key-{at}"));
                    }
                    let reply = send(request).await;
                    assert!([200, 201].contains(&reply.status), "{reply:?}");
                    ids.insert(at, reply.id());
                }
                Step::Attribute(session, account, customer) if is_included(step) => {
                    let path = format!("/sessions/{}", SESSIONS[*session]);
                    let pair = json!({"accountId": ACCOUNTS[*account], "customerId": CUSTOMERS[*customer]});
                    let reply = send(client.request(Method::PUT, &path).json(&pair)).await;
                    assert!([200, 202, 409].contains(&reply.status), "{reply:?}");
                }
                Step::Void(of) => {
                    if let Some(id) = ids.get(of) {
                        let void = client.post(&format!("/billables/{id}/void"));
                        assert_eq!(send(void.json(&json!({"reason": "x"}))).await.status, 200);
                    }
                }
                Step::Report(_) | Step::Attribute(..) => {}
            }
        }
        Self {
            limited: server.client_of(&secret),
            _server: server,
            ids,
            names: HashMap::new(),
        }
    }

    /// Names ids by their first step.
    fn name(&mut self, ids: &HashMap<usize, Uuid>) {
        for (step, id) in ids {
            let first = self.names.entry(*id).or_insert(*step);
            *first = (*first).min(*step);
        }
    }

    /// Replaces what differs between two logs with the same contents: random ids, times of recording,
    /// cursors.
    fn normal(&self, reply: &Reply) -> String {
        let cell = |cell: &str| match cell.parse::<Uuid>() {
            Ok(id) => self
                .names
                .get(&id)
                .map_or_else(|| cell.to_owned(), |step| format!("id-{step}")),
            Err(_) if cell.parse::<jiff::Timestamp>().is_ok() && cell > "2026-04" => {
                "now".to_owned()
            }
            Err(_) => cell.to_owned(),
        };
        let lines = reply
            .body
            .lines()
            .map(|line| match serde_json::from_str::<Value>(line) {
                Ok(mut value) => {
                    normalise(&mut value, &cell);
                    value.to_string()
                }
                Err(_) => line.split(',').map(cell).collect::<Vec<_>>().join(","),
            });
        let kind = reply.header("content-type").unwrap_or_default();
        format!(
            "{} {kind}\n{}",
            reply.status,
            lines.collect::<Vec<_>>().join("\n")
        )
    }

    async fn get(&self, path: &str) -> String {
        self.normal(&self.limited.get(path).await)
    }

    /// Reads all pages of a list or of the feed.
    async fn pages(&self, path: &str, parameter: &str) -> Vec<String> {
        let mut pages = Vec::new();
        let mut next = String::new();
        // Fewer pages than billables, each with an item, and an empty one.
        for _ in 0..100 {
            let reply = self.limited.get(&format!("{path}{next}")).await;
            pages.push(self.normal(&reply));
            let is_empty = reply.json()["items"].as_array().is_none_or(Vec::is_empty);
            match reply.json()["nextCursor"].as_str() {
                Some(cursor) if !is_empty => next = format!("&{parameter}={cursor}"),
                _ => return pages,
            }
        }
        panic!("the pages of {path} do not end");
    }

    /// Everything that the limited client can ask. Ids that only the other log has are made up here.
    async fn answers(&self, steps: usize, foreign: &HashMap<usize, Uuid>) -> Vec<(String, String)> {
        let mut answers = Vec::new();
        let filters = [
            "",
            "&accountId=own",
            "&customerId=c1",
            "&sessionId=S1",
            "&sessionId=S2",
            "&callSid=CA1",
            "&callSid=CA2",
            "&state=voided",
            "&state=unattributed",
            "&state=billable",
            "&from=2026-03-02T00:00:00Z",
            "&to=2026-03-02T12:00:00Z",
            "&accountId=other",
        ];
        for filter in filters {
            for path in [
                format!("/billables?limit=2{filter}"),
                format!("/billables?limit=1000{filter}"),
            ] {
                for (page, text) in self.pages(&path, "cursor").await.into_iter().enumerate() {
                    answers.push((format!("{path} page {page}"), text));
                }
            }
            for format in ["csv", "ndjson", "xml"] {
                let path = format!("/billables?format={format}{filter}");
                if format != "xml" {
                    answers.push((path.clone(), self.get(&path).await));
                }
            }
        }
        for limit in [1, 3, 1000] {
            let path = format!("/log?limit={limit}");
            for (page, text) in self.pages(&path, "after").await.into_iter().enumerate() {
                answers.push((format!("{path} page {page}"), text));
            }
        }
        let month = "startDate=2026-03-01&endDate=2026-03-03";
        for path in [
            format!("/billing?accountId=own&{month}"),
            format!("/billing?accountId=own&customerId=c1&{month}&timeZone=Asia/Kathmandu"),
            format!("/billing?accountId=other&{month}"),
            format!("/billing?{month}"),
        ] {
            answers.push((path.clone(), self.get(&path).await));
        }
        for session in SESSIONS {
            let path = format!("/sessions/{session}");
            answers.push((path.clone(), self.get(&path).await));
        }
        let mut ids = Vec::new();
        for step in 0..steps {
            let known = self.ids.get(&step).or(foreign.get(&step));
            if let Some(id) = known {
                ids.push(id.to_string());
                answers.push((
                    format!("get {step}"),
                    self.get(&format!("/billables/{id}")).await,
                ));
            }
        }
        let check = json!({"ids": ids, "callSids": CALLS});
        let checked = send(self.limited.post("/billables/check").json(&check)).await;
        answers.push(("check".to_owned(), self.normal(&checked)));
        // Reports and decisions, at the end, because they change the log.
        for (what, request) in [
            ("report", self.limited.post("/billables").json(&json!({"accountId": "own", "sessionId": "S1", "callSid": "CA1", "occurredAt": "2026-03-01T00:00:00Z"}))),
            ("report for another", self.limited.post("/billables").json(&json!({"accountId": "other", "sessionId": "S1", "callSid": "CA1"}))),
            ("report without account", self.limited.post("/billables").json(&json!({"sessionId": "S1", "callSid": "CA1"}))),
            ("keyed", self.limited.post("/billables").header("Idempotency-Key", "key-1").json(&json!({"accountId": "own", "sessionId": "S2"}))),
            ("attribute", self.limited.request(Method::PUT, "/sessions/S1").json(&json!({"accountId": "own", "customerId": "c1"}))),
        ] {
            let reply = send(request).await;
            let differs = reply.header("billable-differs").unwrap_or_default().to_owned();
            let replayed = reply.header("idempotent-replayed").unwrap_or_default().to_owned();
            let text = self.normal(&reply);
            answers.push((what.to_owned(), format!("{text} {differs} {replayed}")));
        }
        for step in 0..steps {
            if let Some(id) = self.ids.get(&step).or(foreign.get(&step)) {
                let void = self.limited.post(&format!("/billables/{id}/void"));
                let reply = send(void.json(&json!({"reason": "y"}))).await;
                answers.push((format!("void {step}"), self.normal(&reply)));
            }
        }
        answers
    }
}

fn normalise(value: &mut Value, cell: &impl Fn(&str) -> String) {
    match value {
        Value::String(text) => *text = cell(text),
        Value::Array(items) => items.iter_mut().for_each(|item| normalise(item, cell)),
        Value::Object(members) => {
            for (name, member) in members {
                if (name == "nextCursor" || name == "asOf") && member.is_string() {
                    *member = json!("cursor");
                }
                normalise(member, cell);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The decision of each session, by the first step that decides it.
fn decided(steps: &[Step]) -> HashMap<usize, usize> {
    let mut decided = HashMap::new();
    for step in steps {
        if let Step::Attribute(session, account, _) = step {
            decided.entry(*session).or_insert(*account);
        }
    }
    decided
}

async fn compare(all: &Database, own: &Database, steps: &[Step]) {
    let decided = decided(steps);
    let is_own = |step: &Step| match step {
        Step::Report(report) => match (report.account, report.session) {
            (Some(account), _) => account == 0,
            (None, session) => session.is_some_and(|session| decided.get(&session) == Some(&0)),
        },
        Step::Attribute(session, _, _) => decided.get(session) == Some(&0),
        Step::Void(_) => true,
    };
    let mut all = Log::with(all, steps, |_| true).await;
    let mut own = Log::with(own, steps, is_own).await;
    let (of_all, of_own) = (all.ids.clone(), own.ids.clone());
    all.name(&of_all);
    own.name(&of_own);
    own.name(&of_all);
    let nothing = HashMap::new();
    let expected = own.answers(steps.len(), &all.ids).await;
    let found = all.answers(steps.len(), &nothing).await;
    assert_eq!(expected.len(), found.len());
    for ((what, expected), (_, found)) in expected.iter().zip(&found) {
        assert_eq!(expected, found, "{what}");
    }
}

/// Runs random steps on new databases, and shrinks a failing case.
fn check(database: impl AsyncFn() -> Database) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let cases = std::env::var("PROPTEST_CASES").map_or(6, |cases| cases.parse().unwrap());
    let config = Config {
        cases,
        max_shrink_iters: 20,
        failure_persistence: None,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(&steps(), |steps| {
        let checked = std::panic::AssertUnwindSafe(|| {
            runtime.block_on(async {
                compare(&database().await, &database().await, &steps).await;
            });
        });
        std::panic::catch_unwind(checked).map_err(|_| TestCaseError::fail("see the panic"))
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

#[test]
fn a_limited_client_gets_the_answers_of_a_log_without_the_others_on_sqlite() {
    check(async || Database::sqlite());
}

#[test]
fn a_limited_client_gets_the_answers_of_a_log_without_the_others_on_postgres() {
    check(Database::postgres);
}
