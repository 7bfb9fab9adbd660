//! The access log has one line per request, and no log contains a secret.

use std::ops::Range;

use billables::token::Scope;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::client::send;
use crate::support::raw::Raw;
use crate::support::server::{command, run, serve, token};
use crate::support::{Database, Server, on_both_databases};

on_both_databases!(
    a_request_is_logged_as_one_json_line_with_its_client_and_outcome,
    async |database: Database| {
        let server = Server::start_in(&database, &["--log-format", "json"], &[]).await;
        let client = server.client();
        let report = client
            .post("/billables")
            .json(&json!({"sessionId": "S", "callSid": "CA1"}));
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let reply = send(
            report
                .header("X-Request-Id", "mine-1")
                .header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01")),
        )
        .await;
        assert_eq!(reply.status, 201);
        let missing = client
            .get("/Billables/d1719a49-b256-8aa7-94dd-3ddcc3a8189f")
            .await;
        let unauthenticated = send(
            client
                .bare(Method::GET, "/log?after=x")
                .header("traceparent", "00-bad"),
        )
        .await;
        server
            .until_logged(unauthenticated.header("x-request-id").unwrap())
            .await;
        let log = server.log();
        let lines: Vec<Value> = log
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let line = |id: &str| {
            let mut of: Vec<_> = lines
                .iter()
                .filter(|line| line["request.id"] == id)
                .collect();
            assert_eq!(of.len(), 1, "{log}");
            of.remove(0).clone()
        };
        let stored = line("mine-1");
        assert_eq!(
            (&stored["message"], &stored["client"], &stored["outcome"]),
            (&json!("answered"), &json!("default"), &json!("stored"))
        );
        assert_eq!(
            (
                &stored["http.method"],
                &stored["http.route"],
                &stored["http.status"]
            ),
            (&json!("POST"), &json!("/billables"), &json!(201))
        );
        assert_eq!(
            (&stored["trace_id"], &stored["parent_id"]),
            (&json!(trace), &json!("00f067aa0ba902b7"))
        );
        assert!(
            stored["duration_us"].as_u64().unwrap() > 0
                && stored["timestamp"].is_string()
                && stored["level"] == "INFO"
        );
        let missing = line(missing.header("x-request-id").unwrap());
        assert_eq!(
            (
                &missing["http.route"],
                &missing["outcome"],
                &missing["trace_id"]
            ),
            (&json!("/billables/{id}"), &json!("NotFound"), &Value::Null)
        );
        let unauthenticated = line(unauthenticated.header("x-request-id").unwrap());
        assert_eq!(
            (
                &unauthenticated["client"],
                &unauthenticated["outcome"],
                &unauthenticated["trace_id"]
            ),
            (&Value::Null, &json!("Unauthorized"), &Value::Null)
        );
    }
);

on_both_databases!(
    a_store_error_is_logged_once_with_its_request_id,
    async |database: Database| {
        let server = Server::start_in(&database, &["--log-format", "json"], &[]).await;
        database.execute("delete from log_heads").await;
        let reply = server.client().get("/log").await;
        assert_eq!(
            (reply.status, &*reply.error_code()),
            (500, "InternalServerError")
        );
        let id = reply.header("x-request-id").unwrap();
        server.until_logged(id).await;
        let log = server.log();
        let faults: Vec<Value> = log
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .filter(|line| line["message"] == "a request failed")
            .collect();
        assert_eq!(faults.len(), 1, "{log}");
        assert_eq!(faults[0]["level"], "ERROR");
        assert!(
            faults[0].to_string().contains(id)
                && faults[0]["error"] == "partition 0 of the log has no row in log_heads",
            "{log}"
        );
    }
);

on_both_databases!(
    a_path_is_escaped_to_ascii_in_the_log,
    async |database: Database| {
        let server = Server::start(&database).await;
        let mut raw = Raw::connect(server.address()).await;
        raw.send("GET /\u{9b}31m\u{2028}\u{85}\u{202e}x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
        assert!(raw.rest().await.starts_with("HTTP/1.1 404 "));
        server.until_logged("31m").await;
        let log = server.log();
        assert!(
            log.is_ascii() && log.contains("/\\u{9b}31m\\u{2028}\\u{85}\\u{202e}x"),
            "{log}"
        );
    }
);

/// Sends reports over eight connections, with long lines in the log. All of them must be stored.
async fn store_all(server: &Server, numbers: Range<usize>) {
    let mut sending = JoinSet::new();
    for worker in 0..8 {
        let (client, numbers) = (server.client(), numbers.clone());
        sending.spawn(async move {
            for number in numbers.skip(worker).step_by(8) {
                let id = format!("{number}-{}", "x".repeat(50));
                let report = json!({"sessionId": "S", "callSid": number.to_string()});
                let reply = send(
                    client
                        .post("/billables")
                        .header("X-Request-Id", id)
                        .json(&report),
                )
                .await;
                assert_eq!(reply.status, 201);
            }
        });
    }
    sending.join_all().await;
}

async fn lost_lines(server: &Server) -> u64 {
    let metrics = server.client().get("/metrics").await.body;
    let count = metrics
        .lines()
        .find_map(|line| line.strip_prefix("billables_log_lines_lost_total "));
    count.unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn case_09_a_server_stores_and_stops_while_its_log_is_closed() {
    let database = Database::sqlite();
    let secret = token(&database, "default", &Scope::ALL, None).await;
    let (mut server, log) = Server::spawn_unread(serve(&database, &[], &[]), secret);
    drop(log);
    store_all(&server, 0..200).await;
    assert_eq!(server.client().get("/livez").await.status, 200);
    while lost_lines(&server).await == 0 {}
    server.signal("-TERM");
    assert_eq!(server.wait(), Some(0));
    assert_eq!(database.ids().await.len(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn case_09_a_server_stores_while_nobody_reads_its_log_and_says_what_it_lost() {
    let database = Database::sqlite();
    let secret = token(&database, "default", &Scope::ALL, None).await;
    let (server, mut log) =
        Server::spawn_unread(serve(&database, &[], &[("RUST_LOG", "trace")]), secret);
    let mut stored = 0;
    while lost_lines(&server).await == 0 {
        store_all(&server, stored..stored + 100).await;
        stored += 100;
        assert!(stored < 50_000, "the queue is bounded");
    }
    let found = log.find(|line| line.as_ref().unwrap().contains("log lines were lost"));
    assert!(found.is_some());
    drop(server);
    assert_eq!(database.ids().await.len(), stored);
}

#[tokio::test(flavor = "multi_thread")]
async fn case_09_a_stop_waits_a_second_for_a_log_that_nobody_reads() {
    let database = Database::sqlite();
    let secret = token(&database, "default", &Scope::ALL, None).await;
    let (mut server, log) = Server::spawn_unread(serve(&database, &[], &[]), secret);
    store_all(&server, 0..1000).await;
    server.signal("-TERM");
    assert_eq!(server.wait(), Some(0));
    drop(log);
}

on_both_databases!(
    secrets_appear_in_no_output_and_no_log,
    async |database: Database| {
        let database = database.migrated();
        let admin = "admin-secret-0123456789abcdef-xyz";
        let (_, made, _) = run(&mut command(
            &database,
            &[
                "token", "create", "--client", "made", "--scope", "report", "read",
            ],
        ));
        let made = made.trim().to_owned();
        let mut server = Server::start_in(
            &database,
            &["--log-format", "json"],
            &[
                ("BILLABLES_ADMIN_TOKEN", admin),
                ("RUST_LOG", "trace"),
                ("PGPASSWORD", "pg-secret-word"),
            ],
        )
        .await;
        let secrets = [
            admin.to_owned(),
            made.clone(),
            server.secret().to_owned(),
            "pg-secret-word".to_owned(),
            "bil_unknown-secret".to_owned(),
        ];
        let mut said = String::new();
        for secret in &secrets {
            let client = server.client_of(secret);
            let basic = client
                .bare(Method::POST, "/billables")
                .basic_auth("anyone", Some(secret))
                .body("{\"sessionId\":\"S\"}");
            for request in [
                client
                    .post("/billables")
                    .json(&json!({"sessionId": "S", "callSid": "CA1"})),
                client.post("/billables").body("{"),
                client.request(Method::GET, "/metrics"),
                client.request(Method::GET, "/nope"),
                client.request(Method::PUT, "/billables"),
                client.bare(
                    Method::GET,
                    &format!("/billables?access_token={secret}&format=xml"),
                ),
                basic,
            ] {
                let reply = send(request).await;
                said.push_str(&format!("{:?} {}", reply.headers, reply.body));
            }
        }
        // In the wrong place. The reply may repeat what was sent, to who sent it.
        for secret in secrets.iter().filter(|secret| **secret != "pg-secret-word") {
            let client = server.client();
            for path in [
                "/billables?",
                "/billables?format=",
                "/docs/",
                "/types/",
                "/billables/",
            ] {
                client.get(&format!("{path}{secret}")).await;
            }
        }
        said.push_str(&server.client().get("/refusals").await.body);
        // Adds the arguments that other users of the machine can see.
        let id = server.id().to_string();
        let ps = std::process::Command::new("ps")
            .args(["-ww", "-o", "args=", "-p", &id])
            .output()
            .unwrap();
        said.push_str(std::str::from_utf8(&ps.stdout).unwrap());
        let (_, listed, _) = run(&mut command(&database, &["token", "list", "--json"]));
        said.push_str(&listed);
        let (_, listed, _) = run(&mut command(&database, &["token", "list"]));
        said.push_str(&listed);
        for arguments in [
            &["token", "revoke", &made][..],
            &["token", "rotate", &made],
            &["--max-queue", &made],
            &["migrate", &made, "x"],
        ] {
            // A command may repeat its arguments in an error message, so this output is not
            // checked.
            assert_eq!(run(&mut command(&database, arguments)).0, 2);
        }
        let store = billables::store::Store::open(database.url(), 1)
            .await
            .unwrap();
        let tokens = store.tokens_list().await.unwrap();
        said.push_str(&format!(
            "{store:?} {tokens:?} {:?}",
            billables::token::Secret::new(made.clone())
        ));
        store.close().await;
        server.signal("-TERM");
        assert_eq!(server.wait(), Some(0));
        said.push_str(&server.log());
        assert!(said.contains("answered") && said.contains("--log-format"));
        for secret in &secrets {
            assert!(!said.contains(secret.as_str()), "{secret}");
        }
    }
);

#[test]
fn a_password_is_refused_as_an_argument_and_appears_in_no_message() {
    let database = Database::sqlite();
    let url = "postgres://billables:hush-hush@127.0.0.1:1/billables";
    for arguments in [
        &["--database-url", url][..],
        &["copy", "sqlite://a.db", url],
        &[
            "token",
            "list",
            "--database-url=postgres://h/d?user=u&password=hush-hush",
        ],
    ] {
        let (code, output, errors) = run(&mut command(&database, arguments));
        assert_eq!((code, &*output), (2, ""), "{errors}");
        assert!(errors.contains("DATABASE_URL") && !errors.contains("hush"));
    }
    for (url, expected) in [(url, 1), ("postgres://u:hush-hush@h:port/d", 2)] {
        let mut from_environment = command(&database, &["token", "list"]);
        let (code, _, errors) = run(from_environment
            .env("DATABASE_URL", url)
            .env("RUST_LOG", "trace"));
        assert_eq!(code, expected, "{errors}");
        assert!(!errors.contains("hush"), "{errors}");
    }
    let arguments = billables::config::DatabaseArgs {
        database_url: url.to_owned(),
    };
    assert!(!format!("{arguments:?}").contains("hush"));
}
