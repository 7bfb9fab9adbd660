//! `GET /metrics`.

use std::collections::HashMap;

use billables::token::Scope;
use reqwest::Method;
use serde_json::json;

use crate::support::client::send;
use crate::support::server::token;
use crate::support::{Database, Server, on_both_databases};

/// Parses a metrics text into its samples, keyed by name and labels.
fn samples(text: &str) -> HashMap<&str, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name, value.parse().unwrap())
        })
        .collect()
}

pub(crate) async fn metrics(server: &Server) -> String {
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
            .get("/billables/d1719a49-b256-8aa7-94dd-3ddcc3a8189f")
            .await
            .status,
        404
    );
    assert_eq!(client.get("/no/such/path").await.status, 404);
    assert_eq!(
        send(client.request(Method::PATCH, "/billables"))
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
                "billables_build_info{{version=\"{}\",time_zones=\"{}\"}}",
                env!("CARGO_PKG_VERSION"),
                billables::calendar::zones_version()
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
    // Four billables are unattributed, the oldest from March. The metrics show them once the totals
    // are up to date.
    let seen = async {
        loop {
            let reply = client.get("/metrics").await;
            // If the database stalls for three seconds, the tokens become too old to rely on and
            // requests get 503 for a while.
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
            // Polling without a pause would leave the server no time for anything else.
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    let (age, read) = tokio::time::timeout(std::time::Duration::from_secs(60), seen)
        .await
        .expect("the metrics show the unattributed billables");
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
    metrics_require_read_access_to_all_accounts,
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
