//! `GET /billables`: pages and their snapshot, filters, and what a token may see.

use billables::token::Scope;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::client::send;
use crate::support::server::token;
use crate::support::{Client, Database, Server, on_both_databases};

pub(crate) async fn report_calls(client: &Client, calls: std::ops::Range<usize>) {
    for calls in calls.collect::<Vec<_>>().chunks(5_000) {
        let batch: Vec<_> = calls
            .iter()
            .map(
                |call| json!({"accountId": "a", "customerId": "c", "callSid": format!("CA{call}")}),
            )
            .collect();
        let reply = send(
            client
                .post("/billables")
                .header("prefer", "return=minimal")
                .json(&batch),
        )
        .await;
        assert_eq!(reply.status, 204);
    }
}

pub(crate) fn ids(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().unwrap().iter();
    items
        .map(|item| item["id"].as_str().unwrap().to_owned())
        .collect()
}

on_both_databases!(
    the_first_page_fixes_the_snapshot_of_all_pages,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        report_calls(&client, 0..7).await;
        let first = client.get("/billables?limit=3").await.json();
        let all = ids(&client.get("/billables").await.json());
        assert_eq!(ids(&first), all[..3]);

        // Later entries are on no further page, and later changes are not visible.
        report_calls(&client, 7..9).await;
        let late = json!({"accountId": "a", "customerId": "c", "callSid": "late", "occurredAt": "2020-01-01T00:00:00Z"});
        client.report(&late).await;
        send(client.post(&format!("/billables/{}/void", all[4]))).await;
        let cursor = first["nextCursor"].as_str().unwrap();
        let second = client
            .get(&format!("/billables?limit=3&cursor={cursor}"))
            .await
            .json();
        assert_eq!(ids(&second), all[3..6]);
        assert_eq!(second["items"][1]["state"], "billable");
        let cursor = second["nextCursor"].as_str().unwrap();
        let third = client
            .get(&format!("/billables?limit=3&cursor={cursor}"))
            .await
            .json();
        assert_eq!(
            (ids(&third), third.get("nextCursor")),
            (all[6..].to_vec(), None)
        );
        // An export that continues from a cursor has the same snapshot.
        let rest = client
            .get(&format!("/billables?format=ndjson&cursor={cursor}"))
            .await;
        assert_eq!(rest.body.lines().count(), 1);
        assert_eq!(
            client
                .get("/billables?format=ndjson")
                .await
                .body
                .lines()
                .count(),
            10
        );
    }
);

on_both_databases!(
    a_page_is_written_in_every_format,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        client
            .report(&json!({"accountId": "a", "customerId": "=c", "callSid": "CA1"}))
            .await;
        let xml = client.get("/billables.xml").await;
        assert_eq!(xml.header("content-type"), Some("application/xml"));
        assert!(xml.body.contains(concat!(
            "<ListOfBillable xmlns:i=\"http://www.w3.org/2001/XMLSchema-instance\" ",
            "xmlns=\"http://schemas.datacontract.org/2004/07/Voice.Api.Billing\"><AsOf>"
        )));
        assert!(
            xml.body
                .contains("</AsOf><Items><Billable><AccountId>a</AccountId>")
        );
        assert!(
            xml.body
                .ends_with("</Billable></Items><NextCursor i:nil=\"true\" /></ListOfBillable>")
        );
        let jsv = client.get("/billables?format=jsv").await;
        assert!(
            jsv.body.starts_with("{items:[{id:") && jsv.body.contains("customerId:=c"),
            "{}",
            jsv.body
        );
        let csv = client.get("/billables.csv").await;
        assert_eq!(
            csv.header("content-disposition"),
            Some("attachment; filename=\"billables.csv\"")
        );
        assert!(csv.body.starts_with("Id,AccountId,CustomerId,SessionId,CallSid,State,BilledAccountId,BilledCustomerId,OccurredAt,RecordedAt,VoidReason\r\n"));
        assert!(csv.body.contains(",a,'=c,,CA1,billable,a,'=c,"));
        let lines = send(
            client
                .request(Method::GET, "/billables")
                .header("accept", "application/x-ndjson"),
        )
        .await;
        assert_eq!(lines.header("content-type"), Some("application/x-ndjson"));
        assert_eq!(
            lines.header("content-disposition"),
            Some("attachment; filename=\"billables.ndjson\"")
        );
        assert_eq!(
            serde_json::from_str::<Value>(&lines.body).unwrap()["callSid"],
            "CA1"
        );
        let none = client.get("/billables.csv?callSid=none").await;
        assert_eq!(none.body.lines().count(), 1, "only the header row");
    }
);

on_both_databases!(
    invalid_parameters_and_cursors_are_refused,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        for (query, field, code) in [
            ("limit=0", "Limit", "Predicate"),
            ("limit=1001", "Limit", "Predicate"),
            ("limit=x", "Limit", "Predicate"),
            ("state=Billable", "State", "Predicate"),
            ("from=2026-03-01", "From", "Predicate"),
            ("to=now", "To", "Predicate"),
            ("accountId=a%00", "AccountId", "InvalidCharacter"),
        ] {
            let refused = client.get(&format!("/billables?{query}")).await;
            assert_eq!(
                (refused.status, refused.field_errors()),
                (400, vec![(field.to_owned(), code.to_owned())]),
                "{query}"
            );
        }
        client.report(&json!({"sessionId": "S"})).await;
        client.report(&json!({"sessionId": "S"})).await;
        let page = client.get("/billables?limit=1").await.json();
        let cursor = page["nextCursor"].as_str().unwrap();
        for query in [
            format!("cursor={cursor}x"),
            format!("cursor={cursor}&sessionId=S"),
            "cursor=x".to_owned(),
        ] {
            let refused = client.get(&format!("/billables?limit=1&{query}")).await;
            assert_eq!(
                (refused.status, &*refused.error_code()),
                (400, "InvalidCursor"),
                "{query}"
            );
        }
        let feed = client.get("/log").await.json();
        let feed = feed["nextCursor"].as_str().unwrap();
        assert_eq!(
            client
                .get(&format!("/billables?cursor={feed}"))
                .await
                .status,
            400
        );
        assert_eq!(
            client.get(&format!("/log?after={cursor}")).await.status,
            400
        );
        assert_eq!(
            client.get("/billables?limit=&state=&from=").await.status,
            200
        );
    }
);

on_both_databases!(
    reads_require_the_scope_and_show_only_the_tokens_accounts,
    async |database: Database| {
        let server = Server::start(&database).await;
        server
            .client()
            .report(&json!({"accountId": "a", "customerId": "c", "callSid": "CA1"}))
            .await;
        let reporter = token(&database, "r", &[Scope::Report, Scope::Bill], None).await;
        let limited = token(&database, "l", &Scope::ALL, Some(&["b"])).await;
        drop(server);
        let server = Server::start(&database).await;
        let id = server.client().get("/billables").await.json()["items"][0]["id"]
            .as_str()
            .unwrap()
            .to_owned();
        let (reporter, limited) = (server.client_of(&reporter), server.client_of(&limited));
        for path in [
            "/billables",
            "/billables.csv",
            "/log",
            "/billing?startDate=2026-01-01&endDate=2026-01-01",
            "/sessions/S",
        ] {
            let refused = reporter.get(path).await;
            assert_eq!(
                (refused.status, &*refused.error_code()),
                (403, "Forbidden"),
                "{path}"
            );
        }
        assert_eq!(
            send(reporter.post("/billables/check").json(&json!({})))
                .await
                .status,
            403
        );
        // Billables of another account are hidden, and a filter for that account is refused.
        assert_eq!(
            limited.get("/billables?callSid=CA1").await.json()["items"],
            json!([])
        );
        assert_eq!(limited.get("/billables.csv").await.body.lines().count(), 1);
        assert_eq!(limited.get("/log").await.json()["items"], json!([]));
        assert_eq!(limited.get("/billables?accountId=a").await.status, 403);
        assert_eq!(
            limited
                .get("/billing?startDate=2026-01-01&endDate=2026-01-01")
                .await
                .status,
            400
        );
        let checked = send(
            limited
                .post("/billables/check")
                .json(&json!({"callSids": ["CA1"], "ids": [id]})),
        )
        .await
        .json();
        assert_eq!(
            [&checked["items"][0]["state"], &checked["items"][1]["state"]],
            ["missing", "missing"]
        );
        let unknown =
            send(limited.post("/billables/d1719a49-b256-8aa7-94dd-3ddcc3a8189f/void")).await;
        let foreign = send(limited.post(&format!("/billables/{id}/void"))).await;
        assert_eq!((foreign.status, foreign.body), (404, unknown.body));
        let body = json!({"accountId": "b", "customerId": "c"});
        assert_eq!(
            send(limited.request(Method::PUT, "/sessions/S").json(&body))
                .await
                .status,
            403
        );
        // The feed of an account-limited token shows no positions in the log.
        limited
            .report(&json!({"accountId": "b", "customerId": "c", "callSid": "CA2"}))
            .await;
        let own = limited.get("/log").await.json();
        assert_eq!(own["items"].as_array().unwrap().len(), 1);
        assert!(
            own["items"][0].get("position").is_none() && own["items"][0].get("partition").is_none()
        );
    }
);

on_both_databases!(
    entries_of_other_accounts_do_not_affect_a_limited_tokens_reads,
    async |database: Database| {
        let server = Server::start(&database).await;
        let reports: Vec<_> = (0..7_000)
            .map(|number| json!({"accountId": "other", "customerId": "c", "sessionId": format!("S{number}"), "callSid": "CA"}))
            .collect();
        for reports in reports.chunks(1_000) {
            let batch = server
                .client()
                .post("/billables")
                .header("prefer", "return=minimal")
                .json(&reports);
            assert_eq!(send(batch).await.status, 204);
        }
        let own =
            json!({"accountId": "own", "customerId": "c", "sessionId": "S1", "callSid": "CA"});
        let own = server.client().report(&own).await.id().to_string();
        let lone = json!({"accountId": "own", "sessionId": "S2", "callSid": "CA"});
        let lone = server.client().report(&lone).await.id().to_string();
        let pair = json!({"accountId": "other", "customerId": "d"});
        assert_eq!(
            send(
                server
                    .client()
                    .request(Method::PUT, "/sessions/S2")
                    .json(&pair)
            )
            .await
            .status,
            200
        );
        let limited = token(&database, "l", &Scope::ALL, Some(&["own", "none"])).await;
        drop(server);
        let server = Server::start(&database).await;
        let client = server.client_of(&limited);
        let both = std::collections::BTreeSet::from([own.clone(), lone.clone()]);
        let seen = |page: &Value| {
            ids(page)
                .into_iter()
                .collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(
            seen(&client.get("/billables?callSid=CA").await.json()),
            both
        );
        assert_eq!(
            seen(&client.get("/billables?sessionId=S2").await.json()),
            [lone.clone()].into()
        );
        assert_eq!(
            seen(&client.get("/billables?accountId=own").await.json()),
            both
        );
        let checked = send(
            client
                .post("/billables/check")
                .json(&json!({"callSids": ["CA"]})),
        )
        .await
        .json();
        let found: Vec<_> = both.iter().cloned().collect();
        assert_eq!(
            checked["items"][0],
            json!({"input": "CA", "state": "present", "ids": found})
        );
        // A token without account limit gets the complete result.
        let all = json!({"callSids": vec!["CA"; 3]});
        let all = send(server.client().post("/billables/check").json(&all)).await;
        assert_eq!(
            all.json()["items"][2]["ids"].as_array().unwrap().len(),
            7_002
        );
        // A body of 50 kB must not cause a response with 70 million ids.
        let again = json!({"callSids": vec!["CA"; 10_000]});
        let again = send(server.client().post("/billables/check").json(&again)).await;
        assert_eq!((again.status, &*again.error_code()), (422, "TooMuch"));
    }
);
