//! Profiles of senders, mappings and hooks: what is read of a request, what is ignored, and what a
//! token sets.

use std::fs;

use billables::billable::{Field, RawValue};
use billables::senders::{self, Event, Expected, Profile, Request};
use billables::token::SenderSettings;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::import_export::Files;
use crate::manual::blocks;
use crate::support::client::{Reply, send};
use crate::support::server::{command, run};
use crate::support::{Client, Database, Server, on_both_databases};
use crate::tidy::read;

/// Runs a command and returns what it prints. It must succeed.
fn printed(database: &Database, arguments: &[&str]) -> String {
    let (code, shown, errors) = run(&mut command(database, arguments));
    assert_eq!(code, 0, "{arguments:?}: {errors}");
    shown.trim().to_owned()
}

/// Runs a command that must fail. Returns its exit code and its messages.
fn refused(database: &Database, arguments: &[&str]) -> (i32, String) {
    let (code, shown, errors) = run(&mut command(database, arguments));
    assert_eq!(shown, "", "{arguments:?}");
    (code, errors)
}

/// Creates a token with these arguments, and returns a client with it.
fn client_with(server: &Server, database: &Database, arguments: &[&str]) -> Client {
    let arguments = [&["token", "create"], arguments].concat();
    server.client_of(&printed(database, &arguments))
}

/// Sends a request as an example writes it: a first line, headers, an empty line and a body.
fn written(client: &Client, hook: &str, text: &str) -> RequestBuilder {
    let (head, body) = text.trim_start().split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let (method, target) = lines.next().unwrap().split_once(' ').unwrap();
    let method: Method = method.parse().unwrap();
    let request = match target.strip_prefix("/billables/in/SECRET") {
        Some(query) => client.bare(method, &format!("{hook}{query}")),
        None => client.request(method, target),
    };
    let mut request = request.header("accept", "application/json");
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        request = request.header(name, value);
    }
    request.body(body.to_owned())
}

fn header(reply: &Reply, name: &str) -> Option<String> {
    reply.header(name).map(str::to_owned)
}

/// What became of a request, in the form of an example.
fn outcome(reply: &Reply) -> Expected {
    if let Some(reason) = reply.header("billable-ignored") {
        return Expected {
            ignored: Some(reason.to_owned()),
            ..Expected::default()
        };
    }
    if reply.status >= 400 {
        return Expected {
            error: Some(reply.error_code()),
            ..Expected::default()
        };
    }
    // A page of calls, or an array, of one.
    let shown = match reply.json() {
        Value::Array(items) if items.len() == 1 => items[0].clone(),
        shown => shown,
    };
    if let Some(reason) = shown["ignored"].as_str() {
        return Expected {
            ignored: Some(reason.to_owned()),
            ..Expected::default()
        };
    }
    let field = |name: &str| shown[name].as_str().map(str::to_owned);
    Expected {
        account_id: field("accountId"),
        customer_id: field("customerId"),
        session_id: field("sessionId"),
        call_sid: field("callSid"),
        occurred_at: field("occurredAt"),
        ..Expected::default()
    }
}

on_both_databases!(
    every_example_of_a_sender_becomes_what_its_page_says,
    async |database: Database| {
        let server = Server::start(&database).await;
        for profile in senders::all() {
            assert!(profile.examples.len() >= 3, "{}", profile.name);
            let mut arguments = vec!["token", "create", "--client", "h", "--hook"];
            arguments.extend([
                "--account",
                "acc",
                "--customer",
                "cus",
                "--sender",
                &profile.name,
            ]);
            let hook = printed(&database, &arguments);
            for (number, example) in profile.examples.iter().enumerate() {
                // Each is a sender of its own, so that no example is a repeat of another.
                let client = server.client();
                let reply = send(written(&client, &hook, &example.request)).await;
                let what = format!(
                    "{} {}: {}: {reply:?}",
                    profile.name,
                    number + 1,
                    example.page
                );
                let is_ignored = reply.header("billable-ignored").is_some();
                if let Some(wanted) = &profile.reply {
                    if reply.status < 400 {
                        assert_eq!(reply.status, wanted.status, "{what}");
                        let shown = reply.header("content-type");
                        assert_eq!(shown, Some(&*wanted.content_type), "{what}");
                        assert!(!reply.body.contains("{url}"), "{what}");
                    }
                } else if is_ignored {
                    assert_eq!((reply.status, &*reply.body), (204, ""), "{what}");
                }
                let mut found = outcome(&match (&profile.reply, header(&reply, "location")) {
                    // The sender's reply stands for the billable.
                    (Some(_), Some(location)) => client.get(&location).await,
                    _ => reply,
                });
                if example.result.occurred_at.is_none() {
                    found.occurred_at = None;
                }
                assert_eq!(found, example.result, "{what}");
            }
        }
    }
);

#[tokio::test]
async fn the_body_of_every_example_is_imported_as_it_is_stored_over_http() {
    let database = Database::sqlite();
    database.migrate();
    let files = Files::new();
    let mut count = 0;
    for profile in senders::all() {
        for (number, example) in profile.examples.iter().enumerate() {
            let (head, body) = example
                .request
                .trim_start()
                .split_once("\n\n")
                .unwrap_or_default();
            let content_type = head
                .lines()
                .find(|line| line.to_lowercase().starts_with("content-type:"));
            let extension = match content_type.unwrap_or_default().to_lowercase() {
                line if line.contains("application/json") => "json",
                line if line.contains("xml") => "xml",
                line if line.contains("text/csv") => "csv",
                line if line.contains("x-www-form-urlencoded") => "form",
                _ => continue,
            };
            // What is only in the URL or the headers is in no file.
            if body.is_empty() || head.contains("ce-") {
                continue;
            }
            let result = &example.result;
            let name = format!("{}-{number}", profile.name);
            let file = files.with(&format!("{name}.{extension}"), body);
            let account = format!("accountId={name}");
            let mut arguments = vec!["import", &*file, "--sender", &profile.name];
            arguments.extend(["--set", &account, "--set", "customerId=cus"]);
            if head.contains("answered=true") {
                arguments.push("--answered");
            }
            let (code, counts, errors) = run(&mut command(&database, &arguments));
            let what = format!("{name}: {}: {counts}{errors}", example.page);
            let exported = run(&mut command(&database, &["export", "--account", &name])).1;
            let stored: Value = serde_json::from_str(&exported).unwrap_or_default();
            let text = |field: &str| stored[field].as_str().map(str::to_owned);
            if result.error.is_some() {
                assert!(code == 1 && stored.is_null(), "{what}");
            } else if result.ignored.is_some() {
                assert!(code == 0 && counts.contains("left out 1"), "{what}");
            } else {
                assert_eq!(code, 0, "{what}");
                assert_eq!(text("callSid"), result.call_sid, "{what}");
                if result.occurred_at.is_some() {
                    assert_eq!(text("occurredAt"), result.occurred_at, "{what}");
                }
            }
            count += 1;
        }
    }
    assert!(count >= 40, "{count}");
}

#[test]
fn the_pages_of_senders_are_made_from_their_profiles() {
    for profile in senders::all() {
        let page = profile.page(&senders::Values::default());
        let name = format!("docs/senders/{}.md", profile.name);
        assert!(
            read(name.clone()) == page,
            "write it again: billables senders show {} > {name}",
            profile.name
        );
        let names = billables::contract::operations::SENDERS;
        assert!(names.contains(&&*profile.name));
    }
    let files = fs::read_dir(crate::tidy::root().join("src/senders")).unwrap();
    let files = files.filter(|file| {
        let name = file.as_ref().unwrap().file_name();
        name.to_string_lossy().ends_with(".toml")
    });
    assert_eq!(
        files.count(),
        senders::all().len(),
        "every file is built in"
    );
}

#[test]
fn a_profile_that_contradicts_itself_is_refused() {
    let profile = |source: &str| {
        let text = format!("name = \"x\"\ntitle = \"X\"\ndocs = \"\"\n{source}");
        Profile::parse(&text)
            .map(|_| ())
            .map_err(|error| error.to_string())
    };
    let json = |rest: &str| profile(&format!("[[source]]\nkind = \"json\"\n{rest}"));
    assert_eq!(json("callSid = { at = [\"/id\"] }"), Ok(()));
    for (rest, reason) in [
        ("callSid = { at = [\"id\"] }", "must be /json/pointer"),
        ("callSid = { at = [\"form:id\"] }", "nothing at form:id"),
        ("callSid = { at = [] }", "must have either at"),
        (
            "callSid = { all = [\"/a\", \"/b\"] }",
            "must have either at",
        ),
        (
            "callSid = { at = [\"/a\"], all = [\"/a\", \"/b\"], join = \"-\" }",
            "must have either at",
        ),
        (
            "callSid = { at = [\"/a\"], zone = \"Europe/Rome\" }",
            "must not have format, zone",
        ),
        ("callSid = { at = [\"appended:\"] }", "nothing at appended:"),
        ("callSid = { at = [\"/a\"], shape = 1 }", "unknown field"),
        (
            "occurredAt = { at = [\"/a\"], zone = \"Nowhere/Town\" }",
            "no time zone",
        ),
        (
            "occurredAt = { at = [\"/a\"], format = \"x\" }",
            "the time format",
        ),
        (
            "occurredAt = { at = [\"/a\"], zones = { X = \"1\" } }",
            "the offset of the zone X",
        ),
        (
            "records = \"calls\"\ncallSid = { at = [\"/a\"] }",
            "records must be",
        ),
        (
            "within = \"/a\"\ncallSid = { at = [\"/a\"] }",
            "within must be",
        ),
        (
            "header = false\ncallSid = { at = [\"/a\"] }",
            "can have header",
        ),
        (
            "only = [{ at = \"/a\" }]\ncallSid = { at = [\"/a\"] }",
            "must have one of is, in, not, begins and above",
        ),
        (
            "only = [{ at = \"/a\", is = \"present\", above = 1 }]\ncallSid = { at = [\"/a\"] }",
            "must have one of",
        ),
        ("", "where callSid is"),
        ("occurredAt = { at = [\"/a\"] }", "where callSid is"),
    ] {
        let refused = json(rest).expect_err(rest);
        assert!(refused.contains(reason), "{rest}: {refused}");
    }
    assert!(profile("source = []").is_err());
    let reply = "reply = { status = 500, type = \"\", body = \"\" }\n";
    assert!(
        profile(&format!(
            "{reply}[[source]]\nkind = \"json\"\ncallSid = {{ at = [\"/id\"] }}"
        ))
        .is_err()
    );
}

on_both_databases!(
    a_token_sets_what_is_read_and_nothing_sets_it_aside,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = client_with(
            &server,
            &database,
            &[
                "--client",
                "telephony",
                "--account",
                "acc",
                "--customer",
                "cus",
                "--map",
                "callSid=/data/id",
                "--map",
                "callSid=/data/alias",
                "--map",
                "occurredAt=/data/at",
                "--time-zone",
                "Europe/Rome",
                "--only",
                "/type=call.ended,call.missed",
            ],
        );
        let post =
            |query: &str, body: &Value| send(client.post(&format!("/billables{query}")).json(body));
        let event =
            json!({"type": "CALL.ended", "data": {"id": "c1", "at": "2026-03-01 09:30:00"}});
        let reply = post("", &event).await;
        assert_eq!(reply.status, 201, "{reply:?}");
        let shown = reply.json();
        assert_eq!(shown["callSid"], "c1");
        assert_eq!(shown["occurredAt"], "2026-03-01T08:30:00.000000Z");
        // Neither the query nor the body sets another account, and an Idempotency-Key is not read.
        let mut evil = event.clone();
        evil["accountId"] = json!("victim");
        evil["callSid"] = json!("c9");
        let evil = client
            .post("/billables?accountId=victim&customerId=victim")
            .header("idempotency-key", "k")
            .json(&evil);
        let reply = send(evil).await;
        assert_eq!(
            (reply.status, reply.json()["accountId"].clone()),
            (200, json!("acc"))
        );
        assert_eq!(reply.header("billable-identity"), Some("call"));
        // Another sender, and a route by name.
        let reply = post("?sender=twilio", &event).await;
        assert_eq!((reply.status, &*reply.error_code()), (400, "Predicate"));
        let reply = post("?answered=true", &event).await;
        assert_eq!((reply.status, &*reply.error_code()), (400, "Predicate"));
        for route in [
            "/json/reply/NewBillable",
            "/api/NewBillable",
            "/api/NewBillable[]",
        ] {
            let reply = send(client.post(route).json(&event)).await;
            assert_eq!(
                (reply.status, &*reply.error_code()),
                (403, "Forbidden"),
                "{route}"
            );
        }
        // What is mapped must be there and readable.
        for (body, code, field) in [
            (
                json!({"type": "call.ended", "data": {"at": "2026-03-01 09:30:00"}}),
                "NotEmpty",
                "CallSid",
            ),
            (
                json!({"type": "call.ended", "data": {"id": "c2"}}),
                "NotEmpty",
                "OccurredAt",
            ),
            (
                json!({"type": "call.ended", "data": {"id": "c2", "at": "soon"}}),
                "InvalidInstant",
                "OccurredAt",
            ),
            (
                json!({"type": "call.ended", "data": {"id": {}, "at": "2026-03-01 09:30:00"}}),
                "NotAText",
                "CallSid",
            ),
        ] {
            let reply = post("", &body).await;
            assert_eq!(
                (reply.status, &*reply.error_code()),
                (400, code),
                "{reply:?}"
            );
            let errors = &reply.json()["responseStatus"]["errors"];
            assert_eq!(errors[0]["fieldName"], field, "{reply:?}");
        }
        let reply = post("", &json!({"kind": "call.ended", "data": {"id": "c2"}})).await;
        assert_eq!(
            (reply.status, &*reply.error_code()),
            (400, "NothingRecognised")
        );
        assert!(reply.body.contains("/type"), "{reply:?}");
        let reply = post("", &json!({"type": "call.started"})).await;
        assert_eq!(
            (reply.status, header(&reply, "billable-ignored")),
            (204, Some("only".to_owned()))
        );
        let alias =
            json!({"type": "call.missed", "data": {"id": "", "alias": 7, "at": 1_772_353_800}});
        assert_eq!(post("", &alias).await.json()["callSid"], "7");
        assert_eq!(database.ids().await.len(), 2);
        let refusals = server.client().get("/refusals").await.json();
        let of_sender = |refusal: &&Value| refusal["sender"] == "mapping";
        let refusals = refusals["items"].as_array().unwrap();
        assert_eq!(refusals.iter().filter(of_sender).count(), 5, "{refusals:?}");
    }
);

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_cannot_be_stored_is_its_hash() {
    let database = Database::sqlite();
    let server = Server::start(&database).await;
    let client = server.client();
    let long = "x".repeat(257);
    let calls = [(
        json!("a\u{1}b"),
        "sha256:82d34c7d68cf28219ce4ab8dd592d88dec35d1ef51625beef76220c2df266bd3",
    )];
    let path = "/billables?sender=kamailio&accountId=acc&customerId=cus";
    for (call, expected) in calls {
        let body = json!({"callSid": call, "occurredAt": "2026-03-01T08:30:00Z"});
        let reply = send(client.post(path).json(&body)).await;
        assert_eq!(
            (reply.status, &reply.json()["callSid"]),
            (201, &json!(expected))
        );
        assert_eq!(reply.header("billable-differs"), Some("callSid"));
    }
    let body = json!({"callSid": long, "occurredAt": "2026-03-01T08:30:00Z"});
    let reply = send(client.post(path).json(&body)).await;
    assert!(
        reply.json()["callSid"]
            .as_str()
            .unwrap()
            .starts_with("sha256:")
    );
    // Bytes that are not UTF-8, as a SIP caller may send them, raw and as half of a surrogate pair.
    for body in [
        &b"{\"callSid\":\"a\xff\",\"occurredAt\":1772353800}"[..],
        br#"{"callSid":"a\ud83d","occurredAt":1772353800}"#,
    ] {
        let reply = send(client.post(path).body(body.to_vec())).await;
        assert_eq!(reply.status, 201, "{reply:?}");
        assert!(
            reply.json()["callSid"]
                .as_str()
                .unwrap()
                .starts_with("sha256:")
        );
    }
    // Our own names are refused as before: who sends them can fix them.
    let body = br#"{"accountId":"acc","customerId":"cus","callSid":"a\ud83d"}"#;
    let reply = send(client.post("/billables").body(body.to_vec())).await;
    assert_eq!(
        (reply.status, &*reply.error_code()),
        (400, "InvalidCharacter")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_caller_appends_to_the_url_does_not_choose_how_the_call_is_read() {
    let database = Database::sqlite();
    let server = Server::start(&database).await;
    let client = server.client();
    let record =
        json!({"variables": {"uuid": "u1", "start_epoch": "1772353800", "answer_epoch": "0"}});
    for appended in [
        "?uuid=x&sender=kamailio",
        "?uuid=x&answered=true",
        "?uuid=x&callSid=evil&accountId=victim",
        "?uuid=x%ff",
    ] {
        for sender in ["", "sender=freeswitch&"] {
            let path = format!("/billables?{sender}accountId=acc&customerId=cus{appended}");
            let reply = send(client.post(&path).json(&record)).await;
            let shown = reply.json();
            assert!(matches!(reply.status, 200 | 201), "{path}: {reply:?}");
            assert_eq!(
                (&shown["callSid"], &shown["accountId"]),
                (&json!("u1"), &json!("acc")),
                "{path}"
            );
        }
    }
    let xml = "<cdr><variables><uuid>u2</uuid><start_epoch>1772353800</start_epoch><answer_epoch>1772353800</answer_epoch></variables></cdr>";
    let path = "/billables?sender=freeswitch-xml&accountId=acc&customerId=cus&uuid=a&customerId=victim&answered=true";
    let reply = send(
        client
            .post(path)
            .header("accept", "application/json")
            .header("content-type", "text/xml")
            .body(xml),
    )
    .await;
    assert_eq!(
        (reply.status, &reply.json()["customerId"]),
        (201, &json!("cus")),
        "{reply:?}"
    );
    // The URL's own fields must be clear.
    let path = "/billables?sender=freeswitch&accountId=acc&accountId=other&customerId=cus";
    let reply = send(client.post(path).json(&record)).await;
    assert_eq!((reply.status, &*reply.error_code()), (400, "Predicate"));
    assert_eq!(database.ids().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mapping_reads_the_url_and_what_freeswitch_appends_to_it_changes_nothing() {
    let database = Database::sqlite();
    let server = Server::start(&database).await;
    let of = |name: &'static str, arguments: &[&'static str]| {
        client_with(
            &server,
            &database,
            &[&["--client", name], arguments].concat(),
        )
    };
    let maps = [
        "--map",
        "callSid=query:c",
        "--map",
        "accountId=query:tenant",
        "--map",
        "customerId=/c",
    ];
    let by_query = of("query", &maps);
    let reply = send(
        by_query
            .post("/billables?tenant=acc&c=m1")
            .json(&json!({"c": "cus"})),
    )
    .await;
    assert_eq!(
        (reply.status, &reply.json()["callSid"]),
        (201, &json!("m1")),
        "{reply:?}"
    );
    let record = json!({"variables": {"uuid": "r5"}});
    let by_record = of("record", &["--map", "callSid=/variables/uuid"]);
    for appended in [
        "",
        "&callSid=evil",
        "&sender=kamailio",
        "&answered=true",
        "%ff",
    ] {
        for mark in ["?", "&"] {
            let path = format!("/billables?accountId=acc&customerId=cus{mark}uuid=1{appended}");
            let reply = send(by_record.post(&path).json(&record)).await;
            assert!(matches!(reply.status, 200 | 201), "{path}: {reply:?}");
            assert_eq!(reply.json()["callSid"], "r5", "{path}");
        }
    }
    let twilio = server.client();
    let path = format!(
        "/billables?sender=twilio&accountId=acc&customerId=cus&AccountSid=AC1&{}",
        callback("q1", "completed")
    );
    assert_eq!(send(twilio.post(&path)).await.status, 201);
    // The events of the binary mode have any body.
    let path = "/billables?sender=cloudevents&accountId=acc&customerId=cus";
    for (number, content_type) in ["text/plain", "application/avro", "application/json"]
        .into_iter()
        .enumerate()
    {
        let post = twilio.post(path).header("content-type", content_type);
        let post = post
            .header("ce-specversion", "1.0")
            .header("ce-source", "s");
        let post = post.header("ce-id", number.to_string());
        let body = r#"{"specversion":"1.0","id":"victim","source":"s"}"#;
        let reply = send(post.header("accept", "application/json").body(body)).await;
        assert_eq!(
            (reply.status, &reply.json()["callSid"]),
            (201, &json!(format!("s-{number}"))),
            "{reply:?}"
        );
    }
}

#[tokio::test]
async fn a_mapping_never_reads_the_events_of_a_mode_that_lack_what_it_names() {
    let database = Database::sqlite();
    let server = Server::start(&database).await;
    let create = [
        "--client",
        "events",
        "--sender",
        "cloudevents",
        "--account",
        "acc",
        "--customer",
        "cus",
    ];
    let ended = [
        &create[..],
        &["--only", "/type=ended", "--map", "callSid=/data/call"],
    ]
    .concat();
    let client = client_with(&server, &database, &ended);
    let event = |id: &str, kind: &str| json!({"specversion": "1.0", "source": "s", "id": id, "type": kind, "time": "2026-03-01T08:30:00Z", "data": {"call": "C1"}});
    let mut statuses = Vec::new();
    for (id, kind) in [("1", "ended"), ("2", "began"), ("3", "ended")] {
        let post = client.post("/billables").json(&event(id, kind));
        statuses.push(
            send(post.header("content-type", "application/cloudevents+json"))
                .await
                .status,
        );
    }
    // An event that is not wanted is ignored, and another one of the call is a repeat.
    assert_eq!(statuses, [201, 204, 200]);
    let binary = client
        .post("/billables")
        .header("ce-specversion", "1.0")
        .header("ce-id", "4");
    let reply = send(
        binary
            .header("ce-source", "s")
            .header("ce-type", "ended")
            .json(&json!({"call": "C1"})),
    )
    .await;
    assert_eq!(
        (reply.status, &*reply.error_code()),
        (400, "NothingRecognised")
    );
    let (code, errors) = refused(
        &database,
        &[&["token", "create"], &create[..], &["--only", "xml:/x=1"]].concat(),
    );
    assert!(
        code == 2 && errors.contains("none of the sender's requests has xml:/x"),
        "{errors}"
    );
}

/// A text that a caller chose and a sender did not escape.
#[tokio::test(flavor = "multi_thread")]
async fn no_caller_makes_the_record_of_a_call_unreadable() {
    let database = Database::sqlite();
    let server = Server::start(&database).await;
    let client = server.client();
    let path = "/billables?sender=freeswitch-xml&answered=true&accountId=acc&customerId=cus";
    let names = [
        "<!",
        "<![CDATA[",
        "<!DOCTYPE x>",
        "a\u{1}b",
        "a\u{FFFE}",
        "&evil;",
        "</caller_profile><variables><uuid>evil</uuid></variables>",
        "</cdr><cdr>",
    ];
    for (number, name) in names.into_iter().enumerate() {
        let record = format!(
            "<cdr><variables><sip_h_X-a'b>1</sip_h_X-a'b><uuid>c{number}</uuid><start_uepoch>1772353800250000</start_uepoch>\
             <start_epoch>1772353800</start_epoch><answer_epoch>1772353804</answer_epoch></variables>\
             <callflow><caller_profile><caller_id_name>{name}</caller_id_name></caller_profile></callflow></cdr>"
        );
        let post = client.post(path).header("accept", "application/json");
        let reply = send(post.header("content-type", "text/xml").body(record)).await;
        assert_eq!(reply.status, 201, "{name}: {reply:?}");
        assert_eq!(reply.json()["callSid"], format!("c{number}"));
    }
    // However many bytes are not UTF-8.
    let name = vec![0xff; 100_000];
    let record = [
        b"{\"callflow\":[{\"caller_id_name\":\"",
        &name[..],
        b"\"}],\"variables\":{\"uuid\":\"big\",\"start_epoch\":\"1772353800\",\"answer_epoch\":\"1\"}}",
    ];
    let path = path.replace("-xml", "");
    let reply = send(client.post(&path).body(record.concat())).await;
    assert_eq!(
        (reply.status, &reply.json()["callSid"]),
        (201, &json!("big")),
        "{reply:?}"
    );
    // Nor does what follows a URL without a query, or one that names no sender.
    let record =
        json!({"variables": {"uuid": "u", "start_epoch": "1772353800", "answer_epoch": "1"}});
    let token = client_with(
        &server,
        &database,
        &[
            "--client",
            "c",
            "--account",
            "acc",
            "--customer",
            "cus",
            "--sender",
            "freeswitch",
        ],
    );
    for appended in [
        "callSid=evil",
        "sender=twilio",
        "answered=yes",
        "x=%ff",
        "accountId=victim",
    ] {
        for (client, path) in [
            (&token, "?uuid=u"),
            (&client, "?accountId=acc&customerId=cus&uuid=u"),
        ] {
            let path = format!("/billables{path}&{appended}");
            let reply = send(client.post(&path).json(&record)).await;
            let shown = reply.json();
            assert!(matches!(reply.status, 200 | 201), "{path}: {reply:?}");
            assert_eq!(
                (&shown["callSid"], &shown["accountId"]),
                (&json!("u"), &json!("acc")),
                "{path}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_that_could_be_meant_otherwise_is_refused_and_not_billed_or_ignored() {
    let database = Database::sqlite();
    let server = Server::start(&database).await;
    let plain = server.client();
    let form = "application/x-www-form-urlencoded";
    for query in [
        "sender=twilio&answered=yes",
        "sender=twilio&answered=",
        "sender=twilio&answerd=true",
        "sender=twilio&amp;answered=true",
        "sender=",
        "sender=twilio&sender=sipgate",
        "sender=nobody",
    ] {
        let path = format!("/billables?{query}&accountId=acc&customerId=cus");
        let post = plain.post(&path).header("content-type", form);
        let reply = send(post.body(callback("CA1", "busy"))).await;
        let code = reply.error_code();
        assert!(
            matches!(&*code, "Predicate" | "UnknownParameter"),
            "{query}: {reply:?}"
        );
    }
    // A sender that is named behind what looks like FreeSWITCH's.
    let path = "/billables?accountId=acc&customerId=cus&uuid=abc&sender=twilio&answered=true";
    let reply = send(
        plain
            .post(path)
            .header("content-type", form)
            .body(callback("CA1", "busy")),
    )
    .await;
    assert_eq!(
        (reply.status, &*reply.error_code()),
        (400, "Predicate"),
        "{reply:?}"
    );
    let path = "/billables?accountId=acc&customerId=cus&amp;sender=freeswitch";
    let reply = send(plain.post(path).json(&json!({"callSid": "c"}))).await;
    assert_eq!(
        (reply.status, &*reply.error_code()),
        (400, "UnknownParameter"),
        "{reply:?}"
    );
    assert_eq!(database.ids().await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_could_be_meant_otherwise_is_refused_and_not_billed_or_ignored() {
    let database = Database::sqlite();
    let server = Server::start(&database).await;
    let pair = ["--account", "acc", "--customer", "cus"];
    let of = |name: &'static str, arguments: &[&'static str]| {
        let arguments = [&["--client", name], &pair[..], arguments].concat();
        client_with(&server, &database, &arguments)
    };
    // A condition on what is not a text any more.
    let only = of(
        "only",
        &["--map", "callSid=/id", "--only", "/status=completed"],
    );
    for status in [json!(["completed"]), json!({"name": "completed"})] {
        let body = json!({"id": "z1", "status": status});
        let reply = send(only.post("/billables").json(&body)).await;
        assert_eq!(
            (reply.status, &*reply.error_code()),
            (400, "NothingRecognised"),
            "{reply:?}"
        );
    }
    // A file without a header, and another one.
    let csv = of("csv", &["--map", "callSid=column:Call ID"]);
    for body in ["x7,1772353800\n", "Kennung\nx7\n"] {
        let post = csv.post("/billables").header("content-type", "text/csv");
        let reply = send(post.header("accept", "application/json").body(body)).await;
        assert_eq!(
            (reply.status, &*reply.error_code()),
            (400, "NothingRecognised"),
            "{reply:?}"
        );
    }
    // Two calls where one is expected.
    let xml = of("xml", &["--map", "callSid=xml:/cdrs/cdr/uuid"]);
    let body = "<cdrs><cdr><uuid>l1</uuid></cdr><cdr><uuid>l2</uuid></cdr></cdrs>";
    let post = xml.post("/billables").header("accept", "application/json");
    let reply = send(post.header("content-type", "text/xml").body(body)).await;
    assert_eq!(
        (reply.status, &*reply.error_code()),
        (400, "SerializationException"),
        "{reply:?}"
    );
    // A call without an id, which would be every other one without.
    let blank = json!({"id": " ", "status": "completed"});
    let reply = send(only.post("/billables").json(&blank)).await;
    assert_eq!(
        (reply.status, &*reply.error_code()),
        (400, "NotEmpty"),
        "{reply:?}"
    );
    // An entity, a document type, text around the root, and two records of FreeSWITCH.
    let mapped = of("xml-id", &["--map", "callSid=xml:/r/id"]);
    let freeswitch = of("fs", &["--sender", "freeswitch-xml"]);
    let record = "<cdr><variables><uuid>u</uuid><start_uepoch>1772353800000000</start_uepoch>\
                  <start_epoch>1772353800</start_epoch><answer_epoch>1</answer_epoch></variables></cdr>";
    let two = format!("<?xml version=\"1.0\"?>\n{record}\n<?xml version=\"1.0\"?>\n{record}");
    let repeated = record.replace("<uuid>u", "<uuid>v</uuid><uuid>u");
    for (client, body) in [
        (
            &mapped,
            "<!DOCTYPE r [<!ENTITY e \"x\">]><r><id>&e;</id></r>",
        ),
        (&mapped, "<r><id>a&nbsp;b</id></r>"),
        (&mapped, "junk<r><id>a</id></r>"),
        (&mapped, "<r><id>a</id></r>junk"),
        (&freeswitch, &*two),
        (&freeswitch, &repeated),
        (&freeswitch, &format!("{record}\n{record}")),
    ] {
        let post = client
            .post("/billables")
            .header("accept", "application/json");
        let reply = send(
            post.header("content-type", "text/xml")
                .body(body.to_owned()),
        )
        .await;
        assert_eq!(
            (reply.status, &*reply.error_code()),
            (400, "SerializationException"),
            "{body}: {reply:?}"
        );
    }
    assert_eq!(database.ids().await.len(), 0);
    // A limit that would cut off what a token reports.
    let (code, errors) = refused(&database, &["client", "accounts", "only", "other"]);
    assert!(
        code == 1 && errors.contains("which must stay allowed"),
        "{errors}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn several_events_in_one_body_are_stored_or_ignored_each() {
    let database = Database::sqlite();
    let server = Server::start(&database).await;
    let client = server.client();
    let record = |uuid: &str, answered: &str| json!({"variables": {"uuid": uuid, "start_epoch": "1772353800", "answer_epoch": answered}});
    let path = "/billables?sender=freeswitch&answered=true&accountId=acc&customerId=cus";
    let body = json!([
        record("a", "0"),
        record("b", "1772353801"),
        record("c", "0"),
        record("d", "1772353802")
    ]);
    let reply = send(client.post(path).json(&body)).await;
    assert_eq!(reply.status, 201, "{reply:?}");
    let shown = reply.json();
    assert_eq!(
        (&shown[0], &shown[2]),
        (
            &json!({"ignored": "answered"}),
            &json!({"ignored": "answered"})
        )
    );
    assert_eq!(
        (&shown[1]["callSid"], &shown[3]["callSid"]),
        (&json!("b"), &json!("d"))
    );
    assert_eq!(shown.as_array().unwrap().len(), 4);
    for (format, ignored) in [
        ("xml", "<Billable><Ignored>answered</Ignored></Billable>"),
        ("csv", "\n,,,,,ignored,,,,,,\r\n"),
        ("jsv", "{ignored:answered}"),
        ("ndjson", "{\"ignored\":\"answered\"}\n"),
    ] {
        let reply = send(client.post(&format!("{path}&format={format}")).json(&body)).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        assert!(
            reply.body.replace("\r\n,", "\n,").contains(ignored),
            "{format}: {}",
            reply.body
        );
    }
    let none = json!([record("a", "0")]);
    let reply = send(client.post(path).json(&none)).await;
    assert_eq!(
        (reply.status, reply.json()),
        (200, json!([{"ignored": "answered"}]))
    );
    // One that cannot be decided refuses all, and says which.
    let mut unclear = body.clone();
    unclear[3]["variables"] = json!({"uuid": "d"});
    let reply = send(client.post(path).json(&unclear)).await;
    assert_eq!(
        (reply.status, &*reply.error_code()),
        (400, "NothingRecognised")
    );
    assert!(reply.body.contains("\"AutoBatchIndex\":\"3\""), "{reply:?}");
    let reply = send(client.post(&format!("{path}&callSid=x")).json(&body)).await;
    assert_eq!(reply.status, 400, "{reply:?}");
    assert_eq!(database.ids().await.len(), 2);
    let metrics = client.get("/metrics").await.body;
    let line = "billables_ignored_events_total{client=\"default\",reason=\"answered\"} 11";
    assert!(metrics.contains(line), "{metrics}");
    server.until_logged("ignored an event").await;
}

/// Creates a hook of Twilio for answered calls of the customer `cus`. Returns its path.
fn twilio_hook(database: &Database) -> String {
    let arguments = [
        "token",
        "create",
        "--client",
        "twilio",
        "--sender",
        "twilio",
        "--answered",
        "--hook",
        "--account",
        "acc",
        "--customer",
        "cus",
        "--url",
        "https://b.example.org/",
    ];
    let url = printed(database, &arguments);
    url.strip_prefix("https://b.example.org")
        .expect("the base")
        .to_owned()
}

/// A status callback of Twilio.
fn callback(call: &str, status: &str) -> String {
    let time = utf8_percent_encode("Sun, 01 Mar 2026 08:30:00 +0000", NON_ALPHANUMERIC);
    format!("CallSid={call}&CallStatus={status}&Timestamp={time}")
}

async fn post_form(client: &Client, path: &str, body: String) -> Reply {
    let request = client
        .bare(Method::POST, path)
        // Some senders put something of their own there.
        .bearer_auth("not-a-token")
        .header("content-type", "application/x-www-form-urlencoded");
    send(request.body(body)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_stores_what_its_sender_sends() {
    let database = Database::sqlite();
    let server = Server::start(&database).await;
    let path = twilio_hook(&database);
    let client = server.client();
    let reply = post_form(&client, &path, callback("CA1", "completed")).await;
    assert_eq!(
        (reply.status, &reply.json()["customerId"]),
        (201, &json!("cus")),
        "{reply:?}"
    );
    // All that is in its query is the sender's.
    let query = "?accountId=victim&callSid=evil&occurredAt=1990-01-01&AccountSid=1&x=1";
    let reply = post_form(
        &client,
        &format!("{path}{query}"),
        callback("CA1", "completed"),
    )
    .await;
    assert_eq!(
        (reply.status, &reply.json()["accountId"]),
        (200, &json!("acc")),
        "{reply:?}"
    );
    let reply = post_form(&client, &path, callback("CA2", "busy")).await;
    assert_eq!(
        header(&reply, "billable-ignored"),
        Some("answered".to_owned())
    );
    // What is nearly the name of a parameter may be meant so.
    for query in [
        "answered=yes",
        "answerd=true",
        "answered=true&sender=",
        "sender=somebody",
    ] {
        let reply = post_form(&client, &format!("{path}?{query}"), callback("CA1", "busy")).await;
        assert_eq!(reply.status, 400, "{query}: {reply:?}");
    }
    let reply = post_form(
        &client,
        &format!("{path}?answered=true"),
        callback("CA1", "busy"),
    )
    .await;
    assert_eq!(
        header(&reply, "billable-ignored"),
        Some("answered".to_owned())
    );
    let by_query = client.bare(
        Method::GET,
        &format!("{path}?{}", callback("CA3", "completed")),
    );
    assert_eq!(send(by_query).await.status, 201);
    let head = client.bare(
        Method::HEAD,
        &format!("{path}?{}", callback("CA4", "completed")),
    );
    assert_eq!(head.send().await.unwrap().status(), 405);
    assert_eq!(database.ids().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_answers_the_methods_that_its_sender_uses() {
    let database = Database::sqlite();
    let server = Server::start(&database).await;
    let client = server.client();
    // A profile that reads no query stores nothing by GET.
    let arguments = [
        "token",
        "create",
        "--client",
        "sip",
        "--sender",
        "sipgate",
        "--hook",
        "--account",
        "acc",
        "--customer",
        "cus",
    ];
    let other = printed(&database, &arguments);
    let get = client.bare(Method::GET, &format!("{other}?event=hangup&callId=1"));
    let refused = send(get).await;
    assert_eq!(
        (refused.status, refused.header("allow")),
        (405, Some("POST"))
    );
    // A sender that asks first.
    let arguments = [
        "token",
        "create",
        "--client",
        "events",
        "--sender",
        "cloudevents",
        "--hook",
        "--account",
        "acc",
        "--customer",
        "cus",
    ];
    let events = printed(&database, &arguments);
    let ask = |path: &str| {
        let options = client.bare(Method::OPTIONS, path);
        options
            .header("WebHook-Request-Origin", "eventemitter.example.com")
            .send()
    };
    let greeted = ask(&events).await.unwrap();
    let allowed = greeted.headers()["webhook-allowed-origin"]
        .to_str()
        .unwrap();
    assert_eq!(
        (greeted.status().as_u16(), allowed),
        (200, "eventemitter.example.com")
    );
    assert_eq!(ask(&other).await.unwrap().status(), 405);
    assert_eq!(database.ids().await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_secret_of_a_hook_opens_nothing_else_and_is_shown_nowhere() {
    let database = Database::sqlite();
    let server = Server::start(&database).await;
    let path = twilio_hook(&database);
    let secret = path
        .strip_prefix("/billables/in/")
        .expect("the path of hooks");
    let client = server.client();
    let as_token = server.client_of(secret);
    assert_eq!(as_token.get("/billables").await.status, 401);
    let reply = send(
        as_token
            .post("/billables")
            .body(callback("CA5", "completed")),
    )
    .await;
    assert_eq!(reply.status, 401);
    let own = format!("/billables/in/{}", server.secret());
    for wrong in [&*own, "/billables/in/bil_x", "/billables/in/"] {
        let status = post_form(&client, wrong, callback("CA5", "completed"))
            .await
            .status;
        assert!(matches!(status, 401 | 405), "{wrong}: {status}");
    }
    assert_eq!(
        post_form(&client, &path, "x=1".to_owned()).await.status,
        400
    );
    // It is revoked like every token.
    let listed = printed(&database, &["token", "list", "--json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let mut tokens = listed.as_array().unwrap().iter();
    let hook = tokens.find(|token| token["client"] == "twilio").unwrap();
    assert_eq!([&hook["account"], &hook["customer"]], ["acc", "cus"]);
    let shown = printed(&database, &["token", "list"]);
    assert!(shown.contains("twilio (hook)"), "{shown}");
    printed(
        &database,
        &["token", "revoke", hook["id"].as_str().unwrap()],
    );
    let waiting = async {
        while post_form(&client, &path, callback("CA1", "ringing"))
            .await
            .status
            != 401
        {}
    };
    let waiting = tokio::time::timeout(std::time::Duration::from_secs(60), waiting);
    waiting.await.expect("the hook is revoked");
    let refusals = client.get("/refusals").await.body;
    let metrics = client.get("/metrics").await.body;
    let log = server.log();
    for text in [&refusals, &metrics, &log, &shown, &listed.to_string()] {
        assert!(!text.contains(&secret[4..20]), "{text}");
    }
    assert!(log.contains("/billables/in/{secret}"), "{log}");
    assert_eq!(database.ids().await.len(), 0);
}

#[test]
fn settings_that_contradict_each_other_are_refused_before_anything_is_stored() {
    let database = Database::sqlite().migrated();
    for (arguments, reason) in [
        (
            &["--sender", "nobody"][..],
            "there is no sender nobody; there are 3cx, ",
        ),
        (&["--map", "callSid"], "must be FIELD=AT"),
        (
            &["--map", "callSid=/a", "--map", "occurredAt=form:b"],
            "of different kinds",
        ),
        (&["--only", "/a=b"], "need a sender or a mapping"),
        (&["--answered"], "only a sender's profile says"),
        (
            &["--sender", "kamailio", "--answered"],
            "does not say which calls were answered",
        ),
        (
            &["--customer", "c", "--account", "a"],
            "customer needs a sender or a mapping",
        ),
        (
            &["--sender", "twilio", "--customer", "c"],
            "limited to one account",
        ),
        (
            &[
                "--sender",
                "twilio",
                "--customer",
                "c",
                "--account",
                "a",
                "b",
            ],
            "limited to one account",
        ),
        (
            &["--sender", "twilio", "--hook"],
            "customer is required for a hook",
        ),
        (
            &[
                "--sender",
                "twilio",
                "--hook",
                "--account",
                "a",
                "--customer",
                "c",
                "--scope",
                "report",
                "read",
            ],
            "a hook may only report",
        ),
        (
            &["--sender", "twilio", "--scope", "read"],
            "need the scope report",
        ),
        (
            &["--sender", "twilio", "--time-zone", "Mars/Olympus"],
            "no time zone",
        ),
    ] {
        let all = [&["token", "create", "--client", "x"], arguments].concat();
        let (code, errors) = refused(&database, &all);
        assert!(
            code == 2 && errors.contains(reason),
            "{arguments:?}: {code} {errors}"
        );
    }
    assert_eq!(printed(&database, &["token", "list", "--json"]), "[]");
}

on_both_databases!(
    a_token_that_requires_an_identity_refuses_what_cannot_be_told_from_a_repeat,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = client_with(
            &server,
            &database,
            &["--client", "strict", "--require-identity"],
        );
        let report = json!({"accountId": "a", "customerId": "c"});
        for path in ["/billables", "/json/reply/NewBillable"] {
            let reply = send(client.post(path).json(&report)).await;
            assert_eq!(
                (reply.status, &*reply.error_code()),
                (400, "NotEmpty"),
                "{reply:?}"
            );
        }
        assert_eq!(client.report_keyed("k", &report).await.status, 201);
        let called = json!({"accountId": "a", "customerId": "c", "callSid": "CA1"});
        assert_eq!(client.report(&called).await.status, 201);
        assert_eq!(
            send(client.post("/billables").json(&json!([called, report])))
                .await
                .status,
            400
        );
        assert_eq!(database.ids().await.len(), 2);
    }
);

/// The page's own commands, with the program of this build.
#[test]
fn the_commands_of_the_page_about_mappings_do_what_it_says() {
    let database = Database::sqlite().migrated();
    let directory = tempfile::tempdir().unwrap();
    let page = read("docs/senders/mapping.md");
    let blocks = blocks(&page);
    let mut ran = 0;
    for (index, (language, commands)) in blocks.iter().enumerate() {
        if *language != "sh" {
            continue;
        }
        let program = command(&database, &[]);
        let mut shell = std::process::Command::new("bash");
        shell.envs(
            program
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        let program = program.get_program().to_str().unwrap();
        let commands = commands.replace("billables senders", &format!("{program} senders"));
        let commands = commands.replace("billables token", &format!("{program} token"));
        let (code, shown, errors) = run(shell
            .args(["-euc", &commands])
            .current_dir(directory.path()));
        assert_eq!(code, 0, "{commands}: {errors}");
        match blocks.get(index + 1) {
            Some(("text", expected)) => assert_eq!(shown, *expected),
            _ => assert!(!shown.is_empty(), "{commands}"),
        }
        ran += 1;
    }
    assert_eq!(ran, 3);
}

#[test]
fn a_file_is_tried_without_storing_anything() {
    let database = Database::sqlite();
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let body = file(
        "body.json",
        r#"{"data":{"id":7,"start":"2026-03-01T09:30:00"},"event":"end"}"#,
    );
    let mapped = [
        "senders",
        "try",
        "--map",
        "callSid=/data/id",
        "--map",
        "occurredAt=/data/start",
    ];
    let zone = ["--time-zone", "Europe/Rome", &body];
    assert_eq!(
        printed(&database, &[&mapped[..], &zone].concat()),
        r#"{"callSid":"7","occurredAt":"2026-03-01T08:30:00.000000Z"}"#
    );
    let only = [
        "--only",
        "/event=begin",
        "--time-zone",
        "Europe/Rome",
        &body,
    ];
    assert_eq!(
        printed(&database, &[&mapped[..], &only].concat()),
        r#"{"ignored":"only"}"#
    );
    let (code, shown, errors) = run(&mut command(&database, &[&mapped[..], &[&*body]].concat()));
    assert!(
        code == 1 && shown.contains("no time zone is set for it"),
        "{shown} {errors}"
    );
    let recorded = crate::tidy::root().join("tests/senders/freeswitch-plain-1.http");
    let shown = printed(
        &database,
        &["senders", "try", "freeswitch", recorded.to_str().unwrap()],
    );
    assert!(
        shown.contains("f3ca4579-e7f2-4584-ab71-1717182fd27c"),
        "{shown}"
    );
    let (code, errors) = refused(&database, &["senders", "try", "twilio", &body]);
    assert!(
        code == 1 && errors.contains("the sender twilio does not read this request"),
        "{errors}"
    );
    let (code, _) = refused(&database, &["senders", "try", &body]);
    assert_eq!(code, 2);
    assert!(printed(&database, &["senders", "list"]).contains("FreeSWITCH"));
    let shown = printed(
        &database,
        &[
            "senders",
            "show",
            "twilio",
            "--url",
            "https://b.example.org",
            "--account",
            "A1",
        ],
    );
    assert!(
        shown.contains(
            "https://twilio:TOKEN@b.example.org/billables?sender=twilio&answered=true&accountId=A1"
        ),
        "{shown}"
    );
}

/// A payload in the form that a provider's public documentation shows: its name, its mapping, the
/// only events, its body, and the call and time.
type Payload = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
    &'static str,
    [&'static str; 2],
);

/// None of them has a profile, or is in an example.
const PAYLOADS: [Payload; 10] = [
    (
        "Vonage, voice events: completed",
        &["callSid=/uuid", "occurredAt=/start_time"],
        &["/status=completed"],
        r#"{"headers":{},"end_time":"2026-03-01T08:30:42.000Z","uuid":"aaaaaaaa-bbbb-cccc-dddd-0123456789ab","network":"GB-FIXED","duration":"42","start_time":"2026-03-01T08:30:00.000Z","rate":"0.00450000","price":"0.00315000","from":"447700900000","to":"447700900001","conversation_uuid":"CON-aaaaaaaa","status":"completed","direction":"outbound","timestamp":"2026-03-01T08:30:43.000Z"}"#,
        [
            "aaaaaaaa-bbbb-cccc-dddd-0123456789ab",
            "2026-03-01T08:30:00.000000Z",
        ],
    ),
    (
        "Telnyx, call control: call.hangup",
        &[
            "callSid=/data/payload/call_leg_id",
            "occurredAt=/data/payload/start_time",
        ],
        &["/data/event_type=call.hangup"],
        r#"{"data":{"event_type":"call.hangup","id":"0ccc7b54-4df3-4bca-a65a-3da1ecc777f0","occurred_at":"2026-03-01T08:30:42.521992Z","payload":{"call_control_id":"v2:7subYr8fLrXmaAXm8egeAMpoSJ72J3SGPUuome81-hQuaKRf9b7hKA","call_leg_id":"428c31b6-7af4-4bcb-b7f5-5013ef9657c1","call_session_id":"428c31b6-abf3-3bc1-b7f4-5013ef9657c1","client_state":null,"end_time":"2026-03-01T08:30:42Z","start_time":"2026-03-01T08:30:00Z","hangup_cause":"normal_clearing"},"record_type":"event"},"meta":{"attempt":1}}"#,
        [
            "428c31b6-7af4-4bcb-b7f5-5013ef9657c1",
            "2026-03-01T08:30:00.000000Z",
        ],
    ),
    (
        "Plivo, hangup URL",
        &["callSid=form:CallUUID", "occurredAt=form:StartTime"],
        &["form:Event=Hangup"],
        "AnswerTime=2026-03-01+08%3A30%3A04&BillDuration=38&CallStatus=completed&CallUUID=9dd9f5c1-4e2e-4c9a-9f0c-1f0d0d4f3c11&Direction=inbound&Duration=38&Event=Hangup&From=14151234567&HangupCause=NORMAL_CLEARING&StartTime=2026-03-01+08%3A30%3A00&To=14157654321&TotalCost=0.00850",
        [
            "9dd9f5c1-4e2e-4c9a-9f0c-1f0d0d4f3c11",
            "2026-03-01T08:30:00.000000Z",
        ],
    ),
    (
        "Bandwidth, disconnect event",
        &["callSid=/callId", "occurredAt=/startTime"],
        &["/eventType=disconnect"],
        r#"{"eventType":"disconnect","eventTime":"2026-03-01T08:30:42.554Z","accountId":"55555555","applicationId":"7fc9698a-b04a-468b-9e8f-91238c0d0086","from":"+15551112222","to":"+15553334444","direction":"outbound","callId":"c-d45a41e5-bcb12581-b18e-4bdc-9874-6r3235dfweao","startTime":"2026-03-01T08:30:00.234Z","answerTime":"2026-03-01T08:30:05.123Z","endTime":"2026-03-01T08:30:42.554Z","cause":"hangup"}"#,
        [
            "c-d45a41e5-bcb12581-b18e-4bdc-9874-6r3235dfweao",
            "2026-03-01T08:30:00.234000Z",
        ],
    ),
    (
        "Infobip, calls API: CALL_FINISHED",
        &[
            "callSid=/callId",
            "occurredAt=/properties/callLog/startTime",
        ],
        &["/type=CALL_FINISHED"],
        r#"{"callId":"d8d84155-3831-43fb-91c9-bb897149a79d","timestamp":"2026-03-01T08:30:42.100Z","type":"CALL_FINISHED","properties":{"type":"CALL_FINISHED","callLog":{"callId":"d8d84155-3831-43fb-91c9-bb897149a79d","startTime":"2026-03-01T08:30:00.100+0000","state":"FINISHED"}}}"#,
        [
            "d8d84155-3831-43fb-91c9-bb897149a79d",
            "2026-03-01T08:30:00.100000Z",
        ],
    ),
    (
        "RingCentral, telephony session notification",
        &[
            "callSid=/body/telephonySessionId",
            "occurredAt=/body/eventTime",
        ],
        &["/body/parties/0/status/code=Disconnected"],
        r#"{"uuid":"1470626293829932423","event":"/restapi/v1.0/account/400131426008/telephony/sessions","timestamp":"2026-03-01T08:30:42.615Z","subscriptionId":"5511","body":{"sequence":3,"sessionId":"5044527010","telephonySessionId":"s-53c8b1dc62d44bd6a4ae5e2d4f0d9f0a","serverId":"10.62.25.111","eventTime":"2026-03-01T08:30:42.487Z","parties":[{"accountId":"400131426008","status":{"code":"Disconnected","rcc":false},"direction":"Inbound"}]}}"#,
        [
            "s-53c8b1dc62d44bd6a4ae5e2d4f0d9f0a",
            "2026-03-01T08:30:42.487000Z",
        ],
    ),
    (
        "Zoom Phone, phone.callee_ended",
        &[
            "callSid=/payload/object/call_id",
            "occurredAt=/payload/object/answer_start_time",
            "occurredAt=/event_ts",
        ],
        &["/event=phone.callee_ended"],
        r#"{"event":"phone.callee_ended","event_ts":1772353842572,"payload":{"account_id":"8Wsnz4ZHSYCYDDw8WMEPwQ","object":{"call_id":"6898113679679159246","handup_result":"Call connected","answer_start_time":"2026-03-01T08:30:00Z","call_end_time":"2026-03-01T08:30:42Z"}}}"#,
        ["6898113679679159246", "2026-03-01T08:30:00.000000Z"],
    ),
    (
        "Aircall, call.ended",
        &["callSid=/data/id", "occurredAt=/data/started_at"],
        &["/event=call.ended"],
        r#"{"resource":"call","event":"call.ended","timestamp":1772353842,"token":"45XXYYZZa08","data":{"id":812,"direct_link":"https://api.aircall.io/v1/calls/812","direction":"inbound","status":"done","started_at":1772353800,"answered_at":1772353804,"ended_at":1772353842,"duration":42,"user":null}}"#,
        ["812", "2026-03-01T08:30:00.000000Z"],
    ),
    (
        "Sinch, disconnected call event",
        &["callSid=/callid", "occurredAt=/timestamp"],
        &["/event=dice"],
        r#"{"event":"dice","callid":"228d5d8f-6a7b-4a4e-8a8d-0d7a1f4b1c2e","timestamp":"2026-03-01T08:30:42Z","reason":"MANAGERHANGUP","result":"ANSWERED","version":1,"duration":42,"debit":{"currencyId":"USD","amount":0.0},"from":"+12345678900","to":{"type":"number","endpoint":"+46700000000"},"applicationKey":"3c0b5a2e"}"#,
        [
            "228d5d8f-6a7b-4a4e-8a8d-0d7a1f4b1c2e",
            "2026-03-01T08:30:42.000000Z",
        ],
    ),
    (
        "Dialpad, call event hangup",
        &["callSid=/call_id", "occurredAt=/date_started"],
        &["/state=hangup"],
        r#"{"call_id":5780678246121472,"state":"hangup","direction":"inbound","date_started":1772353800000,"date_connected":1772353804000,"date_ended":1772353842000,"duration":42000.5,"external_number":"+14155550100","was_recorded":false}"#,
        ["5780678246121472", "2026-03-01T08:30:00.000000Z"],
    ),
];

#[test]
fn payloads_of_public_documentation_are_mapped_by_addresses_alone() {
    for (name, maps, only, body, [call, time]) in PAYLOADS {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let settings = SenderSettings {
            maps: owned(maps),
            only: owned(only),
            time_zone: Some("UTC".to_owned()),
            ..SenderSettings::default()
        };
        let profile = senders::profile_of(&settings).expect(name).expect(name);
        let read = |body: &str| {
            let is_form = maps[0].contains("form:");
            let request = Request {
                content_type: is_form.then_some("application/x-www-form-urlencoded"),
                headers: &http::HeaderMap::new(),
                query: "",
                body: body.as_bytes(),
            };
            let reading = profile.read(request, false, None).expect(name);
            reading.events.into_iter().next().expect(name)
        };
        let Event::Report(mapped) = read(body) else {
            panic!("{name} is ignored");
        };
        assert_eq!(mapped.errors, [], "{name}");
        let text = |text: &str| Some(RawValue::Text(text.to_owned()));
        assert_eq!(
            mapped.report.get(Field::CallSid).cloned(),
            text(call),
            "{name}"
        );
        assert_eq!(
            mapped.report.get(Field::OccurredAt).cloned(),
            text(time),
            "{name}"
        );
        // Every other event is ignored.
        let (_, value) = only[0].split_once('=').unwrap();
        assert!(
            matches!(read(&body.replace(value, "other")), Event::Ignored { .. }),
            "{name}"
        );
    }
}
