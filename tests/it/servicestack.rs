//! ServiceStack's routes: every operation by its name, in the format that its URL names.

use reqwest::Method;
use serde_json::json;

use crate::support::client::{Reply, send};
use crate::support::{Database, Server, on_both_databases};

pub(crate) const REPORT: &str = r#"{"sessionId":"S1","callSid":"CA1"}"#;
pub(crate) const ID: &str = "d1719a49-b256-8ead-a1fd-6201c57676cc";

on_both_databases!(
    new_billable_returns_no_body_and_a_location_header,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        let xml = "<NewBillable xmlns=\"http://schemas.datacontract.org/2004/07/Voice.Api.Billing\"><CallSid>CA1</CallSid><SessionId>S1</SessionId></NewBillable>";
        let csv = "SessionId,CallSid\nS1,CA1\n";
        let posts = [
            ("/api/NewBillable", REPORT),
            ("/api/newbillable.json", REPORT),
            ("/json/reply/NewBillable", REPORT),
            ("/JSON/OneWay/NewBillable/", REPORT),
            ("/xml/reply/NewBillable", xml),
            ("/api/NewBillable.xml", xml),
            ("/jsv/oneway/NewBillable", "{SessionId:S1,CallSid:CA1}"),
            ("/csv/reply/NewBillable", csv),
            ("/api/NewBillable.csv", csv),
            ("/api/NewBillable?sessionId=S1&callSid=CA1", ""),
            (
                "/api/NewBillable?callSid=CA1",
                r#"{"sessionId":"S1","callSid":null}"#,
            ),
        ];
        for (number, (path, body)) in posts.into_iter().enumerate() {
            // Content-Type and Accept are ignored.
            let reply = send(
                client
                    .post(path)
                    .header("Content-Type", "application/octet-stream")
                    .header("Accept", "text/html")
                    .body(body),
            )
            .await;
            assert_eq!(
                (reply.status, &*reply.body, reply.header("content-type")),
                (204, "", None),
                "{path}: {reply:?}"
            );
            assert_eq!(
                reply.header("location"),
                Some(&*format!("/billables/{ID}")),
                "{path}"
            );
            assert_eq!(reply.header("billable-identity"), Some("call"));
            assert_eq!(
                reply.header("idempotent-replayed"),
                (number > 0).then_some("true")
            );
        }
        assert_eq!(database.ids().await.len(), 1);
    }
);

on_both_databases!(
    every_operation_responds_the_same_by_name_and_by_path,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        let get = async |path: &str| {
            let reply = client.get(path).await;
            assert_eq!(reply.status, 200, "{path}: {reply:?}");
            reply
        };
        assert_eq!(
            client
                .report(&json!({"sessionId": "S/1", "callSid": "CA1"}))
                .await
                .status,
            201
        );
        let id = client
            .report(&json!({"accountId": "acc", "customerId": "cus", "callSid": "CA2"}))
            .await
            .id();
        for (by_name, path) in [
            (
                format!("/api/GetBillable?ID={id}"),
                format!("/billables/{id}"),
            ),
            (
                format!("/xml/reply/getbillable?id={id}"),
                format!("/billables/{id}?format=xml"),
            ),
            (
                "/api/ListBillables.csv?accountId=acc".to_owned(),
                "/billables.csv?accountId=acc".to_owned(),
            ),
            (
                "/jsv/reply/GetBilling?startDate=2026-01-01&endDate=2026-01-02&accountId=none"
                    .to_owned(),
                "/billing.jsv?startDate=2026-01-01&endDate=2026-01-02&accountId=none".to_owned(),
            ),
        ] {
            let (one, other) = (get(&by_name).await, get(&path).await);
            assert_eq!(one.header("content-type"), other.header("content-type"));
            let cursorless = |reply: &Reply| reply.body.split("asOf").next().unwrap().to_owned();
            assert_eq!(cursorless(&one), cursorless(&other), "{by_name}");
        }
        assert_eq!(
            get("/api/ReadLog?limit=10").await.json()["items"]
                .as_array()
                .unwrap()
                .len(),
            2
        );
        let csv = get("/csv/reply/ReadLog").await;
        assert_eq!(
            csv.header("content-disposition"),
            Some("attachment; filename=\"ReadLog.csv\"")
        );

        // Sends the Content-Type of a JavaScript client and the member names of a .NET client.
        let posted = async |method: Method, path: &str, body: &str| {
            send(
                client
                    .request(method, path)
                    .header("Content-Type", "text/plain")
                    .body(body.to_owned()),
            )
            .await
        };
        let checked = posted(
            Method::POST,
            "/api/CheckBillables",
            r#"{"CallSids":["CA1"]}"#,
        )
        .await;
        assert_eq!(
            (checked.status, &checked.json()["items"][0]["state"]),
            (200, &json!("present"))
        );
        let decided = posted(
            Method::PUT,
            "/json/reply/AttributeSession",
            r#"{"sessionId":"S/1","AccountId":"acc","customerId":"cus"}"#,
        )
        .await;
        assert_eq!(
            (decided.status, &decided.json()["isComplete"]),
            (200, &json!(true)),
            "{decided:?}"
        );
        assert_eq!(
            get("/api/GetSession?sessionId=S%2F1").await.json(),
            decided.json()
        );
        let voided = posted(
            Method::POST,
            "/api/VoidBillable",
            &format!(r#"{{"id":"{id}","Reason":"a test"}}"#),
        )
        .await;
        assert_eq!(
            (voided.status, &voided.json()["voidReason"]),
            (200, &json!("a test"))
        );
        let again = posted(Method::POST, &format!("/api/VoidBillable?id={id}"), "").await;
        assert_eq!(again.header("idempotent-replayed"), Some("true"));

        // A void and an attribution cannot be undone, so query and body must name the same billable
        // or session.
        let other = client
            .report(&json!({"accountId": "acc", "customerId": "cus", "callSid": "CA3"}))
            .await
            .id();
        let conflicting = posted(
            Method::POST,
            &format!("/api/VoidBillable?id={other}"),
            &format!(r#"{{"id":"{id}"}}"#),
        )
        .await;
        assert_eq!(
            (conflicting.status, conflicting.field_errors()),
            (400, vec![("Id".to_owned(), "Predicate".to_owned())])
        );
        let decided = posted(
            Method::PUT,
            "/api/AttributeSession?sessionId=S2",
            r#"{"sessionId":"S3","accountId":"a","customerId":"c"}"#,
        )
        .await;
        assert_eq!(
            decided.field_errors(),
            [("SessionId".to_owned(), "Predicate".to_owned())]
        );
        assert_eq!(
            get(&format!("/api/GetBillable?id={other}")).await.json()["state"],
            "billable"
        );
        // Member names are case-insensitive, and null means absent. A request without a known
        // member is refused; it does not mean an empty list.
        let uppercase = posted(
            Method::POST,
            "/api/VoidBillable",
            &format!(r#"{{"ID":"{other}","REASON":"why","Other":[1]}}"#),
        )
        .await;
        assert_eq!(
            (uppercase.status, &uppercase.json()["voidReason"]),
            (200, &json!("why"))
        );
        let checked = posted(
            Method::POST,
            "/billables/check",
            r#"{"callsids":["CA3"],"ids":null}"#,
        )
        .await;
        assert_eq!(
            checked.status, 415,
            "text/plain is not accepted as JSON on this path"
        );
        let checked = send(
            client
                .post("/billables/check")
                .json(&json!({"callsids": ["CA3"], "ids": null})),
        )
        .await;
        assert_eq!(checked.json()["items"][0]["state"], "voided");
        let misspelt = send(
            client
                .post("/billables/check")
                .json(&json!({"calls": ["CA3"]})),
        )
        .await;
        assert_eq!(
            (misspelt.status, misspelt.field_errors()),
            (400, vec![("CallSids".to_owned(), "NotEmpty".to_owned())])
        );

        for (method, path, name) in [
            (Method::GET, "/api/GetBillable", "Id"),
            (Method::POST, "/api/VoidBillable?id=%20", "Id"),
            (Method::POST, "/api/VoidBillable", "Id"),
            (Method::GET, "/api/GetSession?sessionId=", "SessionId"),
        ] {
            let missing = posted(method, path, "{}").await;
            assert_eq!(
                (missing.status, missing.field_errors()),
                (400, vec![(name.to_owned(), "NotEmpty".to_owned())]),
                "{path}"
            );
        }
        let xml = posted(Method::POST, "/xml/reply/VoidBillable", "<VoidBillable/>").await;
        assert_eq!(
            (xml.status, &*xml.error_code()),
            (415, "UnsupportedMediaType")
        );
        let shown = send(
            client
                .post("/xml/reply/VoidBillable")
                .json(&json!({"id": id.to_string()})),
        )
        .await;
        assert_eq!(
            (shown.status, shown.header("content-type")),
            (200, Some("application/xml"))
        );
        for (method, path, allowed) in [
            (Method::POST, "/api/GetBilling", "GET,HEAD"),
            (Method::GET, "/api/VoidBillable", "POST"),
        ] {
            let wrong = posted(method, path, "").await;
            assert_eq!(
                (wrong.status, wrong.header("allow")),
                (405, Some(allowed)),
                "{path}"
            );
        }
        assert_eq!(client.get("/api/GetBilling[]").await.status, 404);
        assert_eq!(client.get("/api/GetMetrics").await.status, 404);
    }
);

on_both_databases!(
    an_operation_returns_errors_in_the_format_of_its_url_regardless_of_accept,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        let cases = [
            (
                "/api/NewBillable",
                "application/json; charset=utf-8",
                "\"errorCode\":\"SerializationException\"",
            ),
            (
                "/xml/reply/NewBillable",
                "application/xml",
                "<ErrorCode>SerializationException</ErrorCode>",
            ),
            (
                "/api/NewBillable.jsv",
                "application/jsv",
                "{responseStatus:{errorCode:SerializationException,message:",
            ),
            (
                "/csv/oneway/NewBillable[]",
                "text/csv",
                "ResponseStatus\r\n\"{errorCode:SerializationException,message:",
            ),
            (
                "/json/reply/NewBillable?format=jsv",
                "application/jsv",
                "{responseStatus:",
            ),
        ];
        for (path, content_type, part) in cases {
            let body = if path.contains("csv") {
                "a\nb,c\n"
            } else {
                "?"
            };
            let reply = send(
                client
                    .post(path)
                    .header("Accept", "application/problem+json")
                    .body(body),
            )
            .await;
            assert_eq!(
                (reply.status, reply.header("content-type")),
                (400, Some(content_type)),
                "{path}"
            );
            assert!(reply.body.contains(part), "{path}: {}", reply.body);
            // An error is not saved as a file of rows.
            assert_eq!(reply.header("content-disposition"), None);
        }
        let wrong = send(client.request(Method::GET, "/api/NewBillable[]")).await;
        assert_eq!((wrong.status, wrong.header("allow")), (405, Some("POST")));
        for path in [
            "/api/Nope",
            "/json/reply/Nope",
            "/api/NewBillable/",
            "/html/reply/NewBillable",
            "/api/NewBillable.yaml",
        ] {
            let reply = send(client.post(path).body(REPORT)).await;
            assert_eq!(
                (reply.status, &*reply.error_code()),
                (404, "NotFound"),
                "{path}"
            );
        }
        assert!(database.ids().await.is_empty());
    }
);

on_both_databases!(
    method_overrides_and_jsonp_callbacks_are_ignored,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        // As a parameter, it is one that a resource route does not know.
        for (path, status, of_parameter) in [
            ("/billables?sessionId=S", 200, 400),
            ("/api/NewBillable?sessionId=S", 405, 405),
        ] {
            let get = client
                .request(Method::GET, path)
                .header("X-HTTP-Method-Override", "POST");
            assert_eq!(send(get).await.status, status, "{path}");
            let query = client.request(Method::GET, &format!("{path}&X-Http-Method-Override=POST"));
            assert_eq!(send(query).await.status, of_parameter, "{path}");
        }
        let jsonp = send(client.post("/billables?callback=alert&sessionId=")).await;
        assert_eq!(
            (jsonp.status, jsonp.header("content-type")),
            (400, Some("application/json; charset=utf-8"))
        );
        assert!(jsonp.body.starts_with("{\"responseStatus\""));
        assert!(database.ids().await.is_empty());
        let overridden = client
            .post("/billables")
            .header("X-HTTP-Method-Override", "DELETE")
            .body(REPORT);
        assert_eq!(send(overridden).await.status, 201);
    }
);
