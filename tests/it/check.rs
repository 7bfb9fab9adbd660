//! `POST /billables/check`, and `billables check` with a carrier's list.

use billables::token::Scope;
use serde_json::json;

use crate::import_export::{Files, call, report, void};
use crate::list::report_calls;
use crate::support::client::send;
use crate::support::server::token;
use crate::support::{Database, Server, on_both_databases};

on_both_databases!(a_check_returns_each_state, async |database: Database| {
    let server = Server::start(&database).await;
    let client = server.client();
    report_calls(&client, 0..3).await;
    let twin = client
        .report(&json!({"sessionId": "S", "callSid": "CA0"}))
        .await
        .id();
    let voided = client.get("/billables?callSid=CA1").await.json()["items"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    send(client.post(&format!("/billables/{voided}/void"))).await;
    let wanted = json!({"callSids": ["CA0", "CA1", "none", "CA0"], "ids": [twin.to_string(), voided, "no-id"]});
    let reply = send(client.post("/billables/check").json(&wanted))
        .await
        .json();
    let items = reply["items"].as_array().unwrap();
    let states: Vec<_> = items
        .iter()
        .map(|item| item["state"].as_str().unwrap())
        .collect();
    assert_eq!(
        states,
        [
            "present", "voided", "missing", "present", "present", "voided", "missing"
        ]
    );
    assert_eq!(items[0]["ids"].as_array().unwrap().len(), 2);
    let xml = send(
        client
            .post("/billables/check?format=xml")
            .json(&json!({"callSids": ["CA1"]})),
    )
    .await;
    assert!(xml.body.contains("<CheckedBillable><Ids xmlns:a=\"http://schemas.microsoft.com/2003/10/Serialization/Arrays\"><a:string>"), "{}", xml.body);

    let many: Vec<_> = (0..10_000).map(|call| format!("CA{call}")).collect();
    let all = send(
        client
            .post("/billables/check")
            .json(&json!({"callSids": many})),
    )
    .await
    .json();
    let present = all["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|item| item["state"] != "missing");
    assert_eq!(present.count(), 3);
    let too_many = json!({"callSids": many, "ids": ["x"]});
    assert_eq!(
        send(client.post("/billables/check").json(&too_many))
            .await
            .status,
        413
    );
    for body in [
        "[]",
        "{",
        "{\"callSids\":[1]}",
        "{\"callSids\":[\"a\\u0000\"]}",
        "{\"callSids\":[\"\"]}",
    ] {
        let refused = send(
            client
                .post("/billables/check")
                .header("content-type", "application/json")
                .body(body),
        )
        .await;
        assert_eq!(refused.status, 400, "{body}");
    }
    let xml = send(
        client
            .post("/billables/check")
            .header("content-type", "application/xml")
            .body("<a/>"),
    )
    .await;
    assert_eq!(
        (xml.status, &*xml.error_code()),
        (415, "UnsupportedMediaType")
    );
});

on_both_databases!(
    a_carriers_list_of_calls_is_checked,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        let mut ids = Vec::new();
        for (account, call, minute) in [
            ("a", "there", 0),
            ("a", "voided", 1),
            ("a", "extra", 2),
            ("a", "voided-extra", 3),
            ("a", "twice", 4),
            ("b", "foreign", 5),
            ("a", "outside", 55),
            ("a", "voided-outside", 56),
        ] {
            ids.push(
                client
                    .report(&report(account, "c", call, minute))
                    .await
                    .id()
                    .to_string(),
            );
        }
        for voided in [1, 3, 7] {
            void(&client, &ids[voided], "a test").await;
        }
        // This call is voided, but was also reported again with a key.
        let again = client
            .report_keyed("again", &report("a", "c", "twice", 6))
            .await;
        void(&client, &ids[4], "a test").await;
        assert_eq!(again.status, 201);
        let files = Files::new();
        let check = |text: &str| {
            let file = files.with("calls.csv", text);
            let range = [
                "--account",
                "a",
                "--from",
                "2026-03-01T09:00:00Z",
                "--to",
                "2026-03-01T09:30:00Z",
            ];
            let (code, output, _) = call(
                &database,
                &[&["check", &*file, "--column", "call"], &range[..]].concat(),
            );
            let mut lines: Vec<_> = output.lines().map(str::to_owned).collect();
            let summary = lines.pop().unwrap_or_default();
            lines.sort();
            (code, lines, summary)
        };
        let all = "Call,x\nthere,1\nvoided,\ntwice,1\nforeign,1\noutside,1\nvoided-outside,1\n,1\nthere,2\n\"a\nb\",1\nno,1\n";
        let expected = [
            &*format!("extra \"extra\" {}", ids[2]),
            "missing \"a\\nb\"",
            "missing \"foreign\"",
            "missing \"no\"",
            "voided \"voided\"",
            "voided \"voided-outside\"",
        ];
        let (code, lines, summary) = check(all);
        assert_eq!(
            (code, &*summary),
            (1, "calls 8, missing 3, extra 1, voided 2")
        );
        assert_eq!(lines, expected);
        let (code, lines, summary) = check("CALL\nthere\nextra\ntwice\nvoided\noutside\n");
        assert_eq!(
            (code, lines, &*summary),
            (
                0,
                vec!["voided \"voided\"".to_owned()],
                "calls 5, missing 0, extra 0, voided 1"
            )
        );
        let many: String = (0..1200).map(|number| format!("c{number}\n")).collect();
        let (_, lines, summary) = check(&format!("call\n{many}there\n"));
        assert_eq!(
            (lines.len(), &*summary),
            (1202, "calls 1201, missing 1200, extra 2, voided 0")
        );
        assert_eq!(check("other\n1\n").0, 2);
        assert_eq!(check("call\n1,2\n").0, 1);
    }
);

on_both_databases!(
    case_14_ids_of_others_are_missing_however_often_they_are_given,
    async |database: Database| {
        let secret = token(&database, "own", &[Scope::Read], Some(&["own"])).await;
        let server = Server::start(&database).await;
        let (client, limited) = (server.client(), server.client_of(&secret));
        let report = |account: &str, call: &str| json!({"accountId": account, "customerId": "c", "callSid": call});
        let own = client.report(&report("own", "CA1")).await.id();
        let other = client.report(&report("other", "CA1")).await.id();
        // A billable that names nobody and is attributed later has only one entry of the account.
        let session = client
            .report(&json!({"sessionId": "S", "callSid": "CA2"}))
            .await
            .id();
        let pair = json!({"accountId": "own", "customerId": "c"});
        let decision = client
            .request(reqwest::Method::PUT, "/sessions/S")
            .json(&pair);
        assert_eq!(send(decision).await.status, 200);
        let mut ids = vec![other.to_string(); 9_998];
        ids.extend([own.to_string(), session.to_string()]);
        let reply = send(limited.post("/billables/check").json(&json!({"ids": ids}))).await;
        assert_eq!(reply.status, 200);
        let items = reply.json()["items"].as_array().unwrap().clone();
        assert_eq!(items.len(), 10_000);
        let states = |state: &str| items.iter().filter(|item| item["state"] == state).count();
        assert_eq!((states("missing"), states("present")), (9_998, 2));
        assert_eq!(items[9_999]["ids"], json!([session.to_string()]));
    }
);
