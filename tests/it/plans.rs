//! PostgreSQL's query plans for a server with a large log.
//!
//! The database itself logs the plan of every statement, so no statement can be forgotten here.
//! SQLite's plans are in `src/store/plans.rs`.

use std::time::Duration;

use billables::token::Scope;
use reqwest::Method;
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::support::client::send;
use crate::support::server::token;
use crate::support::{Client, Cluster, Database, Server};

/// Longer than any wait in these tests.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Inserts 1,000,000 billables of 20 accounts, 200 customers and 200,000 sessions, over a year. The
/// ids of every tenth are not beside the others of their call.
const FILL: &str = r"
    create function part(value text) returns bytea immutable language sql as
        $$ select '\x01'::bytea || int4send(length(value)) || convert_to(value, 'UTF8') $$;
    create function first_part(call text) returns bytea immutable language sql as
        $$ select substr(sha256('billables/1'::bytea || '\x02'::bytea || part(call)), 1, 6) $$;
    insert into entries (partition, position, kind, billable_id, account_id, customer_id, session_id, call_sid,
            billed_account_id, billed_customer_id, occurred_at, recorded_at, client, call_prefix)
        select 0, n, 1, case when is_beside then encode(first_part(call) || substr(sha256(n::text::bytea), 7, 10), 'hex')::uuid
                else gen_random_uuid() end,
            account, customer, 'S' || n / 5, call, account, customer, at, at, 'test',
            case when not is_beside then ('x' || encode('\x0000'::bytea || first_part(call), 'hex'))::bit(64)::bigint end
        from (
            select n, n % 10 > 0 as is_beside, 'CA' || n as call, case when n % 100 > 0 then 'acc' || n % 20 end as account,
                case when n % 100 > 0 then 'cus' || n % 200 end as customer, 1735689600000000 + n * 31536000 as at
            from generate_series(1::bigint, 1000000) as n
        ) as made;
    update log_heads set next_position = 1000001;
    analyze";

async fn use_everything(client: &Client, account: &str, session: &str) {
    let pair = json!({"accountId": account, "customerId": "cus", "callSid": session});
    let batch = json!([{"accountId": account, "sessionId": session, "callSid": format!("{session}-1")}, pair]);
    for _ in 0..2 {
        assert!(send(client.post("/billables").json(&batch)).await.status < 300);
    }
    let page = client.get("/billables?limit=2").await.json();
    let id = page["items"][0]["id"].as_str().unwrap();
    client.get(&format!("/billables/{id}")).await;
    let cursor = page["nextCursor"].as_str().unwrap();
    client
        .get(&format!("/billables?limit=2&cursor={cursor}"))
        .await;
    send(client.post(&format!("/billables/{id}/void"))).await;
    for query in [
        format!("accountId={account}"),
        "customerId=cus7".to_owned(),
        format!("accountId={account}&customerId=cus7&from=2025-06-01T00:00:00Z"),
        "sessionId=S77".to_owned(),
        "callSid=CA77".to_owned(),
        "callSid=CA80".to_owned(),
        format!("callSid=CA81&accountId={account}&from=2025-01-01T00:00:00Z"),
        "callSid=CA77&sessionId=S15&state=billable".to_owned(),
        "state=voided".to_owned(),
        format!("state=voided&accountId={account}"),
        "state=unattributed".to_owned(),
        "from=2025-06-01T00:00:00Z&to=2025-06-02T00:00:00Z".to_owned(),
    ] {
        let page = client.get(&format!("/billables?limit=20&{query}")).await;
        assert_eq!(page.status, 200, "{query}");
    }
    let calls: Vec<_> = (1..600)
        .map(|number| format!("CA{}", number * 1000))
        .collect();
    let check = json!({"callSids": calls, "ids": [id]});
    assert_eq!(
        send(client.post("/billables/check").json(&check))
            .await
            .status,
        200
    );
    let feed = client.get("/log?limit=5").await.json();
    client
        .get(&format!(
            "/log?limit=5&after={}",
            feed["nextCursor"].as_str().unwrap()
        ))
        .await;
    for query in ["", "&groupBy=day&timeZone=Europe/Rome", "&customerId=cus7"] {
        let path =
            format!("/billing?accountId={account}&startDate=2025-06-01&endDate=2025-06-30{query}");
        assert_eq!(client.get(&path).await.status, 200, "{path}");
    }
}

/// Plans are generic, as they are for statements that a server repeats.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_statement_of_a_server_scans_the_log() {
    let cluster = Cluster::start(&[
        "plan_cache_mode=force_generic_plan",
        "session_preload_libraries=auto_explain",
        "auto_explain.log_min_duration=0",
        "auto_explain.log_level=log",
    ]);
    let database = Database::created_on(&cluster.url(), "").await;
    let (store, _) = database.store().await;
    database.execute(FILL).await;
    let limited = token(&database, "l", &Scope::ALL, Some(&["acc1", "acc2"])).await;
    let server = Server::start(&database).await;
    let client = server.client();
    // The totals come first from the log's tail, then from buckets.
    use_everything(&client, "acc0", "one").await;
    while store.totals_roll(0, 50_000).await.unwrap() {}
    use_everything(&client, "acc0", "two").await;
    use_everything(&server.client_of(&limited), "acc1", "three").await;
    assert_eq!(
        client
            .get("/billing?startDate=2025-06-01&endDate=2025-06-30")
            .await
            .status,
        200
    );
    // The totals at an old cut come from the account's entries.
    let first = client.get("/log?limit=1").await.json();
    let as_of = first["nextCursor"].as_str().unwrap();
    let path = "/billing?accountId=acc0&startDate=2025-06-01&endDate=2025-06-01";
    let then = client.get(&format!("{path}&asOf={as_of}")).await;
    assert_eq!(then.status, 200, "{}", then.body);
    assert!(then.json().get("unattributedCount").is_none());
    assert_eq!(client.get("/billables.csv?limit=1000").await.status, 200);
    for client in [&client, &server.client_of(&limited)] {
        for path in ["/accounts", "/sessions?state=undecided"] {
            assert_eq!(client.get(path).await.status, 200, "{path}");
        }
    }
    let body = json!({"accountId": "acc0", "customerId": "cus"});
    assert_eq!(
        send(client.request(Method::PUT, "/sessions/S20").json(&body))
            .await
            .status,
        200
    );
    assert_eq!(client.get("/sessions/S20").await.status, 200);

    let scans = || {
        let log = cluster.log();
        let scans = log.matches("Seq Scan on entries").count();
        assert!(
            log.contains(" using entries_by_account on entries"),
            "plans are logged"
        );
        (scans, log)
    };
    let (found, log) = scans();
    let at = log.find("Seq Scan on entries").unwrap_or_default();
    assert_eq!(
        found,
        0,
        "{}",
        &log[at.saturating_sub(2000)..log.len().min(at + 200)]
    );
    // A call is never looked up by the index by time or by account, which would read the whole log.
    let of_calls = |fence: &str, index: &str| {
        let plans = log
            .split("Query Text: ")
            .filter(|plan| plan.contains(fence));
        let plans: Vec<_> = plans.collect();
        assert!(!plans.is_empty(), "plans are logged");
        for plan in plans {
            let plan = plan.split("LOG:").next().unwrap();
            assert!(plan.contains(index), "{plan}");
            assert!(!plan.contains("entries_by_time"), "{plan}");
            assert!(!plan.contains("entries_by_account"), "{plan}");
        }
    };
    of_calls("unnest($7::uuid[], $8::uuid[]", "entries_pkey");
    of_calls("call_prefix = any($1)", "entries_by_call_prefix");
    // What is unattributed is found by the sessions that are undecided.
    of_calls(
        "session_id = any($1) and kind = 1 and billed_account_id is null",
        "entries_by_session",
    );
    // Shows that a scan would be found.
    database
        .execute("select count(*) from entries where reason = 'x'")
        .await;
    assert!(scans().0 > 0);
    store.close().await;
}

/// Without statistics, PostgreSQL assumes that a partition has few rows and scans them for an id.
/// Autovacuum may analyse the table late or never.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_in_a_new_log_are_found_by_primary_key() {
    let cluster = Cluster::start(&[
        "autovacuum=off",
        "session_preload_libraries=auto_explain",
        "auto_explain.log_min_duration=0",
        "auto_explain.log_level=log",
    ]);
    let database = Database::created_on(&cluster.url(), "").await;
    let server = Server::start(&database).await;
    let client = server.client();
    let call =
        |number| json!({"accountId": "a", "customerId": "c", "callSid": format!("CA{number}")});
    for batch in 0..10 {
        let reports: Vec<_> = (batch * 1000..(batch + 1) * 1000).map(call).collect();
        let reply = send(client.post("/billables").json(&reports)).await;
        assert_eq!(reply.status, 201);
    }
    let known = "select count(*) from pg_stats where tablename = 'entries'";
    timeout(TIMEOUT, async {
        while database.count(known).await == 0 {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("the log is analysed");

    let before = cluster.log().len();
    for number in [1, 9_999] {
        assert_eq!(client.report(&call(number)).await.status, 200);
    }
    let log = cluster.log();
    let found: Vec<_> = log[before..]
        .split("Query Text: ")
        .filter(|plan| {
            plan.starts_with("select entries.") && plan.contains("and billable_id = any($2)")
        })
        .collect();
    assert!(found.len() >= 2, "plans are logged");
    for plan in found {
        assert!(plan.contains("using entries_pkey on entries"), "{plan}");
    }
}
