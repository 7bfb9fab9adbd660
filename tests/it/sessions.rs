//! `PUT` and `GET /sessions/{sessionId}`: attribution of sessions, also under kills and races.

use std::collections::{BTreeMap, BTreeSet};

use billables::store::Store;
use billables::token::Scope;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::client::{Reply, send, try_send};
use crate::support::server::{command, run, token};
use crate::support::{Client, Database, Server, on_both_databases};
use crate::void::{PAIR, put};

async fn export(client: &Client, query: &str) -> Vec<Value> {
    let body = client
        .get(&format!("/billables?format=ndjson&{query}"))
        .await
        .body;
    body.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn counts(billing: &Value) -> BTreeMap<String, (i64, i64)> {
    let rows = billing["customers"].as_array().unwrap().iter();
    rows.map(|row| {
        let count = |name: &str| row[name].as_i64().unwrap();
        let customer = row["customerId"].as_str().unwrap().to_owned();
        (customer, (count("billableCount"), count("voidedCount")))
    })
    .collect()
}

/// Inserts many billables of one session directly into the database.
pub(crate) async fn fill_session(database: &Database, count: u32) {
    let rows = if database.is_postgres() {
        "select 0, n, 1, id, 'S', 1750000000000000 + n, 1750000000000000 + n, 'test'
    from (select n, gen_random_uuid() as id from generate_series(1, $1) as n) as made"
    } else {
        "with recursive series (n) as (select 1 union all select n + 1 from series where n < $1),
        made as materialized (select n, randomblob(16) as id from series)
    select 0, n, 1, id, 'S', 1750000000000000 + n, 1750000000000000 + n, 'test' from made"
    };
    let statement = format!(
        "insert into entries (partition, position, kind, billable_id, session_id, occurred_at, recorded_at, client) {};
         update log_heads set next_position = $1 + 1",
        rows
    );
    database
        .execute_owned(statement.replace("$1", &count.to_string()))
        .await;
}

on_both_databases!(a_session_is_attributed_once, async |database: Database| {
    let server = Server::start(&database).await;
    let client = server.client();
    let before = client
        .report(&json!({"sessionId": "S 1", "callSid": "CA1", "accountId": "acc"}))
        .await
        .id();
    let own = client
        .report(&json!({"sessionId": "S 1", "callSid": "CA2", "accountId": "x", "customerId": "y"}))
        .await
        .id();
    let refused = send(
        client
            .request(Method::PUT, "/sessions/S%201")
            .json(&json!({"accountId": " "})),
    )
    .await;
    assert_eq!(refused.field_errors().len(), 2);
    assert_eq!(client.get("/sessions/S%201").await.status, 404);
    for _ in 0..2 {
        let decided = send(put(&client, "S%201", PAIR)).await;
        assert_eq!(
            (decided.status, &decided.json()["isComplete"]),
            (200, &json!(true))
        );
    }
    let other = send(put(&client, "S%201", ("acc", "other"))).await;
    assert_eq!(
        other.field_errors(),
        [("CustomerId".to_owned(), "AttributionConflict".to_owned())]
    );
    assert_eq!(other.status, 409);
    let after = client
        .report(&json!({"sessionId": "S 1", "callSid": "CA3"}))
        .await;
    assert_eq!(
        after.json()["billedCustomerId"],
        "cus",
        "a later report is billed immediately"
    );
    assert_eq!(after.json()["state"], "billable");
    let billed =
        async |id| client.get(&format!("/billables/{id}")).await.json()["billedAccountId"].clone();
    assert_eq!(
        [
            billed(before).await,
            billed(own).await,
            billed(after.id()).await
        ],
        ["acc", "x", "acc"]
    );
    let xml = client.get("/sessions/S%201?format=xml").await.body;
    assert!(
        xml.contains("<IsComplete>true</IsComplete><SessionId>S 1</SessionId>"),
        "{xml}"
    );
});

on_both_databases!(
    attribution_of_100_000_billables_survives_a_kill,
    async |database: Database| {
        let server = Server::start(&database).await;
        fill_session(&database, 100_000).await;
        let client = server.client();
        let voided = client.get("/billables?sessionId=S&limit=3").await.json();
        let voided: Vec<_> = voided["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["id"].as_str().unwrap().to_owned())
            .collect();
        for id in &voided {
            assert_eq!(
                send(client.post(&format!("/billables/{id}/void")))
                    .await
                    .status,
                200
            );
        }
        let asked = client.clone();
        let asking = tokio::spawn(async move { try_send(put(&asked, "S", PAIR)).await });
        // The server is killed when part of the attribution is done; another process finishes it.
        while database
            .count("select count(*) from entries where kind = 2")
            .await
            < 10_000
        {}
        server.kill();
        let _ = asking.await.unwrap();
        let done = database
            .count("select count(*) from entries where kind = 2")
            .await;
        assert!(
            done < 99_997,
            "the kill came before the end of the attribution"
        );
        let server = Server::start(&database).await;
        let client = server.client();
        let completed = async {
            loop {
                let answer = send(put(&client, "S", PAIR)).await;
                if answer.status == 200 {
                    break answer;
                }
                assert_eq!(answer.status, 202, "{answer:?} {}", server.log());
            }
        };
        let answer = tokio::time::timeout(std::time::Duration::from_secs(600), completed)
            .await
            .unwrap();
        assert_eq!(answer.json()["isComplete"], true);
        assert_eq!(
            database
                .count("select count(*) from entries where kind = 2")
                .await,
            99_997
        );
        assert_eq!(
            database
                .count("select count(distinct billable_id) from entries where kind = 2")
                .await,
            99_997
        );
        let billing = client
            .get("/billing?startDate=2025-06-01&endDate=2025-06-30")
            .await
            .json();
        assert_eq!(
            (counts(&billing), &billing["unattributedCount"]),
            ([("cus".to_owned(), (99_997, 0))].into(), &json!(0))
        );
        assert!(export(&client, "state=unattributed").await.is_empty());
        assert_eq!(
            client.get("/billables?state=voided").await.json()["items"]
                .as_array()
                .unwrap()
                .len(),
            3
        );
    }
);

/// An attribution that waits for a lock does not take a connection that is needed to read the
/// tokens.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attributions_that_wait_for_a_lock_do_not_block_other_requests() {
    let database = Database::postgres().await;
    let server = Server::start(&database).await;
    let lock = database.lock_sessions().await;
    let deciding: Vec<_> = (0..4)
        .map(|session| {
            let client = server.client();
            tokio::spawn(async move { send(put(&client, &format!("S{session}"), PAIR)).await })
        })
        .collect();
    database.until_waiting_for_lock().await;
    let began = std::time::Instant::now();
    // Longer than tokens stay valid without being reread.
    while began.elapsed() < std::time::Duration::from_secs(7) {
        let report = json!({"sessionId": "S9", "callSid": "CA"});
        assert!(server.client().report(&report).await.status < 300);
        assert_eq!(server.client().get("/billables").await.status, 200);
    }
    for decision in deciding {
        let refused = decision.await.unwrap();
        assert_eq!(
            (refused.status, &*refused.error_code()),
            (503, "StoreUnavailable")
        );
    }
    drop(lock);
    assert_eq!(send(put(&server.client(), "S0", PAIR)).await.status, 200);
}

/// Several processes report, void and attribute concurrently, while a roller is interrupted again
/// and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn totals_are_exact_when_attribution_races_with_reports_and_voids() {
    let database = Database::postgres().await;
    let (store, _) = database.store_with(4).await;
    let servers = [
        Server::start(&database).await,
        Server::start(&database).await,
    ];
    let rolling = tokio::spawn(roll_and_give_up(database.url().to_owned()));
    let mut tasks = tokio::task::JoinSet::new();
    for (process, server) in servers.iter().enumerate() {
        for session in 0..4 {
            let client = server.client();
            tasks.spawn(async move {
                let mut voided = Vec::new();
                for call in 0..30 {
                    let name = format!("S{session}");
                    let report = json!({"sessionId": name, "callSid": format!("{process}-{session}-{call}")});
                    let id = client.report(&report).await.id().to_string();
                    if call == 10 + session {
                        assert_eq!(send(put(&client, &name, ("acc", &name))).await.status, 200);
                    }
                    if call % 5 == process {
                        let void = client.post(&format!("/billables/{id}/void"));
                        assert_eq!(send(void).await.status, 200);
                        voided.push(id);
                    }
                }
                voided
            });
        }
    }
    let voided: BTreeSet<String> = tasks.join_all().await.concat().into_iter().collect();
    rolling.abort();
    let client = servers[0].client();
    let rows = export(&client, "").await;
    assert_eq!((rows.len(), voided.len()), (240, 48));
    let mut expected: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for row in &rows {
        let is_voided = voided.contains(row["id"].as_str().unwrap());
        assert_eq!(row["state"], if is_voided { "voided" } else { "billable" });
        if let Some(customer) = row["billedCustomerId"].as_str() {
            assert_eq!(row["sessionId"], customer);
            let total = expected.entry(customer.to_owned()).or_default();
            if is_voided {
                total.1 += 1
            } else {
                total.0 += 1
            }
        }
    }
    let today = billables::billable::Timestamp::now().to_string()[..10].to_owned();
    let path = format!("/billing?accountId=acc&startDate=2026-11-01&endDate={today}");
    for _ in 0..2 {
        let billing = client.get(&path).await.json();
        assert_eq!(
            (counts(&billing), &billing["unattributedCount"]),
            (expected.clone(), &json!(0))
        );
        // Rebuilds the totals in small steps, and compares again.
        for partition in 0..4 {
            store.totals_clear(partition).await.unwrap();
            while store.totals_roll(partition, 7).await.unwrap() {}
        }
    }
    store.close().await;
}

/// Rolls the totals in small batches, and cancels each roll at an arbitrary point.
async fn roll_and_give_up(url: String) {
    let store = Store::open(&url, 1).await.unwrap();
    let mut micros = 0;
    loop {
        for partition in 0..4 {
            micros = (micros + 173) % 5_000;
            let patience = std::time::Duration::from_micros(micros);
            let _ = tokio::time::timeout(patience, store.totals_roll(partition, 3)).await;
        }
        tokio::task::yield_now().await;
    }
}

fn outcomes(reply: &Reply) -> Vec<String> {
    assert_eq!(reply.status, 200, "{}", reply.body);
    let items = reply.json()["items"].as_array().unwrap().clone();
    let outcome = |item: &Value| item["outcome"].as_str().unwrap().to_owned();
    items.iter().map(outcome).collect()
}

on_both_databases!(
    many_sessions_are_attributed_at_once_each_with_its_outcome,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        let reports: Vec<_> = (0..2400)
            .map(|call| json!({"sessionId": format!("S{}", call % 1200), "callSid": format!("CA{call}")}))
            .collect();
        assert_eq!(
            send(client.post("/billables").json(&reports)).await.status,
            201
        );
        let decide =
            async |body: &Value| send(client.request(Method::PUT, "/sessions").json(body)).await;
        let pair = |session: usize, customer: &str| json!({"sessionId": format!("S{session}"), "accountId": "a", "customerId": customer});

        // Nothing is decided if an item cannot be meant, and all such items are listed.
        let bad = json!([pair(0, "c"), {"sessionId": "S1", "accountId": " "}, {"accountId": "a", "customerId": "x".repeat(300)}]);
        let refused = decide(&bad).await;
        assert_eq!(refused.status, 400);
        let errors = refused.json()["responseStatus"]["errors"].clone();
        let errors = errors.as_array().unwrap().iter();
        let shown: Vec<_> = errors
            .map(|error| {
                (
                    error["fieldName"].clone(),
                    error["meta"]["AutoBatchIndex"].clone(),
                )
            })
            .collect();
        let expected = [
            ("AccountId", "1"),
            ("CustomerId", "1"),
            ("SessionId", "2"),
            ("CustomerId", "2"),
        ];
        assert_eq!(
            shown,
            expected.map(|(field, index)| (json!(field), json!(index)))
        );
        let marked = "\u{feff}[{\"sessionId\": \"S\", \"accountId\": \"a\"}]";
        let request = client.request(Method::PUT, "/sessions").body(marked);
        let refused = send(request.header("content-type", "application/json")).await;
        assert_eq!(
            refused.field_errors()[0].0,
            "CustomerId",
            "the mark is no error"
        );
        for (body, code) in [
            (json!([]), "NotEmpty"),
            (json!({}), "NotEmpty"),
            (json!({"sessions": [1]}), "SerializationException"),
        ] {
            let refused = decide(&body).await;
            assert_eq!(
                (refused.status, &*refused.error_code()),
                (400, code),
                "{body}"
            );
        }
        let many: Vec<_> = (0..10_001).map(|session| pair(session, "c")).collect();
        assert_eq!(decide(&json!(many)).await.status, 413);
        let limited = token(&database, "own", &Scope::ALL[..3], Some(&["a"])).await;
        let limited = server.client_of(&limited);
        let refused = send(
            limited
                .request(Method::PUT, "/sessions")
                .json(&json!([pair(0, "c")])),
        )
        .await;
        assert_eq!(refused.status, 403);
        let open = "/sessions?state=undecided&limit=1000";
        assert_eq!(
            client.get(open).await.json()["items"]
                .as_array()
                .unwrap()
                .len(),
            1000
        );

        // A session that others decided, one twice, and one with two pairs.
        let one = json!({"accountId": "a", "customerId": "c"});
        let decision = client.request(Method::PUT, "/sessions/S5").json(&one);
        assert_eq!(send(decision).await.status, 200);
        let mut wanted: Vec<_> = (0..1200).map(|session| pair(session, "c")).collect();
        wanted.extend([pair(5, "other"), pair(7, "c"), pair(9, "other")]);
        let reply = decide(&json!({"sessions": wanted})).await;
        let found = outcomes(&reply);
        assert_eq!(found[1200..], ["conflict", "same", "conflict"]);
        for (session, outcome) in found[..1200].iter().enumerate() {
            assert_eq!(outcome, if session == 5 { "same" } else { "decided" });
        }
        assert_eq!(
            reply.json()["items"][1201],
            json!({"input": "S7", "outcome": "same"})
        );
        assert_eq!(client.get(open).await.json()["items"], json!([]));
        let month = "startDate=2020-01-01&endDate=2029-12-31";
        let billing = client
            .get(&format!("/billing?accountId=a&{month}"))
            .await
            .json();
        assert_eq!(counts(&billing), [("c".to_owned(), (2400, 0))].into());
        // The same again changes nothing, in CSV, in another charset, and by name.
        let again = decide(&json!(wanted)).await;
        assert!(
            outcomes(&again)[..1200]
                .iter()
                .all(|outcome| outcome == "same")
        );
        let csv = "CustomerID,accountid,SESSIONID\r\nc,a,S1\r\nzoë,a,new\r\n";
        let latin: Vec<_> = csv
            .chars()
            .map(|c| u8::try_from(u32::from(c)).unwrap())
            .collect();
        for (path, expected) in [
            ("/sessions", ["same", "decided"]),
            ("/api/AttributeSessions.csv", ["same", "same"]),
        ] {
            let request = client
                .request(Method::PUT, path)
                .header("content-type", "text/csv; charset=ISO-8859-1")
                .header("accept", "application/json")
                .body(latin.clone());
            let reply = send(request).await;
            if path == "/sessions" {
                assert_eq!(outcomes(&reply), expected);
            } else {
                assert_eq!(reply.body, "Input,Outcome\r\nS1,same\r\nnew,same\r\n");
            }
        }
        let new = client.get("/sessions/new").await.json();
        assert_eq!(new["customerId"], "zoë");
        // Reports that come later are billed at once, or to nobody if they name another account.
        let late = client.report(&json!({"sessionId": "S3"})).await.json();
        assert_eq!(late["billedCustomerId"], "c");
    }
);

on_both_databases!(
    sessions_with_more_billables_than_a_step_are_attributed_together,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        // More than two steps of one session, beside small ones.
        fill_session(&database, 12_000).await;
        for session in ["A", "T", "U"] {
            assert_eq!(
                client.report(&json!({"sessionId": session})).await.status,
                201
            );
        }
        let pair =
            |session: &str| json!({"sessionId": session, "accountId": "a", "customerId": "c"});
        let wanted = json!([pair("T"), pair("S"), pair("U"), pair("A")]);
        // The same request again, while the first is carried out.
        let requests: Vec<_> = (0..6)
            .map(|_| tokio::spawn(send(client.request(Method::PUT, "/sessions").json(&wanted))))
            .collect();
        for request in requests {
            for outcome in outcomes(&request.await.unwrap()) {
                assert!(["decided", "same"].contains(&&*outcome), "{outcome}");
            }
        }
        let month = "startDate=2020-01-01&endDate=2029-12-31";
        let billing = client
            .get(&format!("/billing?accountId=a&{month}"))
            .await
            .json();
        assert_eq!(counts(&billing), [("c".to_owned(), (12_003, 0))].into());
        assert_eq!(crate::verify::verify(&database).0, 0);
    }
);

on_both_databases!(
    the_attribute_command_does_the_same_on_a_server_as_on_the_database,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let address = format!("http://{}", server.address());
        let secret = write("token", server.secret());
        let remote = ["--server", &address, "--token-file", &secret];
        for (on, by) in [(&remote[..], "default"), (&[], "admin")] {
            let attribute = |arguments: &[&str]| {
                run(&mut command(
                    &database,
                    &[&["attribute"], arguments, on].concat(),
                ))
            };
            let session = |number: usize| format!("{by} {number}");
            for number in 0..6 {
                let report =
                    json!({"sessionId": session(number), "callSid": format!("CA-{by}-{number}")});
                assert_eq!(client.report(&report).await.status, 201);
            }
            let pair = ["--account", "a", "--customer", by];
            let arguments: Vec<_> = [0, 1, 0].map(session).into();
            let arguments = arguments.iter().map(String::as_str).chain(pair);
            let (code, output, errors) = attribute(&arguments.collect::<Vec<_>>());
            assert_eq!((code, &*errors), (0, ""), "{output}");
            let expected = format!(
                "decided {by} 0\ndecided {by} 1\nsame {by} 0\ndecided 2, same 1, conflict 0, pending 0\n"
            );
            assert_eq!(output, expected);
            let entries = client
                .get(&format!(
                    "/billables?sessionId={}",
                    session(0).replace(' ', "%20")
                ))
                .await
                .json();
            let billable = client
                .get(&format!(
                    "/billables/{}/history",
                    entries["items"][0]["id"].as_str().unwrap()
                ))
                .await
                .json();
            assert_eq!(billable["items"][1]["client"], by);

            let csv =
                format!("sessionId,accountId,customerId\r\n{by} 2,a,{by}\r\n{by} 0,a,other\r\n");
            let csv = write("sessions.csv", &csv);
            let (code, output, errors) = attribute(&["--file", &csv]);
            assert!(code == 1 && errors.contains("stays so"), "{errors}");
            assert!(output.contains(&format!("conflict {by} 0\n")), "{output}");
            let text = json!([{"sessionId": session(3), "accountId": "a", "customerId": by}]);
            let (code, output, _) =
                attribute(&["--file", &write("sessions", &text.to_string()), "--json"]);
            let expected = json!([{"input": session(3), "outcome": "decided"}]);
            assert_eq!(
                (code, serde_json::from_str::<Value>(&output).unwrap()),
                (0, expected)
            );

            // If an item cannot be meant, nothing is done.
            let bad = format!("sessionId,accountId,customerId\n{by} 4,a,c\n{by} 5,,c\n");
            let (code, output, errors) = attribute(&["--file", &write("bad.csv", &bad)]);
            assert_eq!((code, &*output), (1, ""));
            assert!(errors.contains("item 2: accountId is required"), "{errors}");
            let nothing = [
                write("none.csv", "sessionId,accountId,customerId\n"),
                write("other", "{\"items\": [{\"sessionId\": \"S\"}]}"),
            ];
            for file in &nothing {
                let (code, _, errors) = attribute(&["--file", file]);
                assert!(
                    code == 1 && errors.contains("nothing to decide"),
                    "{errors}"
                );
            }
            for wrong in [
                vec![],
                vec!["S"],
                vec!["S", "--account", "a"],
                vec!["--file", &csv, "--account", "a"],
            ] {
                assert_eq!(attribute(&wrong).0, 2, "{wrong:?}");
            }
            let open = client.get("/sessions?state=undecided").await.json();
            assert_eq!(
                open["items"].as_array().unwrap().len(),
                if by == "admin" { 4 } else { 2 }
            );
        }
        assert_eq!(crate::verify::verify(&database).0, 0);
    }
);
