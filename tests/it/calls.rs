//! Lookups by call: lists and checks find every billable of a call, whatever made its id, and
//! nothing else.

use std::collections::BTreeSet;

use billables::billable::entry::partition_of;
use billables::token::Scope;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::send;
use crate::support::server::{command, run, token};
use crate::support::{Client, Database, Server, on_both_databases};
use crate::verify::verify;

/// Two calls whose ids have the same first part: found by trying 14 million names.
const NEIGHBOURS: [&str; 2] = ["CA8689779", "CA14734748"];

fn report(account: &str, call: &str) -> Value {
    json!({"accountId": account, "customerId": "c", "callSid": call})
}

/// Returns the ids that a list shows.
async fn listed(client: &Client, query: &str) -> BTreeSet<String> {
    let page = client
        .get(&format!("/billables?limit=1000&{query}"))
        .await
        .json();
    assert!(page["nextCursor"].is_null(), "{page}");
    let items = page["items"].as_array().unwrap().iter();
    items
        .map(|item| item["id"].as_str().unwrap().to_owned())
        .collect()
}

/// Returns the state and the ids of a call, as a check answers.
async fn checked(client: &Client, call: &str) -> (String, BTreeSet<String>) {
    let body = json!({"callSids": [call]});
    let answer = send(client.post("/billables/check").json(&body))
        .await
        .json();
    let item = &answer["items"][0];
    let ids = item["ids"].as_array().unwrap().iter();
    (
        item["state"].as_str().unwrap().to_owned(),
        ids.map(|id| id.as_str().unwrap().to_owned()).collect(),
    )
}

async fn stored(client: &Client, report: &Value) -> String {
    let reply = client.report(report).await;
    assert_eq!(reply.status, 201, "{reply:?}");
    reply.id().to_string()
}

on_both_databases!(
    calls_whose_ids_begin_alike_are_not_confused,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        let mut ids = Vec::new();
        for call in NEIGHBOURS {
            ids.push(stored(&client, &report("a", call)).await);
        }
        assert_eq!(ids[0][..14], ids[1][..14], "the calls are neighbours");
        for (call, id) in NEIGHBOURS.into_iter().zip(&ids) {
            let own = BTreeSet::from([id.clone()]);
            assert_eq!(listed(&client, &format!("callSid={call}")).await, own);
            assert_eq!(checked(&client, call).await, ("present".to_owned(), own));
            assert_eq!(client.report(&report("a", call)).await.status, 200);
        }
        let void = client.post(&format!("/billables/{}/void", ids[0]));
        assert_eq!(send(void).await.status, 200);
        assert_eq!(checked(&client, NEIGHBOURS[0]).await.0, "voided");
        assert_eq!(checked(&client, NEIGHBOURS[1]).await.0, "present");
        assert_eq!(verify(&database).0, 0);
    }
);

/// Returns an exported row of a billable of this call, with an id from elsewhere.
fn row(id: &str, account: &str, call: &str) -> String {
    let row = json!({
        "id": id, "accountId": account, "customerId": "c", "callSid": call, "state": "billable",
        "billedAccountId": account, "billedCustomerId": "c",
        "occurredAt": "2026-03-01T09:00:00Z", "recordedAt": "2026-03-01T09:00:01Z",
    });
    format!("{row}\n")
}

/// Stores billables of one call whose ids were made in every way, and returns the ids by account.
async fn every_kind_of_id(database: &Database, client: &Client) -> [BTreeSet<String>; 2] {
    let mut own = BTreeSet::new();
    let mut others = BTreeSet::new();
    let computed = stored(client, &report("a", "CA")).await;
    others.insert(stored(client, &report("b", "CA")).await);
    let keyed = client.report_keyed("k-1", &report("a", "CA")).await;
    assert_eq!(keyed.status, 201);
    own.insert(keyed.id().to_string());
    let batch: Vec<_> = ["a", "b", "a"].map(|account| report(account, "CA")).into();
    let batch = client
        .post("/billables")
        .header("idempotency-key", "k-2")
        .json(&batch);
    let batch = send(batch).await;
    assert_eq!(batch.status, 201);
    for item in batch.json().as_array().unwrap() {
        let id = item["id"].as_str().unwrap().to_owned();
        let of = if item["accountId"] == "a" {
            &mut own
        } else {
            &mut others
        };
        of.insert(id);
    }
    // Ids of another system: with the version of none, of this log's ids beside those of the call,
    // and of this log's ids elsewhere; the last but one begins as the call's ids do.
    let beside = format!("{}-8000-8000-000000000001", &computed[..13]);
    let random = format!("{}-4000-8000-000000000001", &computed[..13]);
    let foreign = [
        "00000000-0000-4000-8000-000000000001",
        &beside,
        &random,
        "00000000-0000-8000-8000-000000000001",
    ];
    let rows = foreign.map(|id| row(id, "a", "CA")).concat()
        + &row(
            &format!("{}-8000-8000-000000000002", &computed[..13]),
            "a",
            "another call",
        );
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("rows.ndjson");
    std::fs::write(&file, rows).unwrap();
    let (code, output, errors) = run(&mut command(database, &["import", file.to_str().unwrap()]));
    assert_eq!(code, 0, "{output}{errors}");
    own.extend(foreign.map(str::to_owned));
    own.insert(computed);
    [own, others]
}

async fn check_every_kind_of_id(database: &Database) {
    let server = Server::start(database).await;
    let limited = token(database, "l", &Scope::ALL, Some(&["a"])).await;
    let [own, others] = every_kind_of_id(database, &server.client()).await;
    assert_eq!((own.len(), others.len()), (8, 2));
    drop(server);
    let server = Server::start(database).await;
    let all: BTreeSet<_> = own.union(&others).cloned().collect();
    let (client, limited) = (server.client(), server.client_of(&limited));
    assert_eq!(listed(&client, "callSid=CA").await, all);
    assert_eq!(listed(&client, "callSid=CA&accountId=a").await, own);
    assert_eq!(listed(&limited, "callSid=CA").await, own);
    assert_eq!(listed(&client, "callSid=CB").await, BTreeSet::new());
    assert_eq!(
        listed(
            &client,
            "callSid=CA&from=2026-03-01T09:00:00Z&to=2026-03-01T09:00:01Z"
        )
        .await
        .len(),
        4
    );
    assert_eq!(checked(&client, "CA").await, ("present".to_owned(), all));
    assert_eq!(
        checked(&limited, "CA").await,
        ("present".to_owned(), own.clone())
    );
    // Pages of the call's list.
    let mut paged = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = client
            .get(&format!(
                "/billables?limit=3&callSid=CA&accountId=a{cursor}"
            ))
            .await
            .json();
        let items = page["items"].as_array().unwrap();
        paged.extend(
            items
                .iter()
                .map(|item| item["id"].as_str().unwrap().to_owned()),
        );
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(paged.len(), own.len());
    assert_eq!(paged.into_iter().collect::<BTreeSet<_>>(), own);
    // The command looks calls up, too: none of them is in the time range of its comparison.
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("calls.csv");
    std::fs::write(&file, "callSid\nCA\nanother call\nmissing\n").unwrap();
    let (code, output, _) = run(&mut command(
        database,
        &[
            "check",
            file.to_str().unwrap(),
            "--account",
            "a",
            "--from",
            "2020-01-01T00:00:00Z",
            "--to",
            "2020-01-02T00:00:00Z",
        ],
    ));
    assert_eq!(
        (code, &*output),
        (
            1,
            "missing \"missing\"\ncalls 3, missing 1, extra 0, voided 0\n"
        )
    );
    let (code, output, _) = verify(database);
    assert_eq!(code, 0, "{output}");
}

on_both_databases!(
    billables_of_a_call_are_found_whatever_made_their_ids,
    async |database: Database| {
        check_every_kind_of_id(&database).await;
    }
);

#[tokio::test]
async fn billables_of_a_call_are_found_in_every_partition() {
    let database = Database::postgres().await;
    database.store_with(4).await.0.close().await;
    check_every_kind_of_id(&database).await;
    let partitions: BTreeSet<_> = database
        .entries()
        .await
        .iter()
        .map(|(partition, _, id)| {
            assert_eq!(partition_of(*id, 4), partition.cast_unsigned());
            *partition
        })
        .collect();
    assert!(partitions.len() > 1, "{partitions:?}");
}

on_both_databases!(
    a_call_with_too_many_billables_to_sort_is_refused_until_it_is_narrowed,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        let limited = token(&database, "l", &Scope::ALL, Some(&["few"])).await;
        let batch = |account: &str, count: usize| -> Vec<_> {
            let customers = (0..count).map(|number| {
                json!({
                    "accountId": account, "customerId": format!("{number}"), "callSid": "CA",
                    "occurredAt": if number % 2 == 0 { "2026-03-01T09:00:00Z" } else { "2026-03-02T09:00:00Z" },
                })
            });
            customers.collect()
        };
        let store = async |account: &str, count: usize| {
            let post = client.post("/billables").header("prefer", "return=minimal");
            assert_eq!(send(post.json(&batch(account, count))).await.status, 204);
        };
        store("many", 10_000).await;
        store("more", 10_000).await;
        let page = client.get("/billables?callSid=CA").await.json();
        let rest = format!(
            "/billables?callSid=CA&limit=1000&cursor={}",
            page["nextCursor"].as_str().unwrap()
        );
        store("few", 3).await;
        // A list that was begun before is not longer than it was.
        let rest = client.get(&rest).await;
        assert_eq!(rest.json()["items"].as_array().unwrap().len(), 1000);
        drop(server);
        let server = Server::start(&database).await;
        let (client, limited) = (server.client(), server.client_of(&limited));
        for path in ["/billables?callSid=CA", "/billables.csv?callSid=CA"] {
            let refused = client.get(path).await;
            assert_eq!((refused.status, &*refused.error_code()), (422, "TooMuch"));
            assert!(refused.body.contains("accountId"), "{}", refused.body);
        }
        let narrowed = [
            ("callSid=CA&accountId=many", 100),
            ("callSid=CA&accountId=few", 3),
            ("callSid=CA&from=2026-03-02T00:00:00Z", 100),
            ("callSid=CA&to=2026-03-02T00:00:00Z", 100),
        ];
        for (query, count) in narrowed {
            let page = client.get(&format!("/billables?{query}")).await.json();
            assert_eq!(page["items"].as_array().unwrap().len(), count, "{query}");
        }
        // What others have under the same call is no error for a limited token.
        assert_eq!(listed(&limited, "callSid=CA").await.len(), 3);
        assert_eq!(checked(&limited, "CA").await.1.len(), 3);
        let export = client
            .get("/billables.ndjson?callSid=CA&accountId=many")
            .await;
        let lines: BTreeSet<_> = export.body.lines().collect();
        assert_eq!(lines.len(), 10_000);
    }
);

on_both_databases!(
    another_report_with_the_id_of_a_stored_one_is_refused_and_logged,
    async |database: Database| {
        let database = database.migrated();
        let server = Server::start(&database).await;
        let client = server.client();
        let id = stored(&client, &report("a", "CA")).await;
        let rows = row(&id, "other", "CA");
        let other = Database::sqlite().migrated();
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("rows.ndjson");
        std::fs::write(&file, rows).unwrap();
        let import =
            |database: &Database| run(&mut command(database, &["import", file.to_str().unwrap()]));
        assert_eq!(import(&database).0, 1, "the id has other content");
        // Only somebody who forges an id can be first with it.
        assert_eq!(import(&other).0, 0);
        let server = Server::start(&other).await;
        let refused = server.client().report(&report("a", "CA")).await;
        assert_eq!(
            (refused.status, refused.field_errors()),
            (
                422,
                vec![("AccountId".to_owned(), "IdempotencyConflict".to_owned())]
            )
        );
        server
            .until_logged(&format!("ERROR billables::writer::outcomes: two different reports have the same id billable.id={id}"))
            .await;
        let metrics = server.client().get("/metrics").await.body;
        assert!(
            metrics.contains("billables_reports_total{identity=\"call\",outcome=\"conflict\"} 1\n")
        );
        assert_eq!(other.ids().await, [id.parse::<Uuid>().unwrap()]);
    }
);

on_both_databases!(
    case_01_a_limited_token_never_bills_another_account,
    async |database: Database| {
        let limited = |name: &'static str| {
            let database = database.clone();
            async move { token(&database, name, &Scope::ALL, Some(&["a1"])).await }
        };
        let secret = limited("l").await;
        let server = Server::start(&database).await;
        let (all, client) = (server.client(), server.client_of(&secret));
        let decide = async |session: &str| {
            let put = all.request(Method::PUT, &format!("/sessions/{session}"));
            let pair = json!({"accountId": "a2", "customerId": "cus-secret"});
            assert_eq!(send(put.json(&pair)).await.status, 200);
        };
        let of_session = |session: &str, call: &str| json!({"accountId": "a1", "sessionId": session, "callSid": call});
        decide("before").await;
        let mut shown = Vec::new();
        for session in ["before", "after", "unknown"] {
            let reply = client.report(&of_session(session, session)).await;
            assert_eq!(reply.status, 201);
            shown.push(reply);
        }
        decide("after").await;
        for (session, reply) in ["before", "after", "unknown"].into_iter().zip(shown) {
            let now = client
                .get(&format!("/billables/{}", reply.id()))
                .await
                .json();
            assert_eq!(now, reply.json(), "{session}");
            assert_eq!(
                (&now["state"], &now["billedAccountId"]),
                (&json!("unattributed"), &Value::Null)
            );
            assert_eq!(
                client.get(&format!("/sessions/{session}")).await.status,
                404
            );
            let again = client.report(&of_session(session, session)).await;
            assert_eq!((again.status, again.json()), (200, now));
        }
        // A customer that contradicts the pair is not billed either; what it does not name is taken.
        let customer = json!({"customerId": "mine", "sessionId": "before", "callSid": "1"});
        assert_eq!(all.report(&customer).await.json()["state"], "unattributed");
        let half = json!({"accountId": "a2", "sessionId": "before", "callSid": "2"});
        let half = all.report(&half).await.json();
        assert_eq!(
            (&half["state"], &half["billedCustomerId"]),
            (&json!("billable"), &json!("cus-secret"))
        );
        let totals = all
            .get("/billing?accountId=a2&startDate=2020-01-01&endDate=2026-12-31")
            .await
            .json();
        assert_eq!(totals["customers"][0]["billableCount"], 1, "{totals}");
        assert_eq!(totals["unattributedCount"], 4);
        // The token sees its own in every way, and may void them.
        assert_eq!(listed(&client, "accountId=a1").await.len(), 3);
        let feed = client.get("/log").await.json();
        assert_eq!(feed["items"].as_array().unwrap().len(), 3);
        assert!(!feed.to_string().contains("cus-secret"));
        for id in listed(&client, "state=unattributed").await {
            assert_eq!(
                send(client.post(&format!("/billables/{id}/void")))
                    .await
                    .status,
                200
            );
        }
        assert_eq!(verify(&database).0, 0);
    }
);
