//! Stock telephony senders, configured as documented, with the exact bytes that they send.

use std::path::Path;
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::support::client::send;
use crate::support::raw::Raw;
use crate::support::{Database, Server, on_both_databases};
use crate::tidy::{read, root};

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

/// Runs commands of the manual in a directory. Returns the exit code and everything that is shown.
fn run_commands(server: &Server, commands: &str, directory: &Path) -> (Option<i32>, String) {
    let commands = commands.replace("127.0.0.1:8080", &server.address().to_string());
    let ran = Command::new("bash")
        .args(["-c", &format!("exec 2>&1\n{commands}")])
        .current_dir(directory)
        .env("TOKEN", server.secret())
        .output()
        .unwrap();
    let shown = String::from_utf8(ran.stdout).unwrap();
    (ran.status.code(), shown)
}

/// Returns the names of the files in a directory, in order.
fn files(directory: &Path) -> Vec<String> {
    let files = std::fs::read_dir(directory).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
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
    answered(&connection.rest().await)
}

/// Returns the status and the JSON body of a reply.
fn answered(reply: &str) -> (u16, Value) {
    let reply = reply
        .strip_prefix("HTTP/1.1 100 Continue\r\n\r\n")
        .unwrap_or(reply);
    let (head, body) = reply
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no reply: {reply}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let body = if body.is_empty() { "null" } else { body };
    (status, serde_json::from_str(body).unwrap())
}

/// Sends a request of a real sender, as recorded, with the server's token.
async fn send_recorded(server: &Server, name: &str) -> (u16, Value) {
    let recorded = std::fs::read(root().join("tests/senders").join(name)).unwrap();
    let at = memchr::memmem::find(&recorded, b"\r\n\r\n").unwrap();
    let head = std::str::from_utf8(&recorded[..at]).unwrap();
    let own: Vec<_> = head
        .lines()
        .filter(|line| !line.starts_with("Authorization"))
        .collect();
    let head = format!(
        "{}\r\nAuthorization: Basic {}\r\nConnection: close\r\n\r\n",
        own.join("\r\n"),
        basic(server)
    );
    let mut connection = Raw::connect(server.address()).await;
    connection
        .send([head.as_bytes(), &recorded[at + 4..]].concat())
        .await;
    answered(&connection.rest().await)
}

#[test]
fn kamailio_is_tested_with_the_recipe_of_the_manual() {
    let config = read("tests/senders/kamailio/kamailio.cfg");
    let page = read("docs/senders/kamailio.md");
    let blocks: Vec<_> = page.split("```kamailio\n").skip(1).collect();
    assert_eq!(blocks.len(), 3);
    for block in blocks {
        let block = block.split("```").next().unwrap();
        assert!(config.contains(block), "{block}");
    }
}

on_both_databases!(
    recorded_requests_of_real_senders_are_billed_to_their_call_and_time,
    async |database: Database| {
        let server = Server::start(&database).await;
        // The second FreeSWITCH record has a caller's name in Latin-1 where nobody reads.
        for (name, call, at) in [
            (
                "freeswitch-plain-1.http",
                "f3ca4579-e7f2-4584-ab71-1717182fd27c",
                "2026-11-29T23:14:04.853860Z",
            ),
            (
                "freeswitch-latin1-1.http",
                "929c0239-0e6f-4948-ae4f-7aedaa00831c",
                "2026-11-29T23:14:14.873862Z",
            ),
            (
                "asterisk-1.http",
                "pbx-1-1795994288.0",
                "2026-11-29T23:18:08.000000Z",
            ),
            (
                "kamailio-1.http",
                "1-27648@127.0.0.1",
                "2026-11-29T23:18:51.000000Z",
            ),
        ] {
            let (status, shown) = send_recorded(&server, name).await;
            assert_eq!(
                (status, &shown["callSid"], &shown["occurredAt"]),
                (201, &json!(call), &json!(at)),
                "{name}: {shown}"
            );
            let (status, again) = send_recorded(&server, name).await;
            assert_eq!((status, again), (200, shown), "{name}");
        }
        // With `encode=true` the module breaks its own JSON, so it is refused with a reason.
        let (status, refused) = send_recorded(&server, "freeswitch-encode-1.http").await;
        assert_eq!(status, 400, "{refused}");
        assert_eq!(database.ids().await.len(), 4);
    }
);

/// With the caller's Call-ID as the uuid, the caller chooses what the module appends.
#[tokio::test]
async fn a_caller_cannot_choose_whom_a_freeswitch_record_bills() {
    let database = Database::sqlite();
    let server = Server::start(&database).await;
    let record =
        |uuid: &str| format!(r#"{{"variables":{{{uuid}"start_uepoch":"1772353800123456"}}}}"#);
    let named = record(r#""uuid":"n1","#);
    let unnamed = record("");
    let long = "x".repeat(257);
    for (appended, body, call) in [
        ("n1&callSid=evil", &named, "n1"),
        (
            "a&customerId=victim&accountId=other",
            &unnamed,
            "a&customerId=victim&accountId=other",
        ),
        ("m%ff", &unnamed, "m%ff"),
        ("a?uuid=b", &unnamed, "a?uuid=b"),
        ("n1", &record(r#""uuid":"1-2%40host","#), "1-2@host"),
        // A call that cannot be stored is named by the hash of its bytes.
        (
            "x",
            &record(r#""uuid":"%ff","#),
            "sha256:a8100ae6aa1940d0b663bb31cd466142ebbdbd5187131b92d93818987832eb89",
        ),
        (&long, &unnamed, "sha256:"),
        // An empty uuid is none.
        ("n2", &record(r#""uuid":"","#), "n2"),
    ] {
        let path = format!("/billables?accountId=acc&customerId=cus?uuid={appended}");
        let reply = send(server.client().post(&path).body(body.clone())).await;
        let shown = reply.json();
        assert_eq!(reply.status, 201, "{shown}");
        assert_eq!(
            (&shown["accountId"], &shown["customerId"]),
            (&json!("acc"), &json!("cus")),
            "{shown}"
        );
        let is_hash = call.starts_with("sha256:");
        assert_eq!(
            reply.header("billable-differs"),
            is_hash.then_some("callSid"),
            "{shown}"
        );
        let stored = shown["callSid"].as_str().unwrap();
        if appended == long {
            assert_eq!(stored.len(), "sha256:".len() + 64);
        } else {
            assert_eq!(stored, call);
        }
    }
}

/// A body with a byte that is not UTF-8 where nobody reads, and one with such a field. `~` is the
/// byte, `@` the call.
const BODIES: [(&str, &str, &str); 7] = [
    (
        "application/json",
        r#"{"callSid":"@","sessionId":"S","name":"J~","x":"\ud800","y":1e400}"#,
        r#"{"sessionId":"~"}"#,
    ),
    (
        "application/x-ndjson",
        "{\"callSid\":\"@\",\"sessionId\":\"S\",\"name\":\"J~\"}\n",
        "{\"sessionId\":\"~\"}\n",
    ),
    (
        "application/jsv",
        "{callSid:@,sessionId:S,name:J~}",
        "{sessionId:~}",
    ),
    (
        "application/x-www-form-urlencoded",
        "callSid=@&sessionId=S&name=J%E9&n~=1",
        "sessionId=%E9",
    ),
    (
        "application/xml",
        "<NewBillable><Name>J~</Name><SessionId>S</SessionId><CallSid>@</CallSid></NewBillable>",
        "<NewBillable><SessionId>~</SessionId></NewBillable>",
    ),
    (
        "text/csv",
        "callSid,sessionId,name\n@,S,J~\n",
        "sessionId\n~\n",
    ),
    (
        "multipart/form-data; boundary=b",
        "--b\r\nContent-Disposition: form-data; name=callSid\r\n\r\n@\r\n\
         --b\r\nContent-Disposition: form-data; name=sessionId\r\n\r\nS\r\n\
         --b\r\nContent-Disposition: form-data; name=n\r\n\r\n~\r\n--b--",
        "--b\r\nContent-Disposition: form-data; name=sessionId\r\n\r\n~\r\n--b--",
    ),
];

/// What nobody reads is refused in no format; what is read into a field is, with its name.
#[tokio::test]
async fn bytes_that_are_not_utf8_are_refused_only_in_the_fields_of_a_report() {
    let database = Database::sqlite();
    let server = Server::start(&database).await;
    let post = |content_type: &str, body: &str| {
        let bytes = body
            .bytes()
            .map(|byte| if byte == b'~' { 0xe9 } else { byte });
        server
            .client()
            .post("/billables")
            .header("Content-Type", content_type)
            .header("Accept", "application/json")
            .body(bytes.collect::<Vec<u8>>())
    };
    for (content_type, unread, read) in BODIES {
        let call = format!("CA-{content_type}");
        let reply = send(post(content_type, &unread.replace('@', &call))).await;
        assert_eq!(reply.status, 201, "{content_type}: {reply:?}");
        assert!(reply.body.contains(&call), "{content_type}: {reply:?}");
        let reply = send(post(content_type, read)).await;
        let expected = vec![("SessionId".to_owned(), "InvalidCharacter".to_owned())];
        assert_eq!(
            (reply.status, reply.field_errors()),
            (400, expected),
            "{content_type}"
        );
    }
}

/// Events of one call, from a provider whose members nobody knows, with the pair in the URL.
#[tokio::test]
async fn a_sender_that_nobody_mapped_is_refused_instead_of_billed_once_per_event() {
    let database = Database::sqlite();
    let server = Server::start(&database).await;
    let post = |query: &str, content_type: &str, body: &str| {
        server
            .client()
            .post(&format!("/billables?{query}"))
            .header("Content-Type", content_type)
            .header("Accept", "application/json")
            .body(body.to_owned())
    };
    let pair = "accountId=acc&customerId=cus";
    let json = "application/json";
    let event = r#"{"call_sid":"a2fc117f-0001","call_status":"trying"}"#;
    for (content_type, body, members) in [
        (json, event, "call_sid, call_status"),
        (json, r#"{"data":{"id":"x"},"sessionId":"S"}"#, "data"),
        (
            "application/x-www-form-urlencoded",
            "CallUUID=1&Event=Hangup",
            "CallUUID, Event",
        ),
        ("application/jsv", "{uuid:1}", "uuid"),
        ("text/csv", "uuid,start\n1,2\n", "uuid, start"),
        // A record without the call's uuid.
        (
            json,
            r#"{"variables":{},"switchname":"pbx"}"#,
            "variables, switchname",
        ),
        (json, r#"{"variables":{"uuid":""}}"#, "variables"),
        // The query's account and customer win over those of the body.
        (
            json,
            r#"{"accountId":"v","customerId":"w","call_id":"1"}"#,
            "call_id",
        ),
        (
            "application/xml",
            "<NewBillable><callSid>CA1</callSid></NewBillable>",
            "callSid",
        ),
        ("text/csv", "call_id,status\n", "call_id, status"),
        (
            "multipart/form-data; boundary=b",
            "--b\r\nContent-Disposition: form-data; name=cdr; filename=a.json\r\n\r\n{}\r\n--b--",
            "cdr",
        ),
        (json, "{\"a\\u0001\":1}", r"a\\u{1}"),
    ] {
        let reply = send(post(pair, content_type, body)).await;
        assert_eq!(
            (reply.status, &*reply.error_code()),
            (400, "NothingRecognised"),
            "{body}"
        );
        assert!(reply.body.contains(members), "{reply:?}");
    }
    // Nor are events that only name a session, or that are in the query.
    for (query, body, members) in [
        ("sessionId=S", event, "call_sid, call_status"),
        ("sessionId=S&uuid=1&format=json", "", "uuid"),
        (
            "accountId=acc&customerId=cus&call_sid=a2fc117f-0001&call_status=trying",
            "",
            "call_sid, call_status",
        ),
    ] {
        let reply = send(post(query, json, body)).await;
        assert_eq!(
            (reply.status, &*reply.error_code()),
            (400, "NothingRecognised"),
            "{query}"
        );
        assert!(reply.body.contains(members), "{reply:?}");
    }
    assert_eq!(database.ids().await.len(), 0);
    // What names the call, a key, or whom to bill is recognised; an empty body says nothing at all.
    let own = r#"{"accountId":"acc","customerId":"cus","note":"x"}"#;
    for (query, body) in [
        (pair, "{}"),
        (pair, ""),
        ("", own),
        ("accountId=acc&customerId=cus&callSid=CA1", event),
        ("accountId=acc", r#"{"customerId":"cus","note":"x"}"#),
    ] {
        let reply = send(post(query, json, body)).await;
        assert_eq!(reply.status, 201, "{body}: {reply:?}");
    }
    let keyed = post(pair, json, event).header("Idempotency-Key", "k");
    assert_eq!(send(keyed).await.status, 201);
}

/// A time that is there and cannot be read is not the time of delivery.
#[tokio::test]
async fn a_time_that_is_not_understood_is_refused() {
    let database = Database::sqlite();
    let server = Server::start(&database).await;
    let path = "/billables?accountId=acc&customerId=cus";
    for at in [
        "2026-03-01 08:30:42",
        "17723538420",
        "Mon, 01 Mar 2026 08:30:42 +0000",
    ] {
        let form = format!(
            "CallSid=CA1&Timestamp={}",
            utf8_percent_encode(at, NON_ALPHANUMERIC)
        );
        let post = server.client().post(path).body(form);
        let reply = send(post.header("Content-Type", "application/x-www-form-urlencoded")).await;
        assert_eq!(
            (reply.status, reply.field_errors()),
            (
                400,
                vec![("OccurredAt".to_owned(), "InvalidInstant".to_owned())]
            ),
            "{at}"
        );
    }
    let record = r#"{"variables":{"uuid":"u","start_epoch":"yesterday"}}"#;
    let reply = send(server.client().post(path).body(record)).await;
    assert_eq!(reply.status, 400, "{reply:?}");
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
        // `disable-100-continue` replaces the module's own headers, so its JSON is labelled as a
        // form.
        let form = "Content-Type: application/x-www-form-urlencoded";
        let (status, again) = exchange(&server, &with(&[form]), CDR).await;
        assert_eq!((status, &again), (200, &first));

        // The manual's commands send the files in the module's error directory again, days later.
        let directory = tempfile::tempdir().unwrap();
        let commands = block("sh", ".cdr.json");
        assert_eq!(
            run_commands(&server, &commands, directory.path()).0,
            Some(1),
            "nothing is sent from an empty directory"
        );
        let other = CDR.replace(UUID, "another-call");
        for (name, cdr) in [
            (format!("a_{UUID}.cdr.json"), CDR),
            ("-{1,2} [ab]'\".cdr.json".to_owned(), &other),
            ("broken.cdr.json".to_owned(), "{"),
            ("empty.cdr.json".to_owned(), ""),
        ] {
            std::fs::write(directory.path().join(name), cdr).unwrap();
        }
        let (_, shown) = run_commands(&server, &commands, directory.path());
        assert!(shown.contains("the JSON ends too early"), "{shown}");
        assert_eq!(
            files(directory.path()),
            ["broken.cdr.json", "empty.cdr.json"],
            "stored files are removed, the refused and the empty ones are kept"
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
            // The end of the call, less its duration.
            ("occurredAt", "2026-03-01T08:30:00.000000Z"),
        ] {
            assert_eq!(first[member], json!(expected), "{first}");
        }
        let late = body(
            "answered",
            2,
            "Sun%2C%2001%20Mar%202026%2008%3A30%3A05%20%2B0000",
        );
        assert_eq!(exchange(&server, &head, &late).await, (204, Value::Null));
        // Without the profile's name, each event is a report of the call.
        let plain = format!(
            "POST {} HTTP/1.1",
            path.replace("sender=twilio&answered=true&", "")
        );
        let head = [&[&*plain], &head[1..]].concat();
        assert_eq!(exchange(&server, &head, &late).await, (200, first));
        assert_eq!(database.ids().await.len(), 1);
    }
);

on_both_databases!(
    asterisks_curl_function_reports_a_call,
    async |database: Database| {
        let server = Server::start(&database).await;
        let dialplan = block("ini", "CURLOPT(userpwd)");
        let url = between(&dialplan, "${CURL(", ",${REPORT})})\n");
        // Expands the variables as the dialplan does.
        let body = between(&dialplan, "Set(REPORT=", ")\n")
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
        // The dialplan knows a stored call by the beginning of the answer.
        let form = "application/x-www-form-urlencoded";
        let post = server.client().post("/billables").body(body.clone());
        let again = send(post.header("Content-Type", form)).await;
        assert!(again.body.starts_with("{\"id\""), "{again:?}");
        assert_eq!(exchange(&server, &head, &body).await, (200, shown));

        // What could not be sent is sent from its file; an empty file is no report.
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("a b.form"), format!("{body}\n")).unwrap();
        std::fs::write(directory.path().join("empty.form"), "").unwrap();
        run_commands(&server, &block("sh", ".form"), directory.path());
        assert_eq!(files(directory.path()), ["empty.form"]);
        assert_eq!(database.ids().await.len(), 1);
    }
);
