//! `POST /billables/{id}/void`.

use reqwest::Method;
use serde_json::json;

use crate::support::client::send;
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
