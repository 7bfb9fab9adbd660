//! Invalid requests return the right error and store nothing.

use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use reqwest::Method;
use serde_json::json;

use crate::servicestack::{ID, REPORT};
use crate::support::client::send;
use crate::support::raw::Raw;
use crate::support::server::{command, run};
use crate::support::{Database, Server, on_both_databases};

const MEGABYTE: usize = 1024 * 1024;

on_both_databases!(
    every_broken_rule_is_named_and_nothing_is_stored,
    async |database: Database| {
        let server = Server::start(&database).await;
        let long = "x".repeat(257);
        let hours_from_now = |hours: i64| {
            let now = billables::billable::Timestamp::now();
            now.plus_seconds(hours * 3600).unwrap().to_string()
        };
        let cases = [
            (json!({}), vec![("SessionId", "NotEmpty")]),
            (json!({"callSid": "CA1"}), vec![("SessionId", "NotEmpty")]),
            (
                json!({"sessionId": " \t", "accountId": null, "customerId": ""}),
                vec![("SessionId", "NotEmpty")],
            ),
            (json!({"accountId": "a"}), vec![("CustomerId", "NotEmpty")]),
            (json!({"customerId": "c"}), vec![("AccountId", "NotEmpty")]),
            (json!({"sessionId": long}), vec![("SessionId", "Length")]),
            (
                json!({"sessionId": "a\u{0}b"}),
                vec![("SessionId", "InvalidCharacter")],
            ),
            (
                json!({"sessionId": "S", "callSid": "a\u{1f}"}),
                vec![("CallSid", "InvalidCharacter")],
            ),
            (
                json!({"sessionId": "S", "callSid": "a\u{85}b"}),
                vec![("CallSid", "InvalidCharacter")],
            ),
            (
                json!({"sessionId": "S", "callSid": "a\u{ffff}b"}),
                vec![("CallSid", "InvalidCharacter")],
            ),
            (json!({"sessionId": ["S"]}), vec![("SessionId", "NotAText")]),
            (
                json!({"sessionId": "S", "callSid": {"a": 1}}),
                vec![("CallSid", "NotAText")],
            ),
            (
                json!({"sessionId": "S", "occurredAt": "yesterday"}),
                vec![("OccurredAt", "InvalidInstant")],
            ),
            (
                json!({"sessionId": "S", "occurredAt": 1_772_357_400}),
                vec![("OccurredAt", "InvalidInstant")],
            ),
            (
                json!({"sessionId": "S", "occurredAt": "1979-12-31T23:59:59Z"}),
                vec![("OccurredAt", "InclusiveBetween")],
            ),
            (
                json!({"sessionId": "S", "occurredAt": hours_from_now(48)}),
                vec![("OccurredAt", "InclusiveBetween")],
            ),
            (
                json!({"accountId": "a\n", "callSid": long, "occurredAt": "x"}),
                vec![
                    ("AccountId", "InvalidCharacter"),
                    ("CustomerId", "NotEmpty"),
                    ("CallSid", "Length"),
                    ("OccurredAt", "InvalidInstant"),
                ],
            ),
        ];
        for (report, expected) in cases {
            let reply = server.client().report(&report).await;
            let errors = reply.field_errors();
            let errors: Vec<_> = errors
                .iter()
                .map(|(field, code)| (&**field, &**code))
                .collect();
            assert_eq!((reply.status, &errors), (400, &expected), "{report}");
            assert_eq!(reply.error_code(), expected[0].1);
        }
        assert!(database.ids().await.is_empty());
        assert_eq!(
            server
                .client()
                .report(&json!({"sessionId": "S", "occurredAt": hours_from_now(23)}))
                .await
                .status,
            201
        );
    }
);

on_both_databases!(
    unparsable_input_is_refused_and_nothing_is_stored,
    async |database: Database| {
        let server = Server::start(&database).await;
        let brackets = "[".repeat(100_000);
        let nested = format!("<NewBillable>{}", "<a>".repeat(100_000));
        let bomb = concat!(
            "<?xml version=\"1.0\"?><!DOCTYPE NewBillable [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\">",
            "<!ENTITY c \"&b;&b;&b;&b;&b;&b;&b;&b;\">]><NewBillable><SessionId>&c;</SessionId></NewBillable>"
        );
        let external = "<!DOCTYPE r [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><NewBillable><SessionId>&x;</SessionId></NewBillable>";
        let json: [&[u8]; 6] = [
            b"{\"sessionId\":\"S",
            b"null",
            b" \n",
            b"[{}",
            brackets.as_bytes(),
            b"{\"sessionId\":\"S\"} x",
        ];
        let xml: [&[u8]; 6] = [
            b"<NewBillable",
            b"<NewBillable><SessionId>S</SessionId>",
            nested.as_bytes(),
            bomb.as_bytes(),
            external.as_bytes(),
            b"<NewBillable xmlns='urn:x'><SessionId>S</SessionId></NewBillable>",
        ];
        let cases = json
            .map(|body| ("application/json", body))
            .into_iter()
            .chain(xml.map(|body| ("application/xml", body)));
        for (content_type, body) in cases {
            let request = server
                .client()
                .post("/billables")
                .header("Content-Type", content_type)
                .body(body.to_vec());
            let reply = send(request).await;
            let shown = String::from_utf8_lossy(&body[..body.len().min(60)]);
            assert_eq!(
                (reply.status, &*reply.error_code()),
                (400, "SerializationException"),
                "{shown}"
            );
            assert!(
                reply
                    .header("content-type")
                    .unwrap()
                    .starts_with(content_type),
                "{shown}"
            );
        }
        let queries = [
            "/billables?sessionId=%FF",
            "/billables?sessionId=S&callSid=%C3%28",
        ];
        for query in queries {
            let reply = send(server.client().post(query)).await;
            assert_eq!(
                (reply.status, &*reply.error_code()),
                (400, "SerializationException"),
                "{query}"
            );
        }
        assert!(database.ids().await.is_empty());
    }
);

on_both_databases!(
    a_body_is_decoded_as_the_charset_of_its_label_says,
    async |database: Database| {
        let server = Server::start(&database).await;
        let utf16: Vec<u8> = r#"{"sessionId":"S","callSid":"é"}"#
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        let json = r#"{"sessionId":"S","callSid":"é"}"#.as_bytes();
        let mut ids = Vec::new();
        for (label, body) in [
            ("application/json", json),
            ("application/json; charset=ISO-8859-1", json),
            ("application/json; charset=utf-16", &utf16),
            (
                "application/json; charset=iso-8859-1",
                b"{\"sessionId\":\"S\",\"callSid\":\"\xe9\"}",
            ),
            (
                "text/csv; charset=windows-1252",
                b"sessionId,callSid\nS,\xe9\n",
            ),
            (
                "application/x-www-form-urlencoded; charset=ISO-8859-1",
                b"sessionId=S&callSid=%E9",
            ),
            // What nobody reads does not decide how the fields are read.
            (
                "application/json; charset=iso-8859-1",
                b"{\"sessionId\":\"S\",\"callSid\":\"\xc3\xa9\",\"name\":\"J\xf4\"}",
            ),
        ] {
            let post = server.client().post("/billables").body(body.to_vec());
            let post = post.header("Accept", "application/json");
            let reply = send(post.header("Content-Type", label)).await;
            assert!(matches!(reply.status, 200 | 201), "{label}: {reply:?}");
            ids.push(reply.id());
        }
        ids.dedup();
        assert_eq!(ids.len(), 1, "the same call in every encoding");
        // Routes by name read UTF-8, whatever the label.
        for charset in ["ISO-8859-1", "utf-16", "x"] {
            let post = server
                .client()
                .post("/json/reply/NewBillable?callSid=other");
            let label = format!("application/json; charset={charset}");
            let reply = send(post.header("Content-Type", label).body(json)).await;
            assert_eq!(reply.status, 204, "{charset}: {reply:?}");
        }
        assert_eq!(database.ids().await.len(), 1);
        let empty = server
            .client()
            .post("/billables?sessionId=S&callSid=%C3%A9");
        let empty = empty.header("Content-Type", "text/plain; charset=iso-8859-15");
        assert_eq!(send(empty).await.status, 200);
    }
);

on_both_databases!(
    unsupported_content_types_and_encodings_get_415,
    async |database: Database| {
        let server = Server::start(&database).await;
        for label in [
            "application/octet-stream",
            "text/plain",
            "application/json; charset=utf-32",
            "text/csv; charset=shift_jis",
            "image/png",
            "\u{e9}",
        ] {
            let request = server
                .client()
                .post("/billables")
                .header("Content-Type", label)
                .body(r#"{"sessionId":"S"}"#);
            let reply = send(request).await;
            assert_eq!(
                (reply.status, &*reply.error_code()),
                (415, "UnsupportedMediaType"),
                "{label}"
            );
        }
        for coding in ["br", "gzip, gzip", "\u{e9}"] {
            let packed = server
                .client()
                .post("/billables")
                .header("Content-Encoding", coding)
                .json(&json!({"sessionId": "S"}));
            let reply = send(packed).await;
            assert_eq!(
                (reply.status, reply.header("accept-encoding")),
                (415, Some("gzip, deflate")),
                "{coding}"
            );
        }
        let unlabelled = server.client().post("/billables").body("sessionId=S");
        assert_eq!(send(unlabelled).await.status, 415);
        assert!(database.ids().await.is_empty());
    }
);

on_both_databases!(an_invalid_key_is_refused, async |database: Database| {
    let server = Server::start(&database).await;
    for key in ["", "a b", "\u{e9}", &"k".repeat(256)] {
        let reply = server
            .client()
            .report_keyed(key, &json!({"sessionId": "S"}))
            .await;
        assert_eq!(
            (reply.status, &*reply.error_code()),
            (400, "InvalidIdempotencyKey"),
            "{key}"
        );
    }
    let twice = server
        .client()
        .post("/billables")
        .header("Idempotency-Key", "a")
        .header("Idempotency-Key", "a");
    assert_eq!(
        send(twice.json(&json!({"sessionId": "S"}))).await.status,
        400
    );
    assert!(database.ids().await.is_empty());
    assert_eq!(
        server
            .client()
            .report_keyed(&"k".repeat(255), &json!({"sessionId": "S"}))
            .await
            .status,
        201
    );
});

on_both_databases!(
    bodies_above_8_mib_get_413_with_and_without_a_length,
    async |database: Database| {
        let server = Server::start(&database).await;
        let authorization = authorization(&server);
        for length in [8 * MEGABYTE + 1, 100 * MEGABYTE] {
            let head = format!(
                "POST /billables HTTP/1.1\r\nHost: x\r\n{authorization}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
            );
            let mut connection = Raw::connect(server.address()).await;
            connection.send(head).await;
            let reply = connection
                .flood(&vec![b' '; MEGABYTE], length / MEGABYTE + 1)
                .await;
            assert!(
                reply.starts_with("HTTP/1.1 413 ") && reply.contains("PayloadTooLarge"),
                "{reply}"
            );
        }
        let head = format!(
            "POST /billables HTTP/1.1\r\nHost: x\r\n{authorization}\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        let mut connection = Raw::connect(server.address()).await;
        connection.send(head).await;
        let chunk = [
            format!("{MEGABYTE:x}\r\n").into_bytes(),
            vec![b' '; MEGABYTE],
            b"\r\n".to_vec(),
        ]
        .concat();
        let reply = connection.flood(&chunk, 100).await;
        assert!(
            reply.starts_with("HTTP/1.1 413 ") && reply.contains("PayloadTooLarge"),
            "{reply}"
        );
        assert!(database.ids().await.is_empty());
    }
);

on_both_databases!(
    a_head_of_more_than_64_kib_gets_431_however_it_is_split,
    async |database: Database| {
        let server = Server::start(&database).await;
        for (length, expected) in [
            (64 * 1024, "200"),
            (64 * 1024 + 1, "431"),
            (100 * 1024, "431"),
            (1000 * 1024, "431"),
        ] {
            // One head has a long header field, and the other has a long request target. Status 200
            // means that the whole head was read.
            let ending = "Connection: close\r\n\r\n";
            let long = "GET /livez HTTP/1.1\r\nHost: x\r\nX-Long: ".to_owned();
            let long = format!(
                "{long}{}\r\n{ending}",
                "x".repeat(length - long.len() - 2 - ending.len())
            );
            let path = "GET /livez?".to_owned();
            let rest = format!(" HTTP/1.1\r\nHost: x\r\n{ending}");
            let path = format!(
                "{path}{}{rest}",
                "x".repeat(length - path.len() - rest.len())
            );
            for head in [long, path] {
                assert_eq!(head.len(), length);
                for piece in [length, 32 * 1024, 8 * 1024, 1000] {
                    let mut connection = Raw::connect(server.address()).await;
                    for piece in head.as_bytes().chunks(piece) {
                        connection.try_send(piece).await;
                    }
                    let reply = connection.rest().await;
                    assert!(
                        reply.starts_with(&format!("HTTP/1.1 {expected} ")),
                        "{length} in pieces of {piece}: {reply}"
                    );
                }
            }
        }
    }
);

on_both_databases!(
    a_body_of_the_largest_size_is_read,
    async |database: Database| {
        let server = Server::start(&database).await;
        let mut body = r#"{"sessionId":"S"}"#.to_owned();
        body.push_str(&" ".repeat(8 * MEGABYTE - body.len()));
        assert_eq!(
            send(server.client().post("/billables").body(body))
                .await
                .status,
            201
        );
    }
);

on_both_databases!(
    a_truncated_body_stores_nothing,
    async |database: Database| {
        let server = Server::start(&database).await;
        let body = r#"{"sessionId":"S"}"#;
        for coding in [
            format!("Content-Length: {}", body.len() + 1),
            "Transfer-Encoding: chunked".to_owned(),
        ] {
            let is_chunked = coding.starts_with('T');
            let head = format!(
                "POST /billables HTTP/1.1\r\nHost: x\r\n{}\r\n{coding}\r\n\r\n",
                authorization(&server)
            );
            let mut connection = Raw::connect(server.address()).await;
            connection.send(head).await;
            connection
                .send(if is_chunked {
                    format!("{:x}\r\n{body}\r\n", body.len())
                } else {
                    body.to_owned()
                })
                .await;
            connection.finish().await;
            let reply = connection.rest().await;
            assert!(
                reply.is_empty() || reply.starts_with("HTTP/1.1 400 "),
                "{reply}"
            );
        }
        assert!(database.ids().await.is_empty());
    }
);

on_both_databases!(
    invalid_ids_get_404_and_unknown_methods_get_405,
    async |database: Database| {
        let server = Server::start(&database).await;
        for path in [
            "/billables/not-a-uuid",
            "/billables/00000000-0000-0000-0000-000000000000",
            "/billables/%FF",
            "/billables/a%00b",
        ] {
            let reply = server.client().get(path).await;
            assert_eq!(
                (reply.status, &*reply.error_code()),
                (404, "NotFound"),
                "{path}"
            );
        }
        let deleted = send(server.client().request(Method::DELETE, "/billables")).await;
        assert_eq!(
            (deleted.status, deleted.header("allow")),
            (405, Some("POST,GET,HEAD"))
        );
    }
);

fn authorization(server: &Server) -> String {
    format!("Authorization: Bearer {}", server.secret())
}

on_both_databases!(
    a_form_may_contain_binary_files_next_to_its_fields,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        let field = |name: &str, value: &str| {
            format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
                .into_bytes()
        };
        let file = b"--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f.bin\"\r\nContent-Type: application/octet-stream\r\n\r\n\xff\xd8\0\r\n".to_vec();
        let body = [
            field("sessionId", "S1"),
            file,
            field("CallSid", "CA1"),
            b"--b--\r\n".to_vec(),
        ]
        .concat();
        for (path, status) in [("/billables", 201), ("/api/NewBillable", 204)] {
            let reply = send(
                client
                    .post(path)
                    .header("Content-Type", "multipart/form-data; boundary=b")
                    .body(body.clone()),
            )
            .await;
            assert_eq!(
                (reply.status, reply.header("location")),
                (status, Some(&*format!("/billables/{ID}"))),
                "{path}"
            );
        }
    }
);

on_both_databases!(
    a_compressed_body_is_the_same_report,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        let gzip = |body: &[u8]| {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(body).unwrap();
            encoder.finish().unwrap()
        };
        let zlib = |body: &[u8]| {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(body).unwrap();
            encoder.finish().unwrap()
        };
        let raw_deflate = |body: &[u8]| {
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(body).unwrap();
            encoder.finish().unwrap()
        };
        let post = async |coding: &'static str, body: Vec<u8>| {
            send(
                client
                    .post("/billables")
                    .header("Content-Encoding", coding)
                    .header("Content-Type", "application/json")
                    .body(body),
            )
            .await
        };
        let report = REPORT.as_bytes();
        let (first, second) = report.split_at(10);
        for (coding, body) in [
            ("gzip", gzip(report)),
            ("X-GZip", [gzip(first), gzip(second)].concat()),
            ("deflate", zlib(report)),
            ("deflate", raw_deflate(report)),
            ("identity", report.to_vec()),
            ("", report.to_vec()),
        ] {
            let reply = post(coding, body).await;
            assert!(
                [200, 201].contains(&reply.status) && reply.id().to_string() == ID,
                "{coding}: {reply:?}"
            );
        }
        let whole = gzip(report);
        for (coding, body) in [
            ("gzip", report.to_vec()),
            ("gzip", whole[..whole.len() - 1].to_vec()),
            ("gzip", [&*whole, b"x"].concat()),
            ("deflate", zlib(report)[..20].to_vec()),
            ("deflate", [zlib(report), b"x".to_vec()].concat()),
            ("deflate", raw_deflate(report)[..20].to_vec()),
            ("deflate", gzip(report)),
        ] {
            let reply = post(coding, body).await;
            assert_eq!(
                (reply.status, &*reply.error_code()),
                (400, "SerializationException"),
                "{coding}"
            );
        }
        // 100 MiB of blanks in 100 kB.
        let bomb = gzip(&vec![b' '; 100 * 1024 * 1024]);
        assert!(bomb.len() < 110 * 1024);
        let reply = post("gzip", bomb).await;
        assert_eq!(
            (reply.status, &*reply.error_code()),
            (413, "PayloadTooLarge")
        );
        assert_eq!(post("gzip", Vec::new()).await.error_code(), "NotEmpty");
        assert_eq!(database.ids().await.len(), 1);
    }
);

/// A filter that is misspelt must not return, and bill, what it should leave out.
#[tokio::test]
async fn case_31_a_reading_route_refuses_parameters_that_it_does_not_know() {
    let database = Database::sqlite();
    let server = Server::start(&database).await;
    let client = server.client();
    let days = "startDate=2026-03-01&endDate=2026-03-31";
    for (path, said) in [
        (
            "/billables?account=gamma".to_owned(),
            "there is no parameter account; did you mean accountId?",
        ),
        (
            format!("/billing?account=acc&{days}"),
            "there is no parameter account; did you mean accountId?",
        ),
        (
            format!("/billing?accountId=acc&customer=c&{days}"),
            "there is no parameter customer; did you mean customerId?",
        ),
        (
            "/billables?form=2026-03-01T00:00:00Z".to_owned(),
            "there is no parameter form; did you mean from?",
        ),
        (
            "/log?customerId=a".to_owned(),
            "there is no parameter customerId;",
        ),
        (
            "/billables?format=xlsx".to_owned(),
            "there is no format xlsx; did you mean xml? Known are: json, ",
        ),
        (
            "/billables.csv?callsid2=x".to_owned(),
            "did you mean callSid?",
        ),
        (
            "/sessions/S?x%0a%1b%5b=1".to_owned(),
            "there is no parameter x \\u{1b}[; did you mean format?",
        ),
        (
            "/metrics?name=x".to_owned(),
            "there is no parameter name; this route has no parameters",
        ),
        (
            "/refusals?client=x".to_owned(),
            "there is no parameter client;",
        ),
    ] {
        let reply = client.get(&path).await;
        assert_eq!(
            (reply.status, reply.error_code()),
            (400, "UnknownParameter".to_owned()),
            "{path}: {reply:?}"
        );
        let escaped = said.replace('\\', "\\\\");
        assert!(
            reply.body.contains(said) || reply.body.contains(&escaped),
            "{reply:?}"
        );
    }
    // Letter case, empty parameters, and what ServiceStack's clients and browsers send.
    for path in [
        "/billables?ACCOUNTID=a&Format=JSON&format=",
        "/billables?jsconfig=EmitCamelCaseNames:false&debug&_=1764489600000",
        "/billables?format=json.x",
    ] {
        assert_eq!(client.get(path).await.status, 200, "{path}");
    }
    // Routes by name, and posts, are lenient.
    let by_name = "/api/ListBillables?account=gamma&format=other";
    assert_eq!(client.get(by_name).await.status, 200);
    let report = json!({"sessionId": "S"});
    let posted = client
        .post("/billables?account=x&format=other")
        .json(&report);
    assert_eq!(send(posted).await.status, 201);
    // A request without a valid token learns nothing.
    let unknown = server.client_of("bil_unknown");
    assert_eq!(unknown.get("/billables?account=gamma").await.status, 401);
}

#[tokio::test]
async fn case_17_a_blank_session_is_refused() {
    let database = Database::sqlite();
    let server = Server::start(&database).await;
    let client = server.client();
    let pair = json!({"accountId": "a", "customerId": "c"});
    for session in ["%20", "%09", "%C2%A0%20"] {
        let path = format!("/sessions/{session}");
        let put = send(client.request(Method::PUT, &path).json(&pair)).await;
        assert_eq!((put.status, put.error_code()), (400, "NotEmpty".to_owned()));
        assert_eq!(client.get(&path).await.status, 400);
    }
    let (code, output, errors) = run(&mut command(&database, &["verify"]));
    assert_eq!(code, 0, "{output}{errors}");
}

/// Another server in front of this one could read such a request differently.
#[tokio::test]
async fn case_19_a_request_that_violates_http_is_refused_and_its_connection_is_closed() {
    let database = Database::sqlite();
    let server = Server::start(&database).await;
    let head = |rest: &str| {
        format!(
            "POST /billables HTTP/1.1\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n{rest}",
            server.secret()
        )
    };
    let body = r#"{"sessionId":"S"}"#;
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let length = format!("Content-Length: {}\r\n\r\n{body}", body.len());
    for bad in [
        length.clone(),
        format!("Host: a\r\nHost: a\r\n{length}"),
        format!("Host: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n{chunked}"),
        format!(
            "Host: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n{chunked}"
        ),
        format!("Host: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n{chunked}"),
    ] {
        let mut raw = Raw::connect(server.address()).await;
        raw.send(head(&bad)).await;
        let reply = raw.rest().await;
        assert!(reply.starts_with("HTTP/1.1 400 "), "{bad}: {reply}");
        assert!(
            reply.to_lowercase().contains("connection: close"),
            "{reply}"
        );
    }
    assert!(database.ids().await.is_empty());
    for good in [
        format!("Host: a\r\nConnection: close\r\nTransfer-Encoding: Chunked\r\n\r\n{chunked}"),
        format!("Host:\r\nConnection: close\r\n{length}"),
    ] {
        let mut raw = Raw::connect(server.address()).await;
        raw.send(head(&good)).await;
        let reply = raw.rest().await;
        assert!(reply.starts_with("HTTP/1.1 201 "), "{good}: {reply}");
        // ServiceStack's Java client looks for headers in this letter case.
        assert!(
            reply.contains("\r\nContent-Type: application/json"),
            "{reply}"
        );
    }
}

#[tokio::test]
async fn case_29_what_embedded_clients_add_at_the_end_is_ignored() {
    let database = Database::sqlite();
    let server = Server::start(&database).await;
    for (content_type, body, expected) in [
        (
            "application/json",
            "{\"callSid\":\"1\",\"sessionId\":\"S\"}\0",
            201,
        ),
        (
            "application/json",
            "{\"callSid\":\"1\",\"sessionId\":\"S\"}\0\0",
            200,
        ),
        (
            "application/x-www-form-urlencoded",
            "callSid=1&sessionId=S\r\n",
            200,
        ),
        (
            "application/x-www-form-urlencoded",
            "sessionId=S&callSid=1\n",
            200,
        ),
        ("text/csv", "callSid,sessionId\r\n\r\n1,S\r\n\r\n", 200),
        (
            "application/json",
            "{\"callSid\":\"1\0\",\"sessionId\":\"S\"}",
            400,
        ),
        ("application/json", "{\"callSid\":\"1\"}\0{}", 400),
    ] {
        let report = server.client().post("/billables");
        let reply = send(report.header("Content-Type", content_type).body(body)).await;
        assert_eq!(reply.status, expected, "{body:?}: {reply:?}");
    }
}

on_both_databases!(
    case_30_a_quoted_idempotency_key_is_the_key_itself,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        let report = json!({"sessionId": "S"});
        let first = client.report_keyed("\"8e03\"", &report).await;
        assert_eq!(first.status, 201);
        let again = client.report_keyed("8e03", &report).await;
        assert_eq!((again.status, again.id()), (200, first.id()));
        // An escaped quote belongs to the key; what is not a quoted string is taken as it is.
        let escaped = client.report_keyed(r#""a\"b""#, &report).await;
        let same = client.report_keyed(r#"a"b"#, &report).await;
        assert_eq!((escaped.status, same.status), (201, 200));
        for key in [r#""a"#, r#"a""#, r#""a"b""#, r#""a\x""#] {
            assert_eq!(client.report_keyed(key, &report).await.status, 201, "{key}");
        }
        for key in [r#""""#, r#""a b""#] {
            let refused = client.report_keyed(key, &report).await;
            assert_eq!(
                (refused.status, refused.error_code()),
                (400, "InvalidIdempotencyKey".to_owned()),
                "{key}"
            );
        }
    }
);
