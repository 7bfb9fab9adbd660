//! How a report is stored, and when a repeat is recognised.

use std::collections::HashSet;

use serde_json::json;

use crate::provenance::without_provenance;
use crate::support::client::{Reply, send};
use crate::support::{Database, Server, on_both_databases};

/// The sample in Evo Voice's documentation, verbatim.
const SAMPLE: &str = r#"<NewBillable xmlns:i="http://www.w3.org/2001/XMLSchema-instance" xmlns="http://schemas.datacontract.org/2004/07/Voice.Api.Billing">
  <AccountId>String</AccountId>
  <CallSid>String</CallSid>
  <CustomerId>String</CustomerId>
  <SessionId>String</SessionId>
</NewBillable>"#;

on_both_databases!(
    a_new_report_gets_201_and_can_be_read,
    async |database: Database| {
        let server = Server::start(&database).await;
        let reply = server.client().report(&json!({
            "accountId": "acc", "customerId": "cus", "callSid": "CA1", "occurredAt": "2026-03-01T09:30:00+01:00", "other": 1
        })).await;
        assert_eq!(reply.status, 201);
        assert_eq!(reply.header("billable-identity"), Some("call"));
        assert_eq!(reply.header("idempotent-replayed"), None);
        assert_eq!(
            reply.header("content-type"),
            Some("application/json; charset=utf-8")
        );
        assert_eq!(
            reply.id().to_string(),
            "d1719a49-b256-8aa7-94dd-3ddcc3a8189f"
        );
        let body = reply.json();
        let recorded_at = body["recordedAt"].as_str().unwrap();
        assert!(
            recorded_at.ends_with('Z') && recorded_at.len() == "2026-03-01T08:30:00.000000Z".len()
        );
        assert_eq!(
            body,
            json!({
                "id": "d1719a49-b256-8aa7-94dd-3ddcc3a8189f",
                "accountId": "acc", "customerId": "cus", "callSid": "CA1",
                "state": "billable", "billedAccountId": "acc", "billedCustomerId": "cus",
                "occurredAt": "2026-03-01T08:30:00.000000Z", "recordedAt": recorded_at,
            })
        );
        let read = server.client().get(reply.header("location").unwrap()).await;
        assert_eq!(read.status, 200);
        assert_eq!(without_provenance(read.json()), reply.json());
        assert_eq!(database.ids().await.len(), 1);
    }
);

on_both_databases!(
    a_session_without_an_account_and_a_customer_is_unattributed,
    async |database: Database| {
        let server = Server::start(&database).await;
        let body = server
            .client()
            .report(&json!({"sessionId": "S", "accountId": "a", "callSid": "CA1"}))
            .await
            .json();
        assert_eq!(
            (&body["state"], &body["accountId"]),
            (&json!("unattributed"), &json!("a"))
        );
        assert!(body.get("billedAccountId").is_none());
        assert_eq!(body["occurredAt"], body["recordedAt"]);
    }
);

on_both_databases!(
    the_documented_xml_sample_works_verbatim,
    async |database: Database| {
        let server = Server::start(&database).await;
        let request = || {
            server
                .client()
                .post("/billables")
                .header("Accept", "application/xml")
                .header("Content-Type", "application/xml")
                .body(SAMPLE)
        };
        let reply = send(request()).await;
        assert_eq!(
            (reply.status, reply.header("content-type")),
            (201, Some("application/xml"))
        );
        let recorded_at = reply
            .body
            .split("<RecordedAt>")
            .nth(1)
            .unwrap()
            .split('<')
            .next()
            .unwrap();
        assert_eq!(
            reply.body,
            format!(
                concat!(
                    r#"<?xml version="1.0" encoding="utf-8"?><Billable xmlns:i="http://www.w3.org/2001/XMLSchema-instance" "#,
                    r#"xmlns="http://schemas.datacontract.org/2004/07/Voice.Api.Billing"><AccountId>String</AccountId>"#,
                    "<BilledAccountId>String</BilledAccountId><BilledCustomerId>String</BilledCustomerId><CallSid>String</CallSid>",
                    "<CustomerId>String</CustomerId><Id>892f15f0-1a03-8d83-9a08-a7bb23388309</Id><OccurredAt>{at}</OccurredAt>",
                    "<RecordedAt>{at}</RecordedAt><SessionId>String</SessionId><State>billable</State>",
                    r#"<VoidReason i:nil="true" /></Billable>"#,
                ),
                at = recorded_at
            )
        );
        let again = send(request()).await;
        assert_eq!((again.status, again.body), (200, reply.body));
    }
);

on_both_databases!(
    the_same_call_is_one_billable_in_every_format,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        let first = client
            .report(&json!({"accountId": "a", "customerId": "c", "callSid": "CA<1>"}))
            .await;
        let xml = "<NewBillable><CallSid>CA&lt;1&gt;</CallSid><CustomerId>c</CustomerId><AccountId>a</AccountId></NewBillable>";
        let repeats = [
            client
                .post("/billables")
                .header("Content-Type", "text/xml")
                .body(xml)
                .header("Accept", "application/json"),
            client.post("/billables?format=json").body(xml),
            client.post("/Billables/?accountid=a&customerID=c&CallSid=CA%3C1%3E"),
            client.post("/billables.json").body(
                r#"{"ACCOUNTID":"a","customerid":"c","CallSid":"CA\u003c1>","sessionId":" "}"#,
            ),
            client
                .post("/billables?callSid=CA%3C1%3E")
                .body(r#"{"accountId":"a","customerId":"c","callSid":"other"}"#),
        ];
        for repeat in repeats {
            let reply = send(repeat).await;
            assert_eq!((reply.status, reply.id()), (200, first.id()), "{reply:?}");
            assert_eq!(reply.header("idempotent-replayed"), Some("true"));
            assert_eq!(reply.json(), first.json());
        }
        assert_eq!(database.ids().await, [first.id()]);
    }
);

on_both_databases!(
    an_idempotency_key_stores_one_billable_and_rejects_other_content,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        let first = client
            .report_keyed("order-17", &json!({"sessionId": "S1", "callSid": "CA1"}))
            .await;
        assert_eq!(
            (first.status, first.header("billable-identity")),
            (201, Some("key"))
        );
        assert_eq!(
            first.id().to_string(),
            "01d78924-34a4-83d6-af41-521d8ed1fcac"
        );
        let again = client
            .report_keyed(
                "order-17",
                &json!({"sessionId": "S1", "callSid": "CA1", "occurredAt": "2026-01-01T00:00:00Z"}),
            )
            .await;
        assert_eq!((again.status, again.json()), (200, first.json()));
        let other = client
            .report_keyed(
                "order-17",
                &json!({"accountId": "a", "sessionId": "S1", "callSid": "CA2"}),
            )
            .await;
        assert_eq!(
            (other.status, other.error_code()),
            (422, "IdempotencyConflict".to_owned())
        );
        assert_eq!(other.header("billable-identity"), Some("key"));
        let fields: Vec<_> = other
            .field_errors()
            .into_iter()
            .map(|(field, _)| field)
            .collect();
        assert_eq!(fields, ["AccountId", "CallSid"]);
        assert_eq!(
            without_provenance(
                client
                    .get(&format!("/billables/{}", first.id()))
                    .await
                    .json()
            ),
            first.json()
        );
        // Without the key, the same call has another identity.
        assert_eq!(
            client
                .report(&json!({"sessionId": "S1", "callSid": "CA1"}))
                .await
                .status,
            201
        );
        assert_eq!(database.ids().await.len(), 2);
    }
);

on_both_databases!(
    a_report_without_identity_is_new_each_time,
    async |database: Database| {
        let server = Server::start(&database).await;
        let mut ids = HashSet::new();
        for _ in 0..3 {
            let reply = server.client().report(&json!({"sessionId": "S1"})).await;
            assert_eq!(
                (reply.status, reply.header("billable-identity")),
                (201, Some("none"))
            );
            ids.insert(reply.id());
        }
        assert_eq!(ids.len(), 3);
        assert_eq!(database.ids().await.len(), 3);
    }
);

on_both_databases!(
    fifty_concurrent_copies_store_one_row_and_all_succeed,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        let mut copies = tokio::task::JoinSet::new();
        for _ in 0..50 {
            let client = client.clone();
            copies.spawn(async move {
                client
                    .report(&json!({"sessionId": "S1", "callSid": "CA1"}))
                    .await
            });
        }
        let replies = copies.join_all().await;
        assert_eq!(
            replies.iter().filter(|reply| reply.status == 201).count(),
            1
        );
        assert_eq!(
            replies.iter().filter(|reply| reply.status == 200).count(),
            49
        );
        let bodies: HashSet<_> = replies
            .iter()
            .map(|reply| (reply.id(), &reply.body))
            .collect();
        assert_eq!(bodies.len(), 1);
        assert_eq!(database.ids().await, [replies[0].id()]);
    }
);

on_both_databases!(
    one_key_with_two_concurrent_contents_stores_one_of_them,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        let mut copies = tokio::task::JoinSet::new();
        for number in 0..20 {
            let client = client.clone();
            copies.spawn(async move {
                let call_sid = format!("CA{}", number % 2);
                (
                    call_sid.clone(),
                    client
                        .report_keyed("k", &json!({"sessionId": "S1", "callSid": call_sid}))
                        .await,
                )
            });
        }
        let replies = copies.join_all().await;
        let winner = replies
            .iter()
            .find(|(_, reply)| reply.status == 201)
            .unwrap()
            .0
            .clone();
        for (call_sid, reply) in &replies {
            let allowed: &[u16] = if *call_sid == winner {
                &[201, 200]
            } else {
                &[422]
            };
            assert!(allowed.contains(&reply.status), "{reply:?}");
        }
        assert_eq!(
            replies
                .iter()
                .filter(|(_, reply)| reply.status == 201)
                .count(),
            1
        );
        let stored = database.ids().await;
        assert_eq!(stored.len(), 1);
        assert_eq!(
            client
                .get(&format!("/billables/{}", stored[0]))
                .await
                .json()["callSid"],
            json!(winner)
        );
    }
);

on_both_databases!(
    a_repeat_returns_the_current_state_of_the_billable,
    async |database: Database| {
        let server = Server::start(&database).await;
        let report = json!({"sessionId": "S1", "callSid": "CA1"});
        let first = server.client().report(&report).await;
        database.execute(if database.is_postgres() {
            "insert into entries (partition, position, kind, billable_id, session_id, call_sid, occurred_at, recorded_at, client, reason)
             values (0, 9, 3, 'd1719a49-b256-8ead-a1fd-6201c57676cc', 'S1', 'CA1', 0, 0, 'x', 'a test')"
        } else {
            "insert into entries (partition, position, kind, billable_id, session_id, call_sid, occurred_at, recorded_at, client, reason)
             values (0, 9, 3, x'd1719a49b2568eada1fd6201c57676cc', 'S1', 'CA1', 0, 0, 'x', 'a test')"
        }).await;
        let again = server.client().report(&report).await;
        assert_eq!((again.status, again.id()), (200, first.id()));
        assert_eq!(
            (&again.json()["state"], &again.json()["voidReason"]),
            (&json!("voided"), &json!("a test"))
        );
        assert_eq!(
            without_provenance(
                server
                    .client()
                    .get(again.header("location").unwrap())
                    .await
                    .json()
            ),
            again.json()
        );
    }
);

on_both_databases!(
    tokens_for_different_accounts_store_separate_billables_for_the_same_call,
    async |database: Database| {
        use billables::token::Scope;
        let scopes = [Scope::Report, Scope::Read];
        let one = crate::support::server::token(&database, "one", &scopes, Some(&["a1"])).await;
        let other = crate::support::server::token(&database, "other", &scopes, Some(&["a2"])).await;
        let server = Server::start(&database).await;
        let (one, other) = (server.client_of(&one), server.client_of(&other));
        let report =
            |account: &str| json!({"accountId": account, "sessionId": "S1", "callSid": "CA1"});
        let (ours, theirs) = (
            one.report(&report("a1")).await,
            other.report(&report("a2")).await,
        );
        assert_eq!((ours.status, theirs.status), (201, 201));
        assert_ne!(ours.id(), theirs.id());
        assert_eq!(
            one.get(theirs.header("location").unwrap()).await.status,
            404
        );
        assert_eq!(
            other.get(ours.header("location").unwrap()).await.status,
            404
        );
        assert_eq!(one.report(&report("a1")).await.status, 200);
    }
);

on_both_databases!(
    case_08_a_replay_with_another_time_of_the_call_says_so,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        let at = |time: &str| json!({"accountId": "a", "customerId": "c", "callSid": "CA1", "occurredAt": time});
        let differs = |reply: &Reply| reply.header("billable-differs").map(str::to_owned);
        // The client that sends first decides the time. The billed party could be the first.
        let first = client.report(&at("1980-03-01T12:00:00Z")).await;
        assert_eq!((first.status, differs(&first)), (201, None));
        let other = client.report(&at("2026-03-01T12:00:00Z")).await;
        assert_eq!(
            (other.status, differs(&other)),
            (200, Some("occurredAt".to_owned()))
        );
        assert_eq!(other.json()["occurredAt"], "1980-03-01T12:00:00.000000Z");
        // The same time in other words, and a report that gives none, do not differ.
        let same = client
            .report(&at("1980-03-01T13:00:00.0000001+01:00"))
            .await;
        assert_eq!((same.status, differs(&same)), (200, None));
        let none = client
            .report(&json!({"accountId": "a", "customerId": "c", "callSid": "CA1"}))
            .await;
        assert_eq!((none.status, differs(&none)), (200, None));
        // Within a batch, the first report counts, too.
        let batch = [
            json!({"accountId": "a", "customerId": "c", "callSid": "CA2"}),
            {
                let mut again = at("2026-03-01T12:00:00Z");
                again["callSid"] = json!("CA2");
                again
            },
        ];
        let reply = send(client.post("/billables").json(&batch)).await;
        assert_eq!(
            (reply.status, differs(&reply)),
            (201, Some("occurredAt".to_owned()))
        );
        let metrics = client.get("/metrics").await.body;
        assert!(
            metrics.contains("billables_replays_differing_total 2\n"),
            "{metrics}"
        );
    }
);
