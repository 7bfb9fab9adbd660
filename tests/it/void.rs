//! `POST /billables/{id}/void` and `POST /billables/void`.

use billables::token::Scope;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::client::send;
use crate::support::server::{command, run, token};
use crate::support::{Client, Database, Server, on_both_databases};

pub(crate) const PAIR: (&str, &str) = ("acc", "cus");

pub(crate) fn put(client: &Client, session: &str, pair: (&str, &str)) -> reqwest::RequestBuilder {
    let body = json!({"accountId": pair.0, "customerId": pair.1});
    client
        .request(Method::PUT, &format!("/sessions/{session}"))
        .json(&body)
}

on_both_databases!(
    voiding_again_keeps_the_first_reason_and_an_unknown_id_is_not_found,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        let id = client
            .report(&json!({"sessionId": "S", "callSid": "CA1"}))
            .await
            .id();
        let void = async |body: &str| {
            let request = client
                .post(&format!("/billables/{id}/void"))
                .header("content-type", "application/json");
            send(request.body(body.to_owned())).await
        };
        for body in ["{\"reason\":\"a\\u0000\"}", "{\"reason\":1}", "[]", "{"] {
            assert_eq!(void(body).await.status, 400, "{body}");
        }
        let long = json!({"reason": "x".repeat(257)}).to_string();
        assert_eq!(
            void(&long).await.field_errors(),
            [("Reason".to_owned(), "Length".to_owned())]
        );
        let first = void("{\"reason\":\"a test call\"}").await;
        assert_eq!(
            (first.status, first.header("idempotent-replayed")),
            (200, None)
        );
        let again = void("{\"reason\":\"another\"}").await;
        assert_eq!(
            (again.status, again.header("idempotent-replayed")),
            (200, Some("true"))
        );
        assert_eq!(
            (again.json()["voidReason"].as_str(), again.body),
            (Some("a test call"), first.body)
        );
        // A repeat of the report is recognised, and shows that the billable is voided.
        let replayed = client
            .report(&json!({"sessionId": "S", "callSid": "CA1"}))
            .await;
        assert_eq!(
            (replayed.status, &replayed.json()["state"]),
            (200, &json!("voided"))
        );
        // A voided billable is not attributed.
        assert_eq!(send(put(&client, "S", PAIR)).await.status, 200);
        assert_eq!(
            client
                .get(&format!("/billables/{id}"))
                .await
                .json()
                .get("billedAccountId"),
            None
        );
        for id in ["d1719a49-b256-8aa7-94dd-3ddcc3a8189f", "no-id"] {
            let unknown = send(client.post(&format!("/billables/{id}/void"))).await;
            assert_eq!((unknown.status, &*unknown.error_code()), (404, "NotFound"));
        }
    }
);

on_both_databases!(
    many_billables_are_voided_at_once_each_with_its_outcome,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        let reports: Vec<_> = (0..1201)
            .map(|call| json!({"accountId": if call < 1200 { "a" } else { "b" }, "customerId": "c", "callSid": format!("CA{call}"), "occurredAt": "2026-03-01T08:30:00Z"}))
            .collect();
        let reply = send(client.post("/billables").json(&reports)).await;
        let ids: Vec<_> = reply
            .json()
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["id"].as_str().unwrap().to_owned())
            .collect();
        let secret = token(&database, "own", &[Scope::Bill, Scope::Read], Some(&["a"])).await;
        let limited = server.client_of(&secret);
        let outcomes = |reply: &crate::support::client::Reply| -> Vec<String> {
            assert_eq!(reply.status, 200, "{}", reply.body);
            let items = reply.json()["items"].as_array().unwrap().clone();
            items
                .iter()
                .map(|item| item["outcome"].as_str().unwrap().to_owned())
                .collect()
        };
        // Nothing is done if an item cannot be meant, and all such items are listed.
        let bad = json!({"ids": [ids[0], "x", ids[1], ""], "reason": "a test"});
        let refused = send(client.post("/billables/void").json(&bad)).await;
        assert_eq!((refused.status, &*refused.error_code()), (400, "Predicate"));
        let errors = refused.json()["responseStatus"]["errors"]
            .as_array()
            .unwrap()
            .clone();
        assert_eq!(errors.len(), 2, "{}", refused.body);
        assert_eq!(errors[1]["meta"]["AutoBatchIndex"], "3", "{}", refused.body);
        let csv = format!("Reason,ID\n\"a\u{1}b\",{}\n", ids[0]);
        let refused = send(
            client
                .post("/billables/void")
                .header("content-type", "text/csv")
                .header("accept", "application/json")
                .body(csv),
        )
        .await;
        assert_eq!(
            (refused.status, refused.field_errors()[0].0.as_str()),
            (400, "Reason")
        );
        assert_eq!(
            client.get("/billables?state=voided").await.json()["items"],
            json!([])
        );

        // Another account's billable is missing, as one that does not exist.
        let nobody = "00000000-0000-4000-8000-000000000000";
        let some = json!({"ids": [ids[0], ids[1200], nobody, ids[0]], "reason": "a test"});
        let reply = send(limited.post("/billables/void").json(&some)).await;
        assert_eq!(
            outcomes(&reply),
            ["voided", "missing", "missing", "replayed"]
        );
        let all = json!({"ids": ids, "reason": "another"});
        let reply = send(client.post("/billables/void").json(&all)).await;
        let found = outcomes(&reply);
        assert_eq!(found[0], "replayed");
        assert!(found.len() == 1201 && found[1..].iter().all(|outcome| outcome == "voided"));
        assert_eq!(reply.json()["items"][7]["input"], json!(ids[7]));
        let first = client.get(&format!("/billables/{}", ids[0])).await.json();
        assert_eq!(
            (&first["voidReason"], &first["voidedBy"]),
            (&json!("a test"), &json!("own"))
        );
        let billing = client
            .get("/billing?startDate=2026-03-01&endDate=2026-03-01")
            .await
            .json();
        let counts = |row: &Value| (row["billableCount"].as_i64(), row["voidedCount"].as_i64());
        let rows: Vec<_> = billing["customers"]
            .as_array()
            .unwrap()
            .iter()
            .map(counts)
            .collect();
        assert_eq!(rows, [(Some(0), Some(1200)), (Some(0), Some(1))]);
        // CSV has a reason in each row, and the same request again changes nothing.
        let late = json!({"accountId": "a", "customerId": "c", "callSid": "late"});
        let late = client.report(&late).await.id();
        let csv = format!("id,reason\r\n{late},wrong\r\n{},\r\n", ids[3]);
        for expected in [["voided", "replayed"], ["replayed", "replayed"]] {
            let post = client
                .post("/billables/void")
                .header("content-type", "text/csv");
            let reply = send(post.header("accept", "application/json").body(csv.clone())).await;
            assert_eq!(outcomes(&reply), expected);
        }
        let xml = send(
            client
                .post("/api/VoidBillables?format=xml")
                .json(&json!({"ids": [late.to_string()]})),
        )
        .await;
        assert!(xml.body.contains("<Decided><Input>"), "{}", xml.body);
        let reader = token(&database, "reader", &[Scope::Read], None).await;
        let refused = send(
            server
                .client_of(&reader)
                .post("/billables/void")
                .json(&some),
        )
        .await;
        assert_eq!(refused.status, 403);
        for (body, status) in [("{}", 400), ("{\"ids\":[]}", 400), ("[]", 400)] {
            let post = client
                .post("/billables/void")
                .header("content-type", "application/json");
            assert_eq!(send(post.body(body)).await.status, status, "{body}");
        }
        let many = json!({"ids": vec![nobody; 10_001]});
        assert_eq!(
            send(client.post("/billables/void").json(&many))
                .await
                .status,
            413
        );
        let (code, output, _) = run(&mut command(&database, &["verify"]));
        assert_eq!(code, 0, "{output}");
    }
);
