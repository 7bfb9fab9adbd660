//! How responses are written: negotiation, `Prefer`, request ids, the shape of errors.

use reqwest::Method;
use serde_json::json;

use crate::servicestack::{ID, REPORT};
use crate::support::client::send;
use crate::support::{Database, Server, on_both_databases};

on_both_databases!(
    the_prefer_header_overrides_the_default_response_body,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        let post = async |path: &str, preference: &'static str, body: &'static str| {
            send(client.post(path).header("Prefer", preference).body(body)).await
        };
        let minimal = post("/billables", "return=minimal", REPORT).await;
        assert_eq!(
            (
                minimal.status,
                &*minimal.body,
                minimal.header("preference-applied")
            ),
            (204, "", Some("return=minimal"))
        );
        assert_eq!(
            minimal.header("location"),
            Some(&*format!("/billables/{ID}"))
        );
        let whole = post(
            "/api/NewBillable",
            "respond-async, return=representation",
            REPORT,
        )
        .await;
        assert_eq!(
            (
                whole.status,
                whole.json()["id"].as_str(),
                whole.header("preference-applied")
            ),
            (200, Some(ID), Some("return=representation"))
        );
        assert_eq!(whole.header("idempotent-replayed"), Some("true"));
        let batch = "[{\"sessionId\":\"S1\",\"callSid\":\"CA1\"},{\"sessionId\":\"S1\",\"callSid\":\"CA2\"}]";
        let whole = post("/json/reply/NewBillable[]", "return=representation", batch).await;
        assert_eq!(
            (
                whole.status,
                whole.json()[0]["id"].as_str(),
                &whole.json()[1]["replayed"]
            ),
            (201, Some(ID), &json!(false))
        );
        assert_eq!(whole.header("x-autobatch-completed"), Some("2"));
        for path in ["/billables", "/api/NewBillable[]"] {
            let minimal = post(path, "return=minimal", batch).await;
            assert_eq!((minimal.status, &*minimal.body), (204, ""), "{path}");
        }
        let unknown = post("/billables", "return=everything", REPORT).await;
        assert_eq!(
            (unknown.status, unknown.header("preference-applied")),
            (200, None)
        );
    }
);

on_both_databases!(
    a_billable_is_shown_in_jsv_and_csv,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        let at = "2026-03-01T08:30:00.000000Z";
        let report =
            json!({"accountId": "a,b", "customerId": "c", "callSid": "CA1", "occurredAt": at});
        let first = client.report(&report).await;
        let (id, recorded_at) = (
            first.id(),
            first.json()["recordedAt"].as_str().unwrap().to_owned(),
        );
        let jsv = send(client.post("/billables.jsv").json(&report)).await;
        assert_eq!(jsv.header("content-type"), Some("application/jsv"));
        assert_eq!(
            jsv.body,
            format!(
                "{{id:{id},accountId:\"a,b\",customerId:c,callSid:CA1,state:billable,billedAccountId:\"a,b\",billedCustomerId:c,occurredAt:\"{at}\",recordedAt:\"{recorded_at}\"}}"
            )
        );
        let csv = send(
            client
                .request(Method::GET, first.header("location").unwrap())
                .header("Accept", "text/csv"),
        )
        .await;
        assert_eq!(
            (
                csv.header("content-type"),
                csv.header("content-disposition")
            ),
            (
                Some("text/csv"),
                Some("attachment; filename=\"billables.csv\"")
            )
        );
        assert_eq!(
            csv.body,
            format!(
                "Id,AccountId,CustomerId,SessionId,CallSid,State,BilledAccountId,BilledCustomerId,OccurredAt,RecordedAt,VoidReason,Client,IdempotencyKey,AttributedAt,VoidedAt,VoidedBy\r\n{id},\"a,b\",c,,CA1,billable,\"a,b\",c,{at},{recorded_at},,default,,,,\r\n"
            )
        );
        let operation = send(client.post("/api/NewBillable.csv").body("SessionId\nS\n")).await;
        assert_eq!(
            (operation.status, operation.header("content-disposition")),
            (204, Some("attachment; filename=\"NewBillable.csv\""))
        );
    }
);

on_both_databases!(
    an_error_is_problem_details_when_accept_asks_for_it,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        let post = async |path: &str, accept: &'static str| {
            send(client.post(path).header("Accept", accept).body("{}")).await
        };
        let reply = post("/billables", "application/json, application/problem+json").await;
        assert_eq!(
            (reply.status, reply.header("content-type")),
            (400, Some("application/problem+json"))
        );
        let problem = reply.json();
        assert_eq!(
            (&problem["type"], &problem["title"], &problem["status"]),
            (&json!("about:blank"), &json!("Bad Request"), &json!(400))
        );
        assert_eq!(problem["detail"], problem["responseStatus"]["message"]);
        assert_eq!(
            problem["responseStatus"]["errors"][0]["fieldName"],
            json!("SessionId")
        );
        assert_eq!(
            post("/billables.xml", "application/problem+json")
                .await
                .header("content-type"),
            Some("application/xml")
        );
        assert_eq!(
            post("/nope", "application/problem+json")
                .await
                .header("content-type"),
            Some("application/problem+json")
        );
        let success = send(
            client
                .post("/billables")
                .header("Accept", "application/problem+json")
                .body(REPORT),
        )
        .await;
        assert_eq!(
            (success.status, success.header("content-type")),
            (201, Some("application/json; charset=utf-8"))
        );
    }
);

on_both_databases!(
    the_suffix_takes_precedence_over_the_format_parameter_and_that_over_accept,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        let report = json!({"sessionId": "S1", "callSid": "CA1"});
        let cases = [
            ("/billables", None, "application/json; charset=utf-8"),
            ("/billables", Some("*/*"), "application/json; charset=utf-8"),
            ("/billables", Some("application/xml"), "application/xml"),
            ("/billables", Some("text/xml"), "application/xml"),
            (
                "/billables",
                Some("application/json;q=0.5, application/xml"),
                "application/xml",
            ),
            (
                "/billables",
                Some("text/html"),
                "application/json; charset=utf-8",
            ),
            (
                "/billables?format=xml",
                Some("application/json"),
                "application/xml",
            ),
            ("/billables?Format=XML", None, "application/xml"),
            (
                "/billables?format=other",
                Some("application/xml"),
                "application/xml",
            ),
            (
                "/billables.xml",
                Some("application/json"),
                "application/xml",
            ),
            (
                "/billables.json?format=xml",
                Some("application/xml"),
                "application/json; charset=utf-8",
            ),
        ];
        for (path, accept, expected) in cases {
            // The format is the same for a result and for an error.
            for (report, statuses) in [(&report, [200, 201]), (&json!({}), [400, 400])] {
                let mut request = client.post(path).json(report);
                if let Some(accept) = accept {
                    request = request.header("Accept", accept);
                }
                let reply = send(request).await;
                assert!(statuses.contains(&reply.status), "{reply:?}");
                assert_eq!(
                    reply.header("content-type"),
                    Some(expected),
                    "{path} {accept:?}"
                );
            }
        }
        let mirrored = send(
            client
                .post("/billables")
                .header("Content-Type", "application/xml")
                .body("<NewBillable"),
        )
        .await;
        assert_eq!(
            (mirrored.status, mirrored.header("content-type")),
            (400, Some("application/xml"))
        );
    }
);

on_both_databases!(
    routing_errors_have_the_error_body_in_the_requested_format,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        let cases = [
            (Method::GET, "/nothing", 404, "NotFound"),
            (Method::POST, "/billable", 404, "NotFound"),
            (Method::POST, "/billables.XML", 404, "NotFound"),
            (Method::POST, "/billables.xml/", 404, "NotFound"),
            (Method::POST, "/billables.other", 404, "NotFound"),
            (Method::DELETE, "/billables", 405, "MethodNotAllowed"),
            (Method::OPTIONS, "/billables", 405, "MethodNotAllowed"),
            (Method::PATCH, "/livez", 405, "MethodNotAllowed"),
        ];
        for (method, path, status, code) in cases {
            for (accept, content_type) in [
                ("application/json", "application/json; charset=utf-8"),
                ("application/xml", "application/xml"),
            ] {
                let reply = send(
                    client
                        .request(method.clone(), path)
                        .header("Accept", accept),
                )
                .await;
                assert_eq!(
                    (reply.status, &*reply.error_code()),
                    (status, code),
                    "{method} {path}"
                );
                assert_eq!(reply.header("content-type"), Some(content_type));
                assert_eq!(reply.header("allow").is_some(), status == 405);
            }
        }
    }
);

on_both_databases!(
    a_request_id_is_echoed_only_if_it_is_valid,
    async |database: Database| {
        let server = Server::start(&database).await;
        let with = async |id: &str| {
            let reply = send(
                server
                    .client()
                    .request(Method::GET, "/livez")
                    .header("X-Request-Id", id),
            )
            .await;
            reply.header("x-request-id").unwrap().to_owned()
        };
        let longest = "x".repeat(64);
        for id in ["a", "A.b_c-9", &longest] {
            assert_eq!(with(id).await, id);
        }
        for id in ["", "a b", "a\"b", "é", &"x".repeat(65)] {
            assert_ne!(with(id).await, id);
        }
    }
);
