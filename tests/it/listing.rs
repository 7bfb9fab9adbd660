//! `GET /accounts`, `GET /sessions?state=undecided`, and lists of what is unattributed.

use billables::token::Scope;
use reqwest::Method;
use serde_json::{Value, json};

use crate::billing::until_rolled;
use crate::import_export::{report, void};
use crate::sessions::fill_session;
use crate::support::client::{Reply, send};
use crate::support::server::{command, run, token};
use crate::support::{Client, Database, Server, on_both_databases};

fn items(reply: &Reply) -> Vec<Value> {
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.json()["items"].as_array().unwrap().clone()
}

/// The items of all pages, one item at a time.
async fn all_pages(client: &Client, path: &str) -> Vec<Value> {
    let mut all = Vec::new();
    let mut next = Some(String::new());
    while let Some(cursor) = next {
        let reply = client.get(&format!("{path}&limit=1{cursor}")).await;
        all.extend(items(&reply));
        let page = reply.json();
        let found = page["nextCursor"].as_str();
        assert_eq!(reply.header("next-cursor"), found);
        next = found.map(|cursor| format!("&cursor={cursor}"));
    }
    all
}

async fn decide(client: &Client, session: &str, account: &str, customer: &str) {
    let pair = json!({"accountId": account, "customerId": customer});
    let path = format!("/sessions/{session}");
    let decision = client.request(Method::PUT, &path).json(&pair);
    assert_eq!(send(decision).await.status, 200);
}

on_both_databases!(
    accounts_are_listed_with_their_days_and_counts,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        let own = token(&database, "own", &[Scope::Read], Some(&["a2", "a9"])).await;
        let own = server.client_of(&own);
        assert_eq!(items(&client.get("/accounts").await), Vec::<Value>::new());
        // In the last hour of a day in UTC, which is the next day in Rome.
        let late = json!({"accountId": "a1", "customerId": "c", "callSid": "CA-late", "occurredAt": "2026-03-05T23:30:00Z"});
        assert_eq!(client.report(&late).await.status, 201);
        let first = client.report(&report("a1", "c", "CA1", 1)).await;
        void(&client, &first.id().to_string(), "a test").await;
        assert_eq!(
            client.report(&report("a2", "c", "CA2", 2)).await.status,
            201
        );
        let open =
            json!({"sessionId": "S", "callSid": "CA3", "occurredAt": "2026-02-01T12:00:00Z"});
        assert_eq!(client.report(&open).await.status, 201);

        let account = |id: &str, first: &str, last: &str, counts: (i64, i64)| {
            json!({
                "accountId": id, "firstDay": first, "lastDay": last,
                "billableCount": counts.0, "voidedCount": counts.1,
            })
        };
        let a1 = account("a1", "2026-03-01", "2026-03-05", (1, 1));
        let a2 = account("a2", "2026-03-01", "2026-03-01", (1, 0));
        for is_rolled in [false, true] {
            if is_rolled {
                until_rolled(&database).await;
            }
            assert_eq!(
                items(&client.get("/accounts").await),
                [a1.clone(), a2.clone()]
            );
            let rome = items(&client.get("/accounts?timeZone=Europe/Rome").await);
            assert_eq!(rome[0]["lastDay"], "2026-03-06");
            assert_eq!(
                all_pages(&client, "/accounts?").await,
                [a1.clone(), a2.clone()]
            );
            assert_eq!(
                items(&own.get("/accounts").await),
                std::slice::from_ref(&a2)
            );
        }
        // An attribution, on a log that was rolled, moves the first day.
        decide(&client, "S", "a2", "c").await;
        for is_rolled in [false, true] {
            if is_rolled {
                until_rolled(&database).await;
            }
            let a2 = account("a2", "2026-02-01", "2026-03-01", (2, 0));
            assert_eq!(items(&client.get("/accounts").await), [a1.clone(), a2]);
        }
        let csv = client.get("/accounts.csv?limit=1").await;
        assert_eq!(
            csv.body,
            "AccountId,FirstDay,LastDay,BillableCount,VoidedCount\r\na1,2026-03-01,2026-03-05,1,1\r\n"
        );
        assert!(
            csv.header("content-disposition")
                .unwrap()
                .contains("accounts.csv")
        );
        let next = csv.header("next-cursor").unwrap().to_owned();
        let rest = client.get(&format!("/accounts?cursor={next}")).await;
        assert_eq!(items(&rest)[0]["accountId"], "a2");
        let xml = client.get("/api/ListAccounts?format=xml").await.body;
        assert!(
            xml.contains("<Account><AccountId>a1</AccountId><BillableCount>1</BillableCount><FirstDay>2026-03-01</FirstDay>"),
            "{xml}"
        );
        // The cursor of one list is none of another.
        let other = client
            .get(&format!("/sessions?state=undecided&cursor={next}"))
            .await;
        assert_eq!((other.status, &*other.error_code()), (400, "InvalidCursor"));
        let rebuilt = run(&mut command(&database, &["rebuild-totals"]));
        assert_eq!(rebuilt.0, 0);
        assert_eq!(items(&client.get("/accounts").await)[0], a1);
    }
);

on_both_databases!(
    undecided_sessions_are_listed_with_the_reason,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        let own = token(
            &database,
            "own",
            &[Scope::Report, Scope::Read],
            Some(&["mine"]),
        )
        .await;
        let own = server.client_of(&own);
        let at = "2026-03-01T09:00:00Z";
        let of = |session: &str, call: &str, account: Option<&str>| json!({"sessionId": session, "callSid": call, "accountId": account, "occurredAt": at});
        for call in ["CA1", "CA2"] {
            assert_eq!(client.report(&of("S1", call, None)).await.status, 201);
        }
        assert_eq!(own.report(&of("S1", "CA3", Some("mine"))).await.status, 201);
        assert_eq!(client.report(&of("S2", "CA4", None)).await.status, 201);
        let row = |session: &str, count: i64, reason: &str| json!({"sessionId": session, "count": count, "first": "2026-03-01T09:00:00.000000Z", "reason": reason});
        let path = "/sessions?state=undecided";
        let check = async |of_all: &[Value], of_own: &[Value]| {
            for is_rolled in [false, true] {
                if is_rolled {
                    until_rolled(&database).await;
                }
                assert_eq!(items(&client.get(path).await), of_all);
                assert_eq!(all_pages(&client, path).await, of_all);
                assert_eq!(items(&own.get(path).await), of_own);
            }
        };
        check(
            &[row("S1", 3, "notDecided"), row("S2", 1, "notDecided")],
            &[row("S1", 1, "notDecided")],
        )
        .await;
        // The report names another account, so it bills nobody; and its sender learns nothing of the
        // account that was decided.
        decide(&client, "S1", "theirs", "c").await;
        check(
            &[row("S1", 1, "contradicted"), row("S2", 1, "notDecided")],
            &[row("S1", 1, "notDecided")],
        )
        .await;
        assert_eq!(own.report(&of("S1", "CA5", Some("mine"))).await.status, 201);
        check(
            &[row("S1", 2, "contradicted"), row("S2", 1, "notDecided")],
            &[row("S1", 2, "notDecided")],
        )
        .await;
        let unattributed = items(
            &client
                .get("/billables?sessionId=S1&state=unattributed")
                .await,
        );
        for billable in &unattributed {
            void(&client, billable["id"].as_str().unwrap(), "named another").await;
        }
        check(&[row("S2", 1, "notDecided")], &[]).await;
        decide(&client, "S2", "theirs", "c").await;
        check(&[], &[]).await;

        for query in ["", "?state=decided", "?state="] {
            let reply = client.get(&format!("/sessions{query}")).await;
            assert_eq!(reply.field_errors()[0].0, "State", "{query}");
        }
        let unknown = client.get("/sessions?state=undecided&accountId=mine").await;
        assert_eq!(unknown.error_code(), "UnknownParameter");
    }
);

on_both_databases!(
    a_list_of_what_is_unattributed_shows_it_as_it_was_at_the_cut,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        for number in 0..30 {
            let report = json!({
                "sessionId": format!("S{}", number % 3), "callSid": format!("CA{number}"),
                "occurredAt": format!("2026-03-01T09:{number:02}:00Z"),
            });
            assert_eq!(client.report(&report).await.status, 201);
        }
        let path = "/billables?state=unattributed&limit=7";
        let calls = async |query: &str| {
            let mut calls = Vec::new();
            let mut next = query.to_owned();
            loop {
                let page = client.get(&format!("{path}{next}")).await.json();
                for item in page["items"].as_array().unwrap() {
                    calls.push(item["callSid"].as_str().unwrap().to_owned());
                }
                match page["nextCursor"].as_str() {
                    Some(cursor) => next = format!("&cursor={cursor}"),
                    None => return calls,
                }
            }
        };
        let expected = |of: &dyn Fn(i32) -> bool| -> Vec<String> {
            let newest_first = (0..30).rev().filter(|number| of(*number));
            newest_first.map(|number| format!("CA{number}")).collect()
        };
        let first = client.get(path).await;
        let cut = first.header("as-of").unwrap().to_owned();
        for is_rolled in [false, true] {
            if is_rolled {
                until_rolled(&database).await;
            }
            assert_eq!(calls("").await, expected(&|_| true));
        }
        decide(&client, "S1", "a", "c").await;
        for is_rolled in [false, true] {
            if is_rolled {
                until_rolled(&database).await;
            }
            assert_eq!(calls("").await, expected(&|number| number % 3 != 1));
            assert_eq!(calls(&format!("&asOf={cut}")).await, expected(&|_| true));
        }
        let from = calls("&from=2026-03-01T09:10:00Z&to=2026-03-01T09:20:00Z").await;
        assert_eq!(
            from,
            expected(&|number| number % 3 != 1 && (10..20).contains(&number))
        );
        let export = client.get("/billables.csv?state=unattributed").await;
        assert_eq!(export.body.lines().count(), 21);
    }
);

on_both_databases!(
    what_has_long_been_unattributed_is_found_at_once_behind_newer_calls,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        // More than is read at once, all older than what is billed.
        fill_session(&database, 21_000).await;
        let newer: Vec<_> = (0..5000)
            .map(|call| report("a", "c", &format!("CA{call}"), 1 + call % 28))
            .collect();
        assert_eq!(
            send(client.post("/billables").json(&newer)).await.status,
            201
        );
        for is_rolled in [false, true] {
            if is_rolled {
                until_rolled(&database).await;
            }
            let page = client.get("/billables?state=unattributed&limit=10").await;
            assert_eq!(items(&page).len(), 10, "rolled: {is_rolled}");
            let cut = page.header("as-of").unwrap().to_owned();
            let all = client
                .get(&format!("/billables.ndjson?state=unattributed&asOf={cut}"))
                .await;
            assert_eq!(all.body.lines().count(), 21_000);
        }
        let cut = client
            .get("/billables?limit=1")
            .await
            .header("as-of")
            .unwrap()
            .to_owned();
        decide(&client, "S", "a", "c").await;
        for is_rolled in [false, true] {
            if is_rolled {
                until_rolled(&database).await;
            }
            assert_eq!(
                items(&client.get("/billables?state=unattributed").await).len(),
                0
            );
            let then = client
                .get(&format!("/billables.ndjson?state=unattributed&asOf={cut}"))
                .await;
            assert_eq!(then.body.lines().count(), 21_000);
        }
    }
);
