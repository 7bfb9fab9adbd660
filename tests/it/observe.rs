//! What an operator sees: metrics, lines in the log; and what nobody may see.

use std::collections::HashMap;

use billables::token::Scope;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::client::send;
use crate::support::raw::Raw;
use crate::support::server::{command, run, token};
use crate::support::{Database, Server, on_both_databases};

/// Every sample of a text of metrics, by name and labels.
fn samples(text: &str) -> HashMap<&str, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name, value.parse().unwrap())
        })
        .collect()
}

async fn metrics(server: &Server) -> String {
    let reply = server.client().get("/metrics").await;
    assert_eq!(
        (reply.status, reply.header("content-type")),
        (
            200,
            Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
        ),
        "{}",
        reply.body
    );
    reply.body
}

on_both_databases!(metrics_count_what_happened, async |database: Database| {
    let server = Server::start(&database).await;
    let client = server.client();
    let call = json!({"sessionId": "S", "callSid": "CA1"});
    assert_eq!(client.report(&call).await.status, 201);
    assert_eq!(client.report(&call).await.status, 200);
    assert_eq!(
        client
            .report(&json!({"sessionId": "S", "occurredAt": "2026-03-01T08:30:00Z"}))
            .await
            .status,
        201
    );
    assert_eq!(client.report_keyed("k", &call).await.status, 201);
    assert_eq!(
        client
            .report_keyed("k", &json!({"sessionId": "T"}))
            .await
            .status,
        422
    );
    assert_eq!(client.report(&json!({})).await.status, 400);
    assert_eq!(send(client.post("/xml/reply/NewBillable").body("<NewBillable xmlns=\"http://schemas.datacontract.org/2004/07/Voice.Api.Billing\"><SessionId>S</SessionId></NewBillable>")).await.status, 204);
    assert_eq!(
        client
            .get("/billables/8cdc9064-86bb-8aa7-94dd-3ddcc3a8189f")
            .await
            .status,
        404
    );
    assert_eq!(client.get("/no/such/path").await.status, 404);
    assert_eq!(
        send(client.request(Method::DELETE, "/billables"))
            .await
            .status,
        405
    );
    assert_eq!(
        send(client.bare(Method::POST, "/billables")).await.status,
        401
    );
    let text = metrics(&server).await;
    let found = samples(&text);
    for (sample, value) in [
        (
            r#"billables_http_requests_total{route="/billables",method="POST",status="201",outcome="stored"}"#,
            3.0,
        ),
        (
            r#"billables_http_requests_total{route="/billables",method="POST",status="200",outcome="replayed"}"#,
            1.0,
        ),
        (
            r#"billables_http_requests_total{route="/billables",method="POST",status="422",outcome="IdempotencyConflict"}"#,
            1.0,
        ),
        (
            r#"billables_http_requests_total{route="/billables",method="POST",status="400",outcome="NotEmpty"}"#,
            1.0,
        ),
        (
            r#"billables_http_requests_total{route="/billables",method="POST",status="401",outcome="Unauthorized"}"#,
            1.0,
        ),
        (
            r#"billables_http_requests_total{route="/billables",method="other",status="405",outcome="MethodNotAllowed"}"#,
            1.0,
        ),
        (
            r#"billables_http_requests_total{route="/api/NewBillable",method="POST",status="204",outcome="stored"}"#,
            1.0,
        ),
        (
            r#"billables_http_requests_total{route="/billables/{id}",method="GET",status="404",outcome="NotFound"}"#,
            1.0,
        ),
        (
            r#"billables_http_requests_total{route="other",method="GET",status="404",outcome="NotFound"}"#,
            1.0,
        ),
        (
            r#"billables_http_request_duration_seconds_count{route="/api/NewBillable"}"#,
            1.0,
        ),
        (r#"billables_http_requests_in_flight{kind="report"}"#, 0.0),
        (r#"billables_http_requests_limit{kind="report"}"#, 512.0),
        (
            r#"billables_reports_total{identity="call",outcome="stored"}"#,
            1.0,
        ),
        (
            r#"billables_reports_total{identity="call",outcome="replayed"}"#,
            1.0,
        ),
        (
            r#"billables_reports_total{identity="key",outcome="stored"}"#,
            1.0,
        ),
        (
            r#"billables_reports_total{identity="key",outcome="conflict"}"#,
            1.0,
        ),
        (
            r#"billables_reports_total{identity="none",outcome="stored"}"#,
            2.0,
        ),
        ("billables_commit_entries_count", 6.0),
        ("billables_commit_entries_sum", 6.0),
        ("billables_commit_duration_seconds_count", 6.0),
        ("billables_commit_failures_total", 0.0),
        (r#"billables_connections_limit{address="public"}"#, 4096.0),
        ("billables_queue_jobs", 0.0),
        ("billables_queue_limit_jobs", 10_000.0),
        (r#"billables_request_bytes{part="small"}"#, 0.0),
        (r#"billables_pool_connections_limit{pool="read"}"#, 8.0),
        (r#"billables_pool_connections_limit{pool="control"}"#, 2.0),
        (
            &format!(
                "billables_build_info{{version=\"{}\"}}",
                env!("CARGO_PKG_VERSION")
            ),
            1.0,
        ),
    ] {
        assert_eq!(found.get(sample), Some(&value), "{sample}\n{text}");
    }
    assert!(found[r#"billables_connections{address="public"}"#] >= 1.0);
    assert!(found["billables_commit_duration_seconds_sum"] > 0.0);
    assert!(found["billables_tokens_age_seconds"] < 5.0);
    assert!(found["process_resident_memory_bytes"] > 1e6);
    assert!(found["process_start_time_seconds"] > 1.7e9);
    assert!(
        found["process_open_fds"] > 5.0 && found["process_max_fds"] >= found["process_open_fds"]
    );
    assert!(text.ends_with("# EOF\n"));
    // Four without a pair, of which the oldest is of March; seen once the totals are rolled.
    let seen = async {
        loop {
            let reply = client.get("/metrics").await;
            // A database that stalls for three seconds leaves the tokens too old to rely on,
            // which passes.
            assert!(
                [200, 503].contains(&reply.status),
                "{reply:?}\n{}",
                server.log()
            );
            let found = if reply.status == 200 {
                samples(&reply.body)
            } else {
                HashMap::new()
            };
            let is = |name: &str, value| found.get(name) == Some(&value);
            if is("billables_unattributed_billables", 4.0)
                && is("billables_roller_lag_entries", 0.0)
            {
                break (
                    found["billables_unattributed_oldest_age_seconds"],
                    found["billables_state_age_seconds"],
                );
            }
            // Asked without a pause, for seconds, the server has no time for anything else.
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    let (age, read) = tokio::time::timeout(std::time::Duration::from_secs(60), seen)
        .await
        .expect("it is seen");
    let expected = jiff::Timestamp::now().as_second()
        - "2026-03-01T08:30:00Z"
            .parse::<jiff::Timestamp>()
            .unwrap()
            .as_second();
    assert!(
        (age - f64::from(i32::try_from(expected).unwrap())).abs() < 60.0,
        "{age} {expected}"
    );
    assert!(read < 60.0);
});

on_both_databases!(
    metrics_are_for_whoever_may_read_everything,
    async |database: Database| {
        let limited = token(&database, "limited", &Scope::ALL, Some(&["a"])).await;
        let reporter = token(&database, "reporter", &[Scope::Report], None).await;
        let server = Server::start(&database).await;
        for secret in [limited, reporter] {
            let reply = server.client_of(&secret).get("/metrics").await;
            assert_eq!((reply.status, &*reply.error_code()), (403, "Forbidden"));
        }
        assert_eq!(
            send(server.client().bare(Method::GET, "/metrics"))
                .await
                .status,
            401
        );
    }
);

on_both_databases!(
    a_request_is_one_line_of_json_that_says_whose_it_was_and_what_became_of_it,
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
            .get("/Billables/8cdc9064-86bb-8aa7-94dd-3ddcc3a8189f")
            .await;
        let stranger = send(
            client
                .bare(Method::GET, "/log?after=x")
                .header("traceparent", "00-bad"),
        )
        .await;
        server
            .until_logged(stranger.header("x-request-id").unwrap())
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
        let stranger = line(stranger.header("x-request-id").unwrap());
        assert_eq!(
            (
                &stranger["client"],
                &stranger["outcome"],
                &stranger["trace_id"]
            ),
            (&Value::Null, &json!("Unauthorized"), &Value::Null)
        );
    }
);

on_both_databases!(
    a_path_writes_nothing_into_the_log_but_letters,
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

on_both_databases!(
    secrets_are_nowhere_to_be_seen,
    async |database: Database| {
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
        // Everything a user of the same machine can see of the process.
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
            // What is typed may be repeated to whoever typed it, but not by a server.
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
fn a_password_is_no_argument_and_in_no_message() {
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
