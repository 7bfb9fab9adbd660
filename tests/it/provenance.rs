//! Who reported and voided a billable, and when: on the billable, in its history, as filters and in the
//! server's log.

use billables::formats::record::PROVENANCE;
use billables::token::Scope;
use reqwest::Method;
use serde_json::{Value, json};

use crate::import_export::{report, void};
use crate::support::client::send;
use crate::support::server::token;
use crate::support::{Database, Server, on_both_databases};

/// A billable as the response to its report shows it.
pub(crate) fn without_provenance(mut billable: Value) -> Value {
    for name in PROVENANCE {
        billable.as_object_mut().unwrap().remove(name);
    }
    billable
}

on_both_databases!(
    who_did_what_to_a_billable_and_when_can_be_found,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        let pbx = token(&database, "pbx", &[Scope::Report], None).await;
        let pbx = server.client_of(&pbx);
        let own = token(&database, "own", &[Scope::Read], Some(&["A"])).await;
        let own = server.client_of(&own);
        let of_session = json!({"accountId": "A", "sessionId": "S", "callSid": "CA1", "occurredAt": "2026-03-01T09:00:00Z"});
        let id = pbx.report_keyed("k-1", &of_session).await.id().to_string();
        assert_eq!(pbx.report(&report("A", "c", "CA2", 1)).await.status, 201);
        assert_eq!(client.report(&report("A", "c", "CA3", 2)).await.status, 201);
        let pair = json!({"accountId": "A", "customerId": "c"});
        let decision = client.request(Method::PUT, "/sessions/S").json(&pair);
        assert_eq!(send(decision).await.status, 200);
        void(&client, &id, "a test").await;

        let billable = client.get(&format!("/billables/{id}")).await.json();
        assert_eq!(billable["client"], "pbx");
        assert_eq!(billable["idempotencyKey"], "k-1");
        assert_eq!(billable["voidedBy"], "default");
        assert!(billable["attributedAt"].is_string() && billable["voidedAt"].is_string());
        let history = client.get(&format!("/billables/{id}/history")).await.json();
        let entries = history["items"].as_array().unwrap();
        let shown: Vec<_> = entries
            .iter()
            .map(|entry| [&entry["kind"], &entry["client"], &entry["recordedAt"]])
            .collect();
        assert_eq!(
            shown,
            [
                [&json!("recorded"), &json!("pbx"), &billable["recordedAt"]],
                [
                    &json!("attributed"),
                    &json!("default"),
                    &billable["attributedAt"]
                ],
                [&json!("voided"), &json!("default"), &billable["voidedAt"]],
            ]
        );
        assert_eq!(entries[0]["idempotencyKey"], "k-1");
        assert_eq!(entries[2]["idempotencyKey"], Value::Null);
        let feed = client.get("/log?limit=1").await.json();
        assert_eq!(feed["items"][0]["client"], "pbx");

        // A client that is limited to accounts learns nothing about clients.
        let limited = own.get(&format!("/billables/{id}")).await.json();
        for name in PROVENANCE {
            assert_eq!(limited.get(name), None, "{name}");
        }
        let history = own.get(&format!("/billables/{id}/history")).await.json();
        assert_eq!(history["items"].as_array().unwrap().len(), 3);
        assert!(!history.to_string().contains("pbx") && !history.to_string().contains("position"));
        // Without the cursor, which is random.
        let feed = own.get("/log").await.json()["items"].to_string();
        assert!(!feed.contains("pbx"), "{feed}");
        let other = client.report(&report("B", "c", "CA4", 3)).await.id();
        for path in [
            format!("/billables/{other}/history"),
            "/billables/x/history".to_owned(),
        ] {
            assert_eq!(own.get(&path).await.status, 404, "{path}");
        }
        assert_eq!(own.get("/billables?client=pbx").await.status, 403);
        // Its accounts narrow a list as a filter does.
        let narrowed = own
            .get("/billables?recordedFrom=2026-03-01T00:00:00Z")
            .await;
        assert_eq!(narrowed.status, 200, "{}", narrowed.body);

        let found = async |query: &str| {
            let reply = client.get(&format!("/billables?{query}")).await;
            assert_eq!(reply.status, 200, "{query}: {}", reply.body);
            let items = reply.json()["items"].as_array().unwrap().clone();
            let calls = items
                .iter()
                .map(|item| item["callSid"].as_str().unwrap().to_owned());
            calls.collect::<Vec<_>>()
        };
        assert_eq!(found("accountId=A&client=pbx").await, ["CA2", "CA1"]);
        assert_eq!(
            found("startDate=2026-03-01&endDate=2026-03-01&client=default").await,
            ["CA4", "CA3"]
        );
        let recorded = billable["recordedAt"].as_str().unwrap();
        assert_eq!(
            found(&format!("accountId=A&recordedTo={recorded}")).await,
            [""; 0]
        );
        assert_eq!(
            found(&format!("accountId=A&recordedFrom={recorded}"))
                .await
                .len(),
            3
        );
        assert_eq!(
            found("accountId=A&recordedFrom=2999-01-01T00:00:00Z").await,
            [""; 0]
        );
        for (query, field) in [
            ("client=pbx", "Client"),
            ("recordedFrom=2026-03-01T00:00:00Z", "RecordedFrom"),
            (
                "recordedTo=2026-03-01T00:00:00Z&startDate=2026-03-01",
                "RecordedTo",
            ),
            (
                "client=pbx&startDate=2025-01-01&endDate=2026-03-01",
                "Client",
            ),
            ("accountId=A&client=a%20b", "Client"),
        ] {
            let refused = client.get(&format!("/billables?{query}")).await;
            let expected = vec![(field.to_owned(), "Predicate".to_owned())];
            assert_eq!(
                (refused.status, refused.field_errors()),
                (400, expected),
                "{query}"
            );
        }
    }
);

#[tokio::test]
async fn the_log_line_of_a_report_has_the_id_of_its_billable() {
    let database = Database::sqlite();
    let server = Server::start(&database).await;
    let client = server.client();
    let id = client.report(&report("A", "c", "CA1", 0)).await.id();
    let batch = json!([report("A", "c", "CA2", 0), report("A", "c", "CA3", 0)]);
    let reply = send(client.post("/billables").json(&batch)).await;
    assert_eq!(reply.status, 201);
    server
        .until_logged(reply.header("x-request-id").unwrap())
        .await;
    let logged = server.log();
    assert_eq!(
        logged.matches(&format!("billable={id}")).count(),
        1,
        "{logged}"
    );
    assert_eq!(logged.matches(" billable=").count(), 1, "{logged}");
}
