//! Limits on concurrent requests: no client and no kind of request blocks another.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use billables::token::Scope;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::support::client::send;
use crate::support::raw::Raw;
use crate::support::server::token;
use crate::support::{Client, Database, Server, on_both_databases};

const TIMEOUT: Duration = Duration::from_secs(60);

fn call(number: usize) -> Value {
    json!({"accountId": "a", "customerId": "c", "callSid": format!("CA{number}"), "occurredAt": "2026-03-01T08:30:00Z"})
}

/// The bytes that small requests hold.
async fn small_bytes(client: &Client) -> usize {
    let metrics = client.get("/metrics").await.body;
    let (_, rest) = metrics
        .split_once("billables_request_bytes{part=\"small\"} ")
        .unwrap();
    rest.lines().next().unwrap().parse().unwrap()
}

/// Reports calls in batches.
async fn report_calls(client: &Client, count: usize) {
    for first in (0..count).step_by(10_000) {
        let calls: Vec<_> = (first..count.min(first + 10_000)).map(call).collect();
        let reply = send(
            client
                .post("/billables")
                .header("Prefer", "return=minimal")
                .json(&calls),
        )
        .await;
        assert_eq!(reply.status, 204, "{}", reply.body);
    }
}

on_both_databases!(
    running_exports_do_not_block_reports,
    async |database: Database| {
        let mut readers = Vec::new();
        for name in ["one", "two", "three", "four", "five"] {
            readers.push(token(&database, name, &[Scope::Read], None).await);
        }
        // There are only two read connections, so unlimited exports would take all of them.
        let server = Server::start_with(&database, &["--read-connections", "2"]).await;
        let client = server.client();
        report_calls(&client, 20_000).await;
        // Ten exports of five clients; those without a permit wait for one.
        let mut exports = JoinSet::new();
        for secret in readers.iter().flat_map(|secret| [secret, secret]) {
            let reader = server.client_of(secret);
            exports.spawn(async move {
                let mut response = reader
                    .request(Method::GET, "/billables?format=ndjson")
                    .send()
                    .await
                    .unwrap();
                if response.status() == 503 {
                    return None;
                }
                assert_eq!(response.status(), 200);
                let mut rows = 0;
                while let Some(chunk) = response.chunk().await.unwrap() {
                    rows += chunk.iter().filter(|byte| **byte == b'\n').count();
                }
                Some(rows)
            });
        }
        // One more export, by a client that reads nothing until the test ends.
        let mut idle = Raw::connect_narrow(server.address()).await;
        idle.send(format!(
            "GET /billables?format=ndjson HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n",
            server.secret()
        ))
        .await;
        // Meanwhile every report is stored.
        let mut reports = JoinSet::new();
        for worker in 0..8 {
            let client = client.clone();
            reports.spawn(async move {
                for number in 0..50 {
                    let reply = client.report(&call(1_000_000 + worker * 50 + number)).await;
                    assert_eq!(reply.status, 201, "{reply:?}");
                }
            });
        }
        timeout(TIMEOUT, reports.join_all())
            .await
            .expect("the reports are stored");
        let rows = timeout(TIMEOUT, exports.join_all())
            .await
            .expect("the exports end");
        let whole: Vec<_> = rows.iter().flatten().collect();
        // Eight exports may run concurrently, and the idle one may be one of them. An export that
        // waits too long for a permit gets 503.
        assert!(whole.len() >= 7, "{rows:?}");
        assert!(
            whole.iter().all(|rows| (20_000..=20_400).contains(*rows)),
            "each export has its own snapshot: {rows:?}"
        );
    }
);

on_both_databases!(
    waiting_readers_leave_permits_to_reports_and_other_clients,
    async |database: Database| {
        let modest = token(&database, "modest", &[Scope::Read], None).await;
        let server = Server::start_with(&database, &["--max-requests", "4"]).await;
        let (client, modest) = (server.client(), server.client_of(&modest));
        assert_eq!(client.report(&call(0)).await.status, 201);
        let next = client
            .get("/log")
            .await
            .header("next-cursor")
            .unwrap()
            .to_owned();
        let mut waiting = JoinSet::new();
        for _ in 0..2 {
            let (client, path) = (client.clone(), format!("/log?after={next}&wait=60"));
            waiting.spawn(async move {
                loop {
                    match client.get(&path).await.status {
                        // This request can be refused while `GET /billables` below holds one of the
                        // client's two permits; try again.
                        503 => {}
                        status => break status,
                    }
                }
            });
        }
        // The client holds its half of the permits; other clients, probes and reports are served.
        let refused = async {
            loop {
                let reply = client.get("/billables").await;
                match reply.status {
                    503 => break reply,
                    status => assert_eq!(status, 200),
                }
            }
        };
        let refused = timeout(TIMEOUT, refused)
            .await
            .expect("the permits are taken");
        assert_eq!(
            (&*refused.error_code(), refused.header("retry-after")),
            ("Overloaded", Some("1"))
        );
        assert_eq!(modest.get("/billables").await.status, 200);
        assert_eq!(client.get("/readyz").await.status, 200);
        let metrics = client.get("/metrics").await.body;
        assert!(
            metrics.contains("billables_http_requests_in_flight{kind=\"other\"} 2\n"),
            "{metrics}"
        );
        assert!(
            !metrics.contains("billables_refused_total{limit=\"requests\"} 0\n"),
            "{metrics}"
        );
        assert_eq!(client.report(&call(1)).await.status, 201);
        let statuses = timeout(TIMEOUT, waiting.join_all())
            .await
            .expect("the new entry arrives");
        assert_eq!(statuses, [200; 2]);
    }
);

on_both_databases!(
    reports_hold_no_permit_while_they_arrive,
    async |database: Database| {
        let server = Server::start_with(&database, &["--max-requests", "2"]).await;
        let client = server.client();
        let mut slow = Vec::new();
        for number in 0..4 {
            let body = call(number).to_string();
            let mut connection = Raw::connect(server.address()).await;
            let head = format!(
                "POST /billables HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
                server.secret(),
                body.len()
            );
            connection.send(head).await;
            // After `100 Continue` the server waits for the body.
            connection.until_readable().await;
            slow.push((connection, body));
        }
        assert_eq!(client.report(&call(10)).await.status, 201);
        for (mut connection, body) in slow {
            connection.send(body).await;
            let answer = connection.until("\r\n\r\n{").await;
            assert!(answer.contains("HTTP/1.1 201 "), "{answer}");
        }
        assert_eq!(database.ids().await.len(), 5);
    }
);

on_both_databases!(
    stalled_bodies_of_one_client_do_not_block_other_clients,
    async |database: Database| {
        let greedy = token(&database, "greedy", &[Scope::Report], None).await;
        // A long time-out: no body may time out before the others hold their share of the budget.
        let server = Server::start_with(&database, &["--request-timeout", "5m"]).await;
        let (client, greedy_client) = (server.client(), server.client_of(&greedy));
        // If all were admitted, they would exceed the budget of small requests: each holds 64 KiB,
        // overhead included.
        let (connections, held) = (270, 58 * 1024);
        let head = format!(
            "POST /billables HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {greedy}\r\nContent-Length: {}\r\n\r\n",
            held + 1
        );
        let answered = Arc::new(AtomicUsize::new(0));
        let mut stalled = JoinSet::new();
        for _ in 0..connections {
            let mut connection = Raw::connect(server.address()).await;
            let (head, answered) = (head.clone(), answered.clone());
            stalled.spawn(async move {
                connection.send(head).await;
                connection.try_send(vec![b' '; held]).await;
                let reply = connection.rest().await;
                answered.fetch_add(1, Ordering::SeqCst);
                reply
            });
        }
        let settled = async {
            let mut held = 0;
            while held + answered.load(Ordering::SeqCst) != connections {
                held = small_bytes(&client).await / (64 * 1024);
            }
        };
        timeout(TIMEOUT, settled)
            .await
            .expect("each is held or answered");
        for number in 0..20 {
            let reply = client.report(&call(number)).await;
            assert_eq!(reply.status, 201, "{reply:?}");
        }
        // The bytes of the last report are released after its response has been sent.
        let given_back = async { while small_bytes(&client).await > 8 * 1024 * 1024 {} };
        timeout(TIMEOUT, given_back)
            .await
            .expect("the client holds at most half of the budget");
        // A client above its share gets the same error as when the whole budget is used up.
        let refused = greedy_client.report(&call(100)).await;
        assert_eq!(
            (
                refused.status,
                &*refused.error_code(),
                refused.header("retry-after")
            ),
            (503, "Overloaded", Some("1"))
        );
        for _ in 0..connections - 128 {
            let reply = stalled.join_next().await.unwrap().unwrap();
            assert!(
                reply.starts_with("HTTP/1.1 503 ") && reply.contains("Overloaded"),
                "{reply}"
            );
        }
        drop(stalled);
        let stored = async { while greedy_client.report(&call(100)).await.status != 201 {} };
        timeout(TIMEOUT, stored)
            .await
            .expect("the bytes are released");
        assert_eq!(database.ids().await.len(), 21);
    }
);

on_both_databases!(
    a_full_queue_refuses_reports_until_it_drains,
    async |database: Database| {
        let server = Server::start_with(&database, &["--max-queue", "2"]).await;
        let client = server.client();
        assert_eq!(client.report(&call(0)).await.status, 201);
        let lock = database.lock_log().await;
        let mut stuck = JoinSet::new();
        for number in 1..=20 {
            let client = client.clone();
            stuck.spawn(async move { (number, client.report(&call(number)).await) });
        }
        // One group is being written and two reports are queued; the rest is refused immediately.
        let mut refused = 0;
        while refused < 15 {
            let (_, reply) = timeout(TIMEOUT, stuck.join_next())
                .await
                .expect("a refusal without delay")
                .unwrap()
                .unwrap();
            assert_eq!((reply.status, &*reply.error_code()), (503, "Overloaded"));
            refused += 1;
        }
        let metrics = client.get("/metrics").await.body;
        // The writer may have taken queued reports before the last report arrived.
        let waiting: usize = metrics
            .lines()
            .find_map(|line| line.strip_prefix("billables_queue_jobs "))
            .unwrap()
            .parse()
            .unwrap();
        assert!(
            waiting <= 2 && metrics.contains("billables_queue_limit_jobs 2\n"),
            "{metrics}"
        );
        drop(lock);
        for number in 0..=20 {
            let stored = async { while client.report(&call(number)).await.status / 100 != 2 {} };
            timeout(TIMEOUT, stored)
                .await
                .expect("the queue accepts reports again");
        }
        assert_eq!(database.ids().await.len(), 21);
    }
);

/// The places have nothing to do with the database.
#[tokio::test(flavor = "multi_thread")]
async fn case_12_slow_readers_of_exports_lose_their_places_to_others() {
    let database = Database::sqlite();
    let mut secrets = Vec::new();
    for name in ["slow-1", "slow-2", "honest"] {
        secrets.push(token(&database, name, &[Scope::Read], None).await);
    }
    let server = Server::start(&database).await;
    report_calls(&server.client(), 20_000).await;
    // Two clients take all eight places and read next to nothing.
    let mut slow = Vec::new();
    for secret in [&secrets[0], &secrets[1]].repeat(4) {
        let mut reader = Raw::connect_narrow(server.address()).await;
        reader
                .send(format!(
                    "GET /billables?format=ndjson HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {secret}\r\n\r\n"
                ))
                .await;
        let head = reader.until("\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        slow.push(reader);
    }
    let honest = server.client_of(&secrets[2]);
    let whole = async {
        loop {
            let reply = honest.get("/billables?format=ndjson").await;
            if reply.status == 200 {
                return reply.body.lines().count();
            }
            assert_eq!(reply.status, 503, "{reply:?}");
        }
    };
    let rows = timeout(TIMEOUT, whole)
        .await
        .expect("an export gets a place");
    assert_eq!(rows, 20_000);
    server
        .until_logged("its client reads slowly, and another needed its place")
        .await;
}
