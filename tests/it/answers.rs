//! Formats, headers and the shape of errors.

use reqwest::Method;
use serde_json::json;

use crate::support::client::send;
use crate::support::{Database, Server, on_both_databases};

on_both_databases!(
    suffix_then_format_then_accept_decide_the_format,
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
            // The same for a result and for an error.
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
    every_error_of_the_framework_has_a_response_status,
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
    a_request_id_is_taken_over_only_when_it_is_harmless,
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

on_both_databases!(health_needs_no_token, async |database: Database| {
    let server = Server::start(&database).await;
    for path in ["/livez", "/readyz", "/LIVEZ/"] {
        let reply = send(server.client().bare(Method::GET, path)).await;
        assert_eq!(
            (reply.status, reply.json()),
            (200, json!({"status": "ok"})),
            "{path}"
        );
        let head = send(server.client().bare(Method::HEAD, path)).await;
        assert_eq!((head.status, &*head.body), (200, ""));
    }
});

on_both_databases!(
    a_browser_on_another_site_can_post_nothing,
    async |database: Database| {
        let server = Server::start(&database).await;
        let post = || {
            server
                .client()
                .post("/billables")
                .json(&json!({"sessionId": "S", "callSid": "CA1"}))
        };
        for (name, value) in [
            ("Sec-Fetch-Site", "cross-site"),
            ("Sec-Fetch-Site", "same-site"),
            ("Origin", "https://evil.example"),
        ] {
            let reply = send(post().header(name, value)).await;
            assert_eq!(
                (reply.status, &*reply.error_code()),
                (403, "Forbidden"),
                "{name}: {value}"
            );
        }
        assert!(database.ids().await.is_empty());
        assert_eq!(
            send(post().header("Sec-Fetch-Site", "same-origin"))
                .await
                .status,
            201
        );
        let own = format!("http://{}", server.address());
        assert_eq!(send(post().header("Origin", own)).await.status, 200);
    }
);
