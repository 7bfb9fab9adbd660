//! Refused requests can be found: in the log, the metrics and `GET /refusals`.

use std::time::{Duration, Instant};

use billables::token::Scope;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::client::send;
use crate::support::raw::Raw;
use crate::support::server::{command, run, token};
use crate::support::{Client, Database, Server, on_both_databases};

async fn refusals(client: &Client) -> Vec<Value> {
    let reply = client.get("/refusals").await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let Value::Array(items) = reply.json()["items"].take() else {
        panic!("no items: {reply:?}");
    };
    items
}

on_both_databases!(
    case_34_a_refused_request_is_warned_of_counted_and_listed,
    async |database: Database| {
        let secret = token(&database, "pbx", &[Scope::Report], None).await;
        let server = Server::start_in(&database, &["--log-format", "json"], &[]).await;
        let sender = server.client_of(&secret);
        let unmapped = send(
            sender
                .post("/billables")
                .header("X-Request-Id", "unmapped")
                .json(&json!({"callSid": "CA\u{1b}[31m1", "accountId": "a"})),
        )
        .await;
        assert_eq!(unmapped.status, 400);
        let mut unauthorized = server.client_of("bil_nobody").post("/billables");
        unauthorized = unauthorized.header("X-Request-Id", "unknown");
        assert_eq!(send(unauthorized.json(&json!({}))).await.status, 401);
        assert_eq!(sender.get("/billables").await.status, 403);
        assert_eq!(sender.report(&json!({"sessionId": "S"})).await.status, 201);

        let listed = refusals(&server.client()).await;
        assert_eq!(listed.len(), 3, "{listed:?}");
        let [forbidden, unknown, unmapped] = &listed[..] else {
            unreachable!()
        };
        assert_eq!(
            (
                &forbidden["client"],
                &forbidden["status"],
                &forbidden["code"]
            ),
            (&json!("pbx"), &json!(403), &json!("Forbidden"))
        );
        assert_eq!(
            (
                &unknown["client"],
                &unknown["status"],
                &unknown["requestId"]
            ),
            (&Value::Null, &json!(401), &json!("unknown"))
        );
        let message = unmapped["message"].as_str().unwrap();
        assert!(
            !message.contains('\u{1b}') && !message.contains('\n'),
            "{message}"
        );
        assert_eq!(
            (
                &unmapped["peer"],
                &unmapped["route"],
                &unmapped["requestId"]
            ),
            (
                &json!("127.0.0.1"),
                &json!("/billables"),
                &json!("unmapped")
            )
        );
        assert!(unmapped["field"].is_string() && unmapped["time"].is_string());

        server.until_logged("\"/refusals\"").await;
        let log = server.log();
        let warned: Vec<Value> = log
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .filter(|line| line["message"] == "answered" && line["level"] == "WARN")
            .collect();
        assert_eq!(warned.len(), 3, "{log}");
        for (line, listed) in warned.iter().zip(listed.iter().rev()) {
            assert_eq!(
                (&line["peer"], &line["http.status"], &line["outcome"]),
                (&listed["peer"], &listed["status"], &listed["code"])
            );
            assert_eq!(
                (&line["error"], &line["field"], &line["client"]),
                (&listed["message"], &listed["field"], &listed["client"])
            );
        }
        let metrics = server.client().get("/metrics").await.body;
        for series in [
            "billables_refusals_total{client=\"\",code=\"Unauthorized\"} 1",
            "billables_refusals_total{client=\"pbx\",code=\"Forbidden\"} 1",
        ] {
            assert!(metrics.contains(series), "{metrics}");
        }
        let csv = server.client().get("/refusals.csv").await.body;
        assert!(
            csv.starts_with(
                "Time,Peer,Client,Sender,Route,Status,Code,Field,Message,RequestId\r\n"
            )
        );
    }
);

#[tokio::test]
async fn requests_that_are_not_http_are_listed_too() {
    let database = Database::sqlite();
    let server = Server::start(&database).await;
    for (bad, status) in [
        (
            "GET /bill ables HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
            400,
        ),
        ("GET / HTTP/1.1\r\nBad Header: x\r\n\r\n".to_owned(), 400),
        (
            format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(70_000)),
            431,
        ),
    ] {
        let mut raw = Raw::connect(server.address()).await;
        raw.try_send(&bad).await;
        let listed = async {
            loop {
                let listed = refusals(&server.client()).await;
                if let Some(newest) = listed.first()
                    && newest["status"] == status
                {
                    return newest.clone();
                }
            }
        };
        let newest = tokio::time::timeout(Duration::from_secs(60), listed).await;
        let newest = newest.expect("it is listed");
        assert_eq!(
            (&newest["peer"], &newest["code"]),
            (&json!("127.0.0.1"), &json!("BadRequest"))
        );
    }
    server.until_logged("refused").await;
}

/// A name in a message costs as little as it is short.
#[tokio::test]
async fn a_long_parameter_is_refused_at_once_and_not_repeated() {
    let database = Database::sqlite();
    let server = Server::start(&database).await;
    let path = format!("/billables?{}=1", "a".repeat(60_000));
    let reply = server.client().get(&path).await;
    assert_eq!(reply.error_code(), "UnknownParameter");
    assert!(reply.body.len() < 2000, "{reply:?}");
}

/// A load balancer asks every second.
#[tokio::test]
async fn probes_are_logged_for_debugging_only() {
    let database = Database::sqlite();
    let server = Server::start(&database).await;
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(server.client().get(path).await.status, 200);
    }
    assert_eq!(server.client().get("/log").await.status, 200);
    server.until_logged("/log").await;
    let log = server.log();
    for path in ["/livez", "/readyz", "/metrics"] {
        assert!(!log.contains(path), "{log}");
    }
}

on_both_databases!(
    only_admin_sees_refusals_and_is_never_limited_to_accounts,
    async |database: Database| {
        let create = |arguments: &[&str]| {
            let arguments = [&["token", "create"], arguments].concat();
            run(&mut command(&database, &arguments))
        };
        let server = Server::start(&database).await;
        let (code, secret, _) = create(&["--client", "ops", "--scope", "admin"]);
        assert_eq!(code, 0);
        let ops = server.client_of(secret.trim());
        assert_eq!(ops.get("/refusals").await.status, 200);
        assert_eq!(ops.get("/billables").await.status, 403);
        let others = [Scope::Report, Scope::Read, Scope::Bill];
        let reader = token(&database, "reader", &others, None).await;
        let reply = server.client_of(&reader).get("/refusals").await;
        assert_eq!(
            (reply.status, reply.error_code()),
            (403, "Forbidden".to_owned())
        );

        let (code, output, errors) = create(&[
            "--client",
            "own",
            "--scope",
            "read",
            "admin",
            "--account",
            "a1",
        ]);
        assert_eq!((code, &*output), (1, ""));
        assert!(
            errors.contains("the scope admin is for clients without a limit"),
            "{errors}"
        );
        let limit = ["client", "accounts", "ops", "a1"];
        let (code, _, errors) = run(&mut command(&database, &limit));
        assert_eq!(code, 1);
        assert!(
            errors.contains("the client ops has a token with the scope admin"),
            "{errors}"
        );
        // A database that has such a token does not change that.
        database
            .execute("update clients set accounts = '[\"a1\"]' where client = 'ops'")
            .await;
        let limited = async { while ops.get("/refusals").await.status != 403 {} };
        tokio::time::timeout(Duration::from_secs(60), limited)
            .await
            .expect("the scope ends with the limit");
    }
);

#[test]
fn case_22_the_clients_admin_and_import_are_reserved() {
    let database = Database::sqlite();
    let file = database.file().with_extension("csv");
    std::fs::write(&file, "SessionId,CallSid\nS,1\n").unwrap();
    let file = file.to_str().unwrap();
    for (arguments, said) in [
        (
            vec!["token", "create", "--client", "admin"],
            "reserved for BILLABLES_ADMIN_TOKEN",
        ),
        (
            vec!["token", "create", "--client", "import"],
            "reserved for `billables import`",
        ),
        (
            vec!["client", "accounts", "import", "--all"],
            "reserved for `billables import`",
        ),
        (
            vec!["import", file, "--client", "admin"],
            "reserved for BILLABLES_ADMIN_TOKEN",
        ),
    ] {
        let (code, _, errors) = run(&mut command(&database, &arguments));
        assert!(
            code == 2 && errors.contains(said),
            "{arguments:?}: {errors}"
        );
    }
}

on_both_databases!(a_new_token_works_at_once, async |database: Database| {
    let server = Server::start(&database).await;
    for number in 0..20 {
        let secret = token(&database, "new", &[Scope::Report], None).await;
        let report = json!({"sessionId": "S", "callSid": number.to_string()});
        let reply = server.client_of(&secret).report(&report).await;
        assert_eq!(reply.status, 201, "{reply:?}");
    }
});

/// An unknown token may be a new one.
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_token_is_refused_only_after_the_tokens_were_read() {
    let database = Database::postgres().await;
    let server = Server::start(&database).await;
    let unknown = server.client_of("bil_unknown");
    assert_eq!(unknown.get("/log").await.status, 401);
    let lock = database.lock_tokens().await;
    let reply = unknown.get("/log").await;
    assert_eq!(
        (reply.status, reply.error_code()),
        (503, "StoreUnavailable".to_owned())
    );
    drop(lock);
    let again = async { while unknown.get("/log").await.status != 401 {} };
    tokio::time::timeout(Duration::from_secs(60), again)
        .await
        .expect("the tokens are read");
}

/// Returns how often the table of tokens was scanned, as far as PostgreSQL has counted it.
async fn token_scans(database: &Database) -> i64 {
    database
        .count("select coalesce(seq_scan, 0) + coalesce(idx_scan, 0) from pg_stat_user_tables where relname = 'tokens'")
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_unknown_tokens_reads_the_tokens_ten_times_a_second_and_hides_nothing() {
    let database = Database::postgres().await;
    let secret = token(&database, "pbx", &[Scope::Report], None).await;
    let server = Server::start(&database).await;
    let honest = server.client_of(&secret);
    assert_eq!(honest.report(&json!({"callSid": "CA1"})).await.status, 400);
    let before = token_scans(&database).await;
    let (begun, end) = (Instant::now(), CancellationToken::new());
    let mut flood = JoinSet::new();
    for _ in 0..32 {
        let (client, end) = (server.client_of("bil_unknown"), end.clone());
        flood.spawn(async move {
            let mut count = 0;
            while !end.is_cancelled() {
                let reply = send(client.bare(Method::GET, "/log")).await;
                assert_eq!(reply.status, 401);
                let reply = client.get("/log").await;
                assert_eq!(reply.status, 401);
                count += 2;
            }
            count
        });
    }
    for number in 0..200 {
        let report = json!({"sessionId": "S", "callSid": number.to_string()});
        assert_eq!(honest.report(&report).await.status, 201);
    }
    let mut scans = token_scans(&database).await;
    // PostgreSQL counts with a delay.
    while scans == before {
        scans = token_scans(&database).await;
    }
    end.cancel();
    let refused: i32 = flood.join_all().await.into_iter().sum();
    assert!(refused > 300, "{refused}");
    let seconds = i64::try_from(begun.elapsed().as_secs()).unwrap() + 1;
    assert!(
        scans - before <= 12 * seconds,
        "{} in {seconds} s",
        scans - before
    );
    let listed = refusals(&server.client()).await;
    let of_honest = listed.iter().filter(|refusal| refusal["client"] == "pbx");
    assert_eq!(of_honest.count(), 1, "{listed:?}");
    assert_eq!(listed.len(), 101);
}
