//! Stock telephony senders, configured as documented, with the exact bytes that they send.

use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::support::client::send;
use crate::support::raw::Raw;
use crate::support::{Database, Server, on_both_databases};
use crate::tidy::read;

/// The body that `mod_json_cdr` sends for a call that began on 2026-03-01 at 08:30:00.123456 UTC.
const CDR: &str = concat!(
    r#"{"core-uuid":"8d2f3c1e-6a53-4f0c-9d8e-0d2c3b4a5f60","switchname":"pbx-1","channel_data":{"state":"CS_REPORTING","direction":"inbound","state_number":"11","flags":"0=1;1=1;39=1","caps":"1=1;2=1;3=1"},"#,
    r#""callStats":{"audio":{"inbound":{"raw_bytes":361396,"jitter_min_variance":0.01,"errorLog":[]}}},"#,
    r#""variables":{"direction":"inbound","uuid":"3b0c7a52-95c1-4a40-9a57-7e0d3f2b6c11","call_uuid":"3b0c7a52-95c1-4a40-9a57-7e0d3f2b6c11","sip_from_user":"%2B15551234567","start_stamp":"2026-03-01%2009%3A30%3A00","end_stamp":"2026-03-01%2009%3A30%3A42","start_epoch":"1772353800","start_uepoch":"1772353800123456","answer_epoch":"1772353803","answer_uepoch":"1772353803000001","end_epoch":"1772353842","billsec":"39"},"#,
    r#""app_log":{"applications":[{"app_name":"answer","app_data":"","app_stamp":"1772353800123999"}]},"#,
    r#""callflow":[{"dialplan":"XML","unique-id":"9e1","profile_index":"1","caller_profile":{"username":"1000","caller_id_number":"1000"},"times":{"created_time":"1772353800123456","answered_time":"1772353803000001"}}]}"#,
);
const UUID: &str = "3b0c7a52-95c1-4a40-9a57-7e0d3f2b6c11";

/// The pages of the manual about senders.
fn pages() -> String {
    ["freeswitch", "twilio", "asterisk"]
        .map(|name| read(format!("docs/senders/{name}.md")))
        .concat()
}

/// The pages' first block in `language` that contains `word`.
fn block(language: &str, word: &str) -> String {
    let pages = pages();
    let blocks = pages.split("```").skip(1).step_by(2);
    let mut blocks = blocks.filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n'));
    blocks
        .find(|block| block.contains(word))
        .unwrap()
        .to_owned()
}

/// Returns the text between two others.
fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    text.split_once(before)
        .unwrap()
        .1
        .split_once(after)
        .unwrap()
        .0
}

/// Returns the path and query of a URL in the manual.
fn target(url: &str) -> &str {
    &url[url.find("/billables").unwrap()..]
}

fn basic(server: &Server) -> String {
    STANDARD.encode(format!("someone:{}", server.secret()))
}

/// Sends a head and a body verbatim. Returns the reply's status and its JSON body.
async fn exchange(server: &Server, head: &[&str], body: &str) -> (u16, Value) {
    let mut connection = Raw::connect(server.address()).await;
    let head = head.join("\r\n");
    connection
        .send(format!(
            "{head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        ))
        .await;
    let reply = connection.rest().await;
    let reply = reply
        .strip_prefix("HTTP/1.1 100 Continue\r\n\r\n")
        .unwrap_or(&reply);
    let (head, body) = reply
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no reply: {reply}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap())
}

fn check_cdr(shown: &Value) {
    for (member, expected) in [
        ("accountId", "acc"),
        ("customerId", "cus"),
        ("callSid", UUID),
        ("occurredAt", "2026-03-01T08:30:00.123456Z"),
        ("state", "billable"),
    ] {
        assert_eq!(shown[member], json!(expected), "{shown}");
    }
}

on_both_databases!(
    freeswitch_reports_a_call_and_its_unsent_files_are_sent_later,
    async |database: Database| {
        let server = Server::start(&database).await;
        let config = block("xml", "json_cdr.conf");
        let url = between(&config, "name=\"url\" value=\"", "\"").replace("&amp;", "&");
        // The module appends this even if the URL already has a query.
        let post = format!("POST {}?uuid={UUID} HTTP/1.1", target(&url));
        let authorization = format!("Authorization: Basic {}", basic(&server));
        let head = [
            &*post,
            "Host: 127.0.0.1:8080",
            &authorization,
            "User-Agent: freeswitch-json/1.0",
            "Accept: */*",
        ];
        let with = |headers: &[&'static str]| [&head[..], headers].concat();

        let (status, first) = exchange(
            &server,
            &with(&["Content-Type: application/json", "Expect: 100-continue"]),
            CDR,
        )
        .await;
        assert_eq!(status, 201, "{first}");
        check_cdr(&first);
        // The module's option `encode` sends a form. `disable-100-continue` replaces the module's
        // own headers, so its JSON is labelled as a form.
        let encoded = format!("cdr={}", utf8_percent_encode(CDR, NON_ALPHANUMERIC));
        let form = "Content-Type: application/x-www-form-urlencoded";
        for (headers, body) in [([form].as_slice(), &*encoded), (&[form], CDR)] {
            let (status, again) = exchange(&server, &with(headers), body).await;
            assert_eq!((status, &again), (200, &first));
        }

        // The manual's commands send the files in the module's error directory again, days later.
        let directory = tempfile::tempdir().unwrap();
        let other = CDR.replace(UUID, "another-call");
        for (name, cdr) in [
            (format!("a_{UUID}.cdr.json"), CDR),
            ("another-call.cdr.json".to_owned(), &other),
            ("broken.cdr.json".to_owned(), "{"),
        ] {
            std::fs::write(directory.path().join(name), format!("{cdr}\n")).unwrap();
        }
        let commands =
            block("sh", ".cdr.json").replace("127.0.0.1:8080", &server.address().to_string());
        let status = Command::new("bash")
            .args(["-c", &commands])
            .current_dir(directory.path())
            .env("TOKEN", server.secret())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert_eq!(
            status.code(),
            Some(22),
            "curl reports that the last file was refused"
        );
        let left: Vec<_> = std::fs::read_dir(directory.path())
            .unwrap()
            .map(|file| file.unwrap().file_name())
            .collect();
        assert_eq!(
            left,
            ["broken.cdr.json"],
            "stored files are deleted, the refused one is kept"
        );
        assert_eq!(database.ids().await.len(), 2);

        // Records in a batch are the same calls; each one must name its account and customer
        // itself.
        let named = |cdr: &str| cdr.replacen('{', r#"{"accountId":"acc","customerId":"cus","#, 1);
        let lines = format!("{}\n{}\n", named(CDR), named(&other));
        let reply = send(
            server
                .client()
                .post("/billables")
                .header("Content-Type", "application/x-ndjson")
                .body(lines),
        )
        .await;
        assert_eq!(
            (reply.status, reply.header("billable-identity")),
            (200, Some("call"))
        );
        // Routes that do not accept call detail records refuse them, so that no call is billed
        // to an account or customer that a malformed query names by accident.
        for path in [
            "/api/NewBillable?accountId=acc&customerId=cus?uuid=x",
            "/json/reply/NewBillable[]",
        ] {
            let reply = send(server.client().post(path).body(named(CDR))).await;
            assert_eq!(
                (reply.status, &*reply.error_code()),
                (400, "SerializationException"),
                "{path}"
            );
        }
        assert_eq!(database.ids().await.len(), 2);
    }
);

on_both_databases!(
    twilio_status_callbacks_of_a_call_are_one_billable,
    async |database: Database| {
        let server = Server::start(&database).await;
        let url = block("uri", "twilio");
        let path = target(url.split('#').next().unwrap().trim());
        let body = |status: &str, number: u32, at: &str| {
            format!(
                "Called=%2B15005550006&ToState=&CallerCountry=US&Direction=outbound-api&Timestamp={at}&CallbackSource=call-progress-events\
             &SipResponseCode=200&CallerState=CA&ToZip=&SequenceNumber={number}&CallSid=CA4d2c0060c659435ebcc7b4ddf79277b1&To=%2B15005550006\
             &CallerZip=94571&ToCountry=US&CalledZip=&ApiVersion=2010-04-01&CalledCity=&CallStatus={status}&Duration=1&From=%2B15107571675\
             &CallDuration=42&AccountSid=AC0123456789abcdef0123456789abcdef&CalledCountry=US&CallerCity=SAN+FRANCISCO&ToCity=&FromCountry=US\
             &Caller=%2B15107571675&FromCity=SAN+FRANCISCO&CalledState=&FromZip=94571&FromState=CA"
            )
        };
        let post = format!("POST {path} HTTP/1.1");
        let head = [
            &*post,
            "Content-Type: application/x-www-form-urlencoded; charset=UTF-8",
            "X-Twilio-Signature: 0/KCTR6DLpKmkAf8muzZqo1nDgQ=",
            "I-Twilio-Idempotency-Token: 36d2b1b9-3ad4-4f9f-a9f1-3f1d9a6f7a90",
            "Accept: */*",
            "User-Agent: TwilioProxy/1.1",
            "Host: billables.example.com",
        ];
        let completed = body(
            "completed",
            3,
            "Sun%2C%2001%20Mar%202026%2008%3A30%3A42%20%2B0000",
        );
        // The first attempt has no credentials; after the challenge, the second one sends them.
        let (status, refused) = exchange(&server, &head, &completed).await;
        assert_eq!(
            (status, &refused["responseStatus"]["errorCode"]),
            (401, &json!("Unauthorized"))
        );
        let authorization = format!("Authorization: Basic {}", basic(&server));
        let head = [&head[..], &[&authorization]].concat();
        let (status, first) = exchange(&server, &head, &completed).await;
        assert_eq!(status, 201, "{first}");
        for (member, expected) in [
            ("accountId", "acc"),
            ("customerId", "cus"),
            ("callSid", "CA4d2c0060c659435ebcc7b4ddf79277b1"),
            ("occurredAt", "2026-03-01T08:30:42.000000Z"),
        ] {
            assert_eq!(first[member], json!(expected), "{first}");
        }
        let late = body(
            "answered",
            2,
            "Sun%2C%2001%20Mar%202026%2008%3A30%3A05%20%2B0000",
        );
        assert_eq!(exchange(&server, &head, &late).await, (200, first));
        assert_eq!(database.ids().await.len(), 1);
    }
);

on_both_databases!(
    asterisks_curl_function_reports_a_call,
    async |database: Database| {
        let server = Server::start(&database).await;
        let dialplan = block("ini", "CURLOPT(userpwd)");
        let arguments = between(&dialplan, "${CURL(", ")})\n");
        let (url, body) = arguments.split_once(',').unwrap();
        // Expands the variables as the dialplan does.
        let body = body
            .replace("${URIENCODE(${UNIQUEID})}", "pbx-1772353800.17")
            .replace(
                "${STRFTIME(${CDR(start,u)},UTC,%Y-%m-%dT%H:%M:%SZ)}",
                "2026-03-01T08:30:00Z",
            );
        assert!(!body.contains('$'), "{body}");
        let post = format!("POST {} HTTP/1.1", target(url));
        let authorization = format!("Authorization: Basic {}", basic(&server));
        let head = [
            &*post,
            "Host: 127.0.0.1:8080",
            &authorization,
            "User-Agent: asterisk-libcurl-agent/1.0",
            "Accept: */*",
            "Content-Type: application/x-www-form-urlencoded",
        ];
        let (status, shown) = exchange(&server, &head, &body).await;
        assert_eq!(status, 201, "{shown}");
        for (member, expected) in [
            ("accountId", "acc"),
            ("customerId", "cus"),
            ("callSid", "pbx-1772353800.17"),
            ("occurredAt", "2026-03-01T08:30:00.000000Z"),
        ] {
            assert_eq!(shown[member], json!(expected), "{shown}");
        }
        assert_eq!(exchange(&server, &head, &body).await, (200, shown));
    }
);
