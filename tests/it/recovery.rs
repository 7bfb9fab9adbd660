//! Databases that come back changed, or go away: uncertain commits are not acknowledged, and a bad
//! row affects nothing else.

use std::process::Stdio;
use std::time::Duration;

use billables::token::Scope;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::support::client::send;
use crate::support::proxy::Proxy;
use crate::support::raw::Raw;
use crate::support::server::{command, run, token};
use crate::support::{Cluster, Database, Server, on_both_databases};

/// Longer than any wait in these tests.
const TIMEOUT: Duration = Duration::from_secs(60);

fn call(number: usize) -> Value {
    json!({"sessionId": "S", "callSid": format!("CA{number}")})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_no_synchronous_standby_confirmed_is_not_acknowledged_after_a_crash() {
    let cluster = Cluster::start(&[]);
    let database = Database::created_on(&cluster.url(), "").await;
    let server = Server::start(&database).await;
    let client = server.client();
    assert_eq!(client.report(&call(1)).await.status, 201);
    database
        .execute("alter system set synchronous_standby_names = 'away'")
        .await;
    database.execute("select pg_reload_conf()").await;
    // PostgreSQL reads the setting a moment later. From then on, a report is committed locally and
    // waits for a standby that never comes.
    let mut last = 2;
    let mut waiting = client.report(&call(last)).await;
    while waiting.status == 201 {
        last += 1;
        waiting = client.report(&call(last)).await;
    }
    assert_eq!(
        (waiting.status, &*waiting.error_code()),
        (503, "StoreUnavailable")
    );
    cluster.stop();
    cluster.restart(&[]);
    assert_eq!(
        database.ids().await.len(),
        last,
        "the last report is committed locally"
    );
    let again = client.report(&call(last)).await;
    assert_eq!(
        (again.status, &*again.error_code()),
        (503, "StoreUnavailable")
    );
    database
        .execute("alter system reset synchronous_standby_names")
        .await;
    database.execute("select pg_reload_conf()").await;
    let stored = async { while client.report(&call(last)).await.status != 200 {} };
    timeout(TIMEOUT, stored).await.expect("the server recovers");
    assert_eq!(database.ids().await.len(), last);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_goes_silent_during_a_query_is_replaced() {
    let cluster = Cluster::start(&[]);
    let database = Database::created_on(&cluster.url(), "").await;
    let proxy = Proxy::start(&database);
    let mut server = Server::start(&proxy.database(&database)).await;
    let client = server.client();
    assert_eq!(client.report(&call(1)).await.status, 201);
    // Reads of the tokens block, so their connections are abandoned in the middle of a query.
    let lock = database.lock_tokens().await;
    let refused = async { while client.report(&call(1)).await.status != 503 {} };
    timeout(TIMEOUT, refused)
        .await
        .expect("requests are refused once the tokens are stale");
    // From here on, the abandoned connections never get an answer.
    proxy.freeze();
    drop(lock);
    let recovered = async { while client.report(&call(2)).await.status / 100 != 2 {} };
    timeout(TIMEOUT, recovered)
        .await
        .expect("the server recovers");
    server.signal("-TERM");
    assert_eq!(server.wait(), Some(0));
    assert_eq!(database.ids().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_databases_default_isolation_level_does_not_matter() {
    let cluster = Cluster::start(&["default_transaction_isolation=serializable"]);
    let database = Database::created_on(&cluster.url(), "").await;
    // Several processes compete for the log's head.
    let mut sent = JoinSet::new();
    let mut servers = Vec::new();
    for server in 0..4 {
        servers.push(Server::start(&database).await);
        let client = servers[server].client();
        sent.spawn(async move {
            let mut statuses = Vec::new();
            for number in 0..120 {
                let reply = client.report(&call(1000 * server + number)).await;
                statuses.push(reply.status);
            }
            statuses
        });
    }
    let statuses = sent.join_all().await.concat();
    assert_eq!(statuses, [201; 480]);
    assert_eq!(database.ids().await.len(), 480);
}

on_both_databases!(
    an_unreadable_row_fails_only_its_own_report,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        assert_eq!(client.report(&call(0)).await.status, 201);
        database
            .execute("update entries set client = 'no name!'")
            .await;
        // The lock makes all of the following reports wait, so that they are committed in groups.
        let lock = database.lock_log().await;
        let mut sent = JoinSet::new();
        for number in [1, 2, 0, 3, 4, 0, 5, 6] {
            let client = client.clone();
            sent.spawn(async move { (number, client.report(&call(number)).await) });
        }
        timeout(TIMEOUT, database.until_waiting_for_lock())
            .await
            .expect("the writer waits for the lock");
        drop(lock);
        for (number, reply) in sent.join_all().await {
            assert_eq!(
                reply.status,
                if number == 0 { 500 } else { 201 },
                "{number}: {reply:?}"
            );
        }
        assert_eq!(database.ids().await.len(), 7);
    }
);

on_both_databases!(
    an_unreadable_token_does_not_affect_other_tokens,
    async |database: Database| {
        let other = token(&database, "other", &[Scope::Report], None).await;
        database
            .execute("update tokens set scopes = 'report,later'")
            .await;
        let server = Server::start(&database).await;
        assert_eq!(server.client().report(&call(1)).await.status, 201);
        assert_eq!(server.client_of(&other).report(&call(1)).await.status, 401);
        let (code, table, log) = run(&mut command(&database, &["token", "list"]));
        assert_eq!((code, table.lines().count()), (0, 2), "{table}");
        assert!(
            log.contains("invalid value in column scopes of table tokens"),
            "{log}"
        );
    }
);

on_both_databases!(
    a_report_whose_token_is_revoked_while_its_body_arrives_is_not_stored,
    async |database: Database| {
        let secret = token(&database, "slow", &[Scope::Report], None).await;
        let server = Server::start(&database).await;
        let body = call(1).to_string();
        let mut connection = Raw::connect(server.address()).await;
        connection.send(format!(
            "POST /billables HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {secret}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{{", body.len()
        )).await;
        database
            .execute("update tokens set revoked_at = 1 where client = 'slow'")
            .await;
        let client = server.client_of(&secret);
        // If the tokens cannot be read for 5 s, every request gets 503.
        let refused = async {
            loop {
                let status = client.report(&call(2)).await.status;
                if status / 100 != 2 {
                    break status;
                }
            }
        };
        let status = timeout(Duration::from_secs(5), refused)
            .await
            .expect("the revocation takes effect within 5 s");
        assert!([401, 503].contains(&status), "{status}");
        let read = async { while client.report(&call(2)).await.status != 401 {} };
        timeout(TIMEOUT, read).await.expect("the tokens are read");
        let stored = database.ids().await.len();
        connection.send(&body[1..]).await;
        let reply = connection.rest().await;
        assert!(reply.starts_with("HTTP/1.1 401 "), "{reply}");
        assert_eq!(database.ids().await.len(), stored);
    }
);

on_both_databases!(
    a_running_server_refuses_requests_when_its_log_is_replaced,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        assert_eq!(client.report(&call(1)).await.status, 201);
        database
            .execute(if database.is_postgres() {
                "update log set epoch = '00000000-0000-8000-8000-000000000000'"
            } else {
                "update log set epoch = x'00000000000080008000000000000000'"
            })
            .await;
        // A restore also closes the connections.
        database.break_writer().await;
        let refused = async { while client.report(&call(2)).await.status != 503 {} };
        timeout(TIMEOUT, refused)
            .await
            .expect("the server detects the replacement");
        server
            .until_logged("the database contains a different log")
            .await;
        assert_eq!(client.report(&call(1)).await.status, 503);
        let unready = async { while client.get("/readyz").await.status != 503 {} };
        timeout(TIMEOUT, unready)
            .await
            .expect("the server becomes unready");
        // The server must not read tokens from the other log's database either.
        let refused = async {
            while client
                .get("/billables/d1719a49-b256-8aa7-94dd-3ddcc3a8189f")
                .await
                .status
                != 503
            {}
        };
        timeout(TIMEOUT, refused)
            .await
            .expect("requests are refused");
    }
);

#[tokio::test(flavor = "multi_thread")]
async fn a_moved_sqlite_file_is_not_written_to() {
    let database = Database::sqlite();
    let server = Server::start(&database).await;
    let client = server.client();
    assert_eq!(client.report(&call(1)).await.status, 201);
    let path = database.url().strip_prefix("sqlite://").unwrap();
    std::fs::rename(path, format!("{path}.old")).unwrap();
    let decision = client.request(reqwest::Method::PUT, "/sessions/S");
    let decision = decision.json(&json!({"accountId": "a", "customerId": "c"}));
    for reply in [
        send(decision).await,
        client.report(&call(2)).await,
        client.get("/log").await,
        client.get("/billables").await,
        client
            .get("/billing?startDate=2026-03-01&endDate=2026-03-01")
            .await,
        client.get("/readyz").await,
    ] {
        assert_eq!(
            (reply.status, &*reply.error_code()),
            (503, "StoreUnavailable")
        );
    }
    std::fs::rename(format!("{path}.old"), path).unwrap();
    let stored = async { while client.report(&call(2)).await.status != 201 {} };
    timeout(TIMEOUT, stored)
        .await
        .expect("reports are stored again");
}

#[test]
fn concurrent_first_commands_on_one_file_all_succeed() {
    for _ in 0..4 {
        let database = Database::sqlite();
        let start = |_| {
            let mut command = command(&database, &["migrate"]);
            let pipes = command.stdout(Stdio::piped()).stderr(Stdio::piped());
            pipes.spawn().unwrap()
        };
        let started: Vec<_> = (0..8).map(start).collect();
        for child in started {
            let output = child.wait_with_output().unwrap();
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{errors}");
        }
    }
}
