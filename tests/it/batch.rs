//! Several reports in one request: stored together, answered one by one.

use std::collections::HashSet;
use std::time::Duration;

use billables::token::Scope;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tokio::time::timeout;
use uuid::Uuid;

use crate::support::client::{Client, Reply, send};
use crate::support::server::token;
use crate::support::{Cluster, Database, Server, on_both_databases};

const TIMEOUT: Duration = Duration::from_secs(60);

fn calls(count: usize) -> Vec<Value> {
    let call =
        |number| json!({"accountId": "a", "customerId": "c", "callSid": format!("CA{number}")});
    (0..count).map(call).collect()
}

fn keyed(request: RequestBuilder, key: &str) -> RequestBuilder {
    request.header("Idempotency-Key", key)
}

/// The (id, `replayed`) of every item of a reply.
fn items(reply: &Reply) -> Vec<(Uuid, bool)> {
    let items = reply.json();
    let item = |item: &Value| {
        let id = item["id"].as_str().unwrap().parse().unwrap();
        (id, item["replayed"].as_bool().unwrap())
    };
    items
        .as_array()
        .unwrap_or_else(|| panic!("{reply:?}"))
        .iter()
        .map(item)
        .collect()
}

/// The (index, fieldName, errorCode) of every listed error.
fn errors(reply: &Reply) -> Vec<(String, String, String)> {
    let status = &reply.json()["responseStatus"];
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let of = |error: &Value| {
        (
            text(&error["meta"]["AutoBatchIndex"]),
            text(&error["fieldName"]),
            text(&error["errorCode"]),
        )
    };
    let errors: Vec<_> = status["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(of)
        .collect();
    assert_eq!(
        text(&status["meta"]["AutoBatchIndex"]),
        errors[0].0,
        "the status has the index of the first error"
    );
    errors
}

async fn post(client: &Client, path: &str, batch: &Value) -> Reply {
    send(client.post(path).json(batch)).await
}

on_both_databases!(
    every_item_is_answered_in_order_and_says_whether_it_was_replayed,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        let known = client
            .report(&json!({"sessionId": "S", "callSid": "CA1"}))
            .await;
        let batch = json!([
            {"sessionId": "S", "callSid": "CA0"}, {"sessionId": "S", "callSid": "CA1"},
            {"SESSIONID": "S", "callSid": "CA0", "x": 1}, {"sessionId": "S"}, {"sessionId": "S"},
        ]);
        let reply = post(&client, "/billables", &batch).await;
        assert_eq!(
            (
                reply.status,
                reply.header("location"),
                reply.header("idempotent-replayed")
            ),
            (201, None, None)
        );
        assert_eq!(reply.header("billable-identity"), Some("call, none"));
        assert_eq!(reply.header("x-autobatch-completed"), None);
        let items = items(&reply);
        assert_eq!(
            items
                .iter()
                .map(|(_, replayed)| *replayed)
                .collect::<Vec<_>>(),
            [false, true, true, false, false]
        );
        assert_eq!((items[0].0, items[1].0), (items[2].0, known.id()));
        assert_eq!(
            items.iter().map(|(id, _)| id).collect::<HashSet<_>>().len(),
            4
        );
        assert_eq!(database.ids().await.len(), 4);
        let mut shown = reply.json()[1].clone();
        shown.as_object_mut().unwrap().remove("replayed");
        assert_eq!(shown, known.json());
    }
);

on_both_databases!(
    a_batch_sent_again_returns_200_and_stores_nothing,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        let batch = json!(calls(500));
        let first = post(&client, "/billables", &batch).await;
        let again = post(&client, "/billables", &batch).await;
        assert_eq!((first.status, again.status), (201, 200));
        assert_eq!(again.header("idempotent-replayed"), Some("true"));
        let ids = |reply: &Reply| {
            items(reply)
                .into_iter()
                .map(|(id, _)| id)
                .collect::<Vec<_>>()
        };
        assert_eq!(ids(&first), ids(&again));
        assert!(items(&again).iter().all(|(_, replayed)| *replayed));
        assert_eq!(database.ids().await.len(), 500);
    }
);

on_both_databases!(
    a_stored_item_is_recognised_deep_in_a_batch_of_new_ones,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        let calls = calls(1200);
        let known = client.report(&calls[700]).await;
        let reply = post(&client, "/billables", &json!(calls)).await;
        assert_eq!((known.status, reply.status), (201, 201));
        let items = items(&reply);
        assert_eq!(items[700], (known.id(), true));
        assert_eq!(items.iter().filter(|(_, replayed)| *replayed).count(), 1);
        let stored = database.count("select count(*) from entries").await;
        let positions = database
            .count("select count(distinct position) from entries")
            .await;
        let last = database
            .count("select max(position) - (select next_position from log_heads) from entries")
            .await;
        assert_eq!((stored, positions, last), (1200, 1200, -1));
        // The positions follow the order of the batch.
        let unordered = database
            .count("select count(*) from entries one join entries other on other.position = one.position + 1
                where length(one.call_sid) = length(other.call_sid) and one.call_sid > other.call_sid and one.call_sid <> 'CA700'")
            .await;
        assert_eq!(unordered, 0);
    }
);

on_both_databases!(
    a_batch_is_one_transaction_with_positions_in_its_order,
    async |database: Database| {
        let server = Server::start(&database).await;
        let reply = post(&server.client(), "/billables", &json!(calls(10_000))).await;
        assert_eq!(reply.status, 201);
        let stored: Vec<_> = database
            .entries()
            .await
            .into_iter()
            .map(|(_, position, id)| (position, id))
            .collect();
        let expected: Vec<_> = (1..)
            .zip(items(&reply).into_iter().map(|(id, _)| id))
            .collect();
        assert_eq!(stored, expected);
        let too_many = post(&server.client(), "/billables", &json!(calls(10_001))).await;
        assert_eq!(
            (too_many.status, &*too_many.error_code()),
            (413, "PayloadTooLarge")
        );
        assert_eq!(database.ids().await.len(), 10_000);
    }
);

on_both_databases!(
    every_bad_item_is_listed_with_its_index_and_nothing_is_stored,
    async |database: Database| {
        let limited = token(&database, "limited", &[Scope::Report], Some(&["a"])).await;
        let server = Server::start(&database).await;
        let mut batch = calls(5);
        batch[1] = json!({"callSid": "CA\u{1}"});
        batch[4] = json!({"accountId": "a", "occurredAt": "soon"});
        let expected = [
            ("1", "SessionId", "NotEmpty"),
            ("1", "CallSid", "InvalidCharacter"),
            ("4", "CustomerId", "NotEmpty"),
            ("4", "OccurredAt", "InvalidInstant"),
        ];
        let owned = |errors: &[(&str, &str, &str)]| {
            errors
                .iter()
                .map(|(index, field, code)| {
                    ((*index).to_owned(), (*field).to_owned(), (*code).to_owned())
                })
                .collect::<Vec<_>>()
        };
        for path in ["/billables", "/api/NewBillable[]"] {
            let reply = post(&server.client(), path, &json!(batch)).await;
            assert_eq!(
                (reply.status, &*reply.error_code()),
                (400, "NotEmpty"),
                "{path}"
            );
            assert_eq!(errors(&reply), owned(&expected));
            assert_eq!(reply.header("x-autobatch-completed"), None);
            let message = reply.json()["responseStatus"]["message"]
                .as_str()
                .unwrap()
                .to_owned();
            assert!(message.starts_with("item 1: "), "{message}");
        }
        // The token's accounts are checked for every item; if only that fails, the reply is 403.
        let limited = server.client_of(&limited);
        let mut foreign = calls(3);
        foreign[2]["accountId"] = json!("b");
        let reply = post(&limited, "/billables", &json!(foreign)).await;
        assert_eq!(
            (reply.status, errors(&reply)),
            (403, owned(&[("2", "AccountId", "Forbidden")]))
        );
        foreign[0] = json!({"sessionId": "S"});
        let reply = post(&limited, "/billables", &json!(foreign)).await;
        assert_eq!(
            (reply.status, errors(&reply)),
            (
                400,
                owned(&[
                    ("0", "AccountId", "NotEmpty"),
                    ("2", "AccountId", "Forbidden")
                ])
            )
        );
        assert!(database.ids().await.is_empty());
        assert_eq!(
            post(&limited, "/billables", &json!(calls(3))).await.status,
            201
        );
    }
);

on_both_databases!(
    a_full_batch_of_invalid_items_lists_every_error,
    async |database: Database| {
        let server = Server::start(&database).await;
        let long = "x".repeat(257);
        let item = json!({"accountId": long, "customerId": "\u{1}", "sessionId": "\u{1}", "callSid": "\u{1}", "occurredAt": "x"});
        let batch = format!("[{}]", vec![item.to_string(); 10_000].join(","));
        let reply = send(server.client().post("/billables.xml").body(batch)).await;
        assert_eq!((reply.status, &*reply.error_code()), (400, "Length"));
        assert_eq!(reply.body.matches("<ResponseError>").count(), 50_000);
        assert!(reply.body.contains("<d5p1:Value>9999</d5p1:Value>"));
        assert!(database.ids().await.is_empty());
    }
);

on_both_databases!(
    an_idempotency_key_and_an_index_identify_each_item_of_a_batch,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        let batch = json!([{"sessionId": "S1", "callSid": "CA1"}, {"sessionId": "S1", "callSid": "CA1"}, {"sessionId": "S2"}]);
        let first = send(keyed(client.post("/billables"), "order-17").json(&batch)).await;
        assert_eq!(
            (first.status, first.header("billable-identity")),
            (201, Some("key"))
        );
        assert_eq!(
            items(&first)[0].0.to_string(),
            "01d78924-34a4-8504-98c8-343314683c44"
        );
        assert_eq!(database.ids().await.len(), 3);
        let again = send(keyed(client.post("/api/NewBillable[]"), "order-17").json(&batch)).await;
        assert_eq!((again.status, &*again.body), (200, "[null,null,null]"));
        assert_eq!(again.header("idempotent-replayed"), Some("true"));
        // Under the same key, a single report and an item of a batch have different identities.
        let single = send(
            keyed(client.post("/billables"), "order-17")
                .json(&json!({"sessionId": "S1", "callSid": "CA1"})),
        )
        .await;
        assert_eq!(single.status, 201);

        let mut other = batch.clone();
        other[1]["callSid"] = json!("CA2");
        other[2] = json!({"accountId": "a", "customerId": "c"});
        other
            .as_array_mut()
            .unwrap()
            .push(json!({"sessionId": "S3"}));
        let reply = send(keyed(client.post("/api/NewBillable[]"), "order-17").json(&other)).await;
        assert_eq!(
            (reply.status, &*reply.error_code()),
            (422, "IdempotencyConflict")
        );
        let expected = [
            ("1", "CallSid"),
            ("2", "AccountId"),
            ("2", "CustomerId"),
            ("2", "SessionId"),
        ];
        let expected = expected.map(|(index, field)| {
            (
                index.to_owned(),
                field.to_owned(),
                "IdempotencyConflict".to_owned(),
            )
        });
        assert_eq!(errors(&reply), expected);
        assert_eq!(reply.header("x-autobatch-completed"), Some("1"));
        // The new item is stored; the corrected batch is accepted as a whole.
        other[1]["callSid"] = json!("CA1");
        other[2] = json!({"sessionId": "S2"});
        let corrected = send(keyed(client.post("/billables"), "order-17").json(&other)).await;
        assert_eq!((corrected.status, items(&corrected).len()), (200, 4));
        assert_eq!(database.ids().await.len(), 5);
    }
);

on_both_databases!(
    a_batch_in_any_format_makes_the_same_billables,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        let xml = "<ArrayOfNewBillable xmlns=\"http://schemas.datacontract.org/2004/07/Voice.Api.Billing\"><NewBillable><CallSid>CA1</CallSid><SessionId>S1</SessionId></NewBillable><NewBillable><SessionId>S1</SessionId><CallSid>CA2</CallSid></NewBillable></ArrayOfNewBillable>";
        let json_items =
            r#"[{"sessionId":"S1","callSid":"CA1"},{"sessionId":"S1","callSid":"CA2"}]"#;
        let lines = "{\"sessionId\":\"S1\",\"callSid\":\"CA1\"}\r\n\n{\"sessionId\":\"S1\",\"callSid\":\"CA2\"}\n";
        let csv = "sessionId,callSid\r\nS1,CA1\r\nS1,CA2\r\n";
        let jsv = "[{sessionId:S1,callSid:CA1},{sessionId:S1,callSid:CA2}]";
        let posts = [
            ("/billables", "application/json", json_items),
            ("/billables", "application/x-ndjson", lines),
            ("/billables?format=json", "application/xml", xml),
            ("/billables.json", "text/csv", csv),
            ("/billables.json", "application/jsv", jsv),
        ];
        let mut ids = HashSet::new();
        for (path, content_type, body) in posts {
            let reply = send(
                client
                    .post(path)
                    .header("Content-Type", content_type)
                    .body(body),
            )
            .await;
            assert!(
                [200, 201].contains(&reply.status),
                "{content_type}: {reply:?}"
            );
            ids.extend(items(&reply).into_iter().map(|(id, _)| id));
        }
        let operations = [
            ("/json/oneway/NewBillable[]", json_items, "[null,null]"),
            ("/jsv/reply/NewBillable%5B%5D", jsv, "[null,null]"),
            ("/csv/reply/NewBillable[]", csv, ""),
            (
                "/api/NewBillable[].xml",
                xml,
                "<?xml version=\"1.0\" encoding=\"utf-8\"?><ArrayOfanyType xmlns:i=\"http://www.w3.org/2001/XMLSchema-instance\" xmlns=\"http://schemas.microsoft.com/2003/10/Serialization/Arrays\"><anyType i:nil=\"true\" /><anyType i:nil=\"true\" /></ArrayOfanyType>",
            ),
        ];
        for (path, body, expected) in operations {
            let reply = send(client.post(path).body(body)).await;
            assert_eq!((reply.status, &*reply.body), (200, expected), "{path}");
            assert_eq!(reply.header("x-autobatch-completed"), Some("2"));
        }
        assert_eq!(database.ids().await.len(), ids.len());
        assert_eq!(ids.len(), 2);
    }
);

on_both_databases!(
    an_empty_batch_is_accepted_and_an_empty_body_is_refused,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        let empty = post(&client, "/billables", &json!([])).await;
        assert_eq!(
            (
                empty.status,
                &*empty.body,
                empty.header("idempotent-replayed")
            ),
            (200, "[]", None)
        );
        let no_lines = send(
            client
                .post("/billables")
                .header("Content-Type", "application/x-ndjson")
                .body("\n"),
        )
        .await;
        assert_eq!((no_lines.status, &*no_lines.body), (200, "[]"));
        let xml = send(client.post("/billables.xml").body("<ArrayOfNewBillable/>")).await;
        assert!(
            xml.status == 200 && xml.body.ends_with("></ArrayOfBillable>"),
            "{xml:?}"
        );
        for path in ["/api/NewBillable[]", "/billables"] {
            assert_eq!(send(client.post(path)).await.status, 400, "{path}");
        }
        assert!(database.ids().await.is_empty());
    }
);

on_both_databases!(
    query_fields_with_a_batch_and_batches_to_a_single_operation_are_refused,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        for path in [
            "/billables?accountId=a",
            "/api/NewBillable[]?AccountID=a&format=json",
            "/json/reply/NewBillable[]?accountid=x",
        ] {
            let reply = post(&client, path, &json!(calls(1))).await;
            assert_eq!(
                (reply.status, reply.field_errors()),
                (400, vec![("AccountId".to_owned(), "Predicate".to_owned())]),
                "{path}"
            );
        }
        assert_eq!(
            post(&client, "/billables?accountId=&limit=3", &json!([]))
                .await
                .status,
            200
        );
        for (path, body) in [
            ("/api/NewBillable", "[{\"sessionId\":\"S\"}]"),
            ("/csv/reply/NewBillable", "sessionId\nS\nT\n"),
        ] {
            let reply = send(client.post(path).body(body)).await;
            assert_eq!(
                (reply.status, reply.body.contains("SerializationException")),
                (400, true),
                "{path}"
            );
        }
        assert!(database.ids().await.is_empty());
    }
);

on_both_databases!(
    concurrent_copies_of_a_batch_store_each_item_once,
    async |database: Database| {
        let server = Server::start(&database).await;
        let batch = json!(calls(100));
        let mut copies = tokio::task::JoinSet::new();
        for copy in 0..12 {
            let (client, mut batch) = (server.client(), batch.clone());
            if copy % 2 == 1 {
                batch.as_array_mut().unwrap().reverse();
            }
            copies.spawn(async move { post(&client, "/billables", &batch).await });
        }
        let replies = copies.join_all().await;
        let stored: Vec<_> = replies
            .iter()
            .flat_map(items)
            .filter(|(_, replayed)| !replayed)
            .map(|(id, _)| id)
            .collect();
        assert!(
            replies
                .iter()
                .all(|reply| [200, 201].contains(&reply.status))
        );
        assert_eq!(stored.len(), 100);
        assert_eq!(
            stored.iter().collect::<HashSet<_>>(),
            database.ids().await.iter().collect()
        );
    }
);

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_over_several_partitions_is_stored_whole_and_a_header_counts_confirmed_items() {
    let cluster = Cluster::start(&[]);
    let database = Database::created_on(&cluster.url(), "").await;
    database.store_with(4).await.0.close().await;
    let server = Server::start(&database).await;
    let client = server.client();
    let batch = json!(calls(400));
    let reply = post(&client, "/billables", &batch).await;
    assert_eq!(reply.status, 201);
    let entries = database.entries().await;
    let partitions: HashSet<_> = entries.iter().map(|(partition, ..)| *partition).collect();
    assert_eq!((entries.len(), partitions.len()), (400, 4));

    cluster.stop();
    let away = post(&client, "/api/NewBillable[]", &batch).await;
    assert_eq!(
        (away.status, &*away.error_code()),
        (503, "StoreUnavailable")
    );
    assert_eq!(away.header("x-autobatch-completed"), Some("0"));
    assert_eq!(
        away.json()["responseStatus"]["meta"]["AutoBatchIndex"],
        json!("0")
    );
    cluster.restart(&[]);
    // The server must reload the tokens first.
    let ready = async { while client.get("/readyz").await.status != 200 {} };
    timeout(TIMEOUT, ready).await.expect("the server recovers");
    let again = post(&client, "/api/NewBillable[]", &batch).await;
    assert_eq!(
        (again.status, again.header("x-autobatch-completed")),
        (200, Some("400"))
    );
    assert_eq!(database.ids().await.len(), 400);
}
