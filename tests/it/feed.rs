//! The feed returns every entry once, in commit order, and can wait for new entries.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use billables::token::Scope;

use crate::support::client::send;
use crate::support::server::{command, run, token};
use crate::support::{Client, Cluster, Database, Server, on_both_databases};

/// Reads the feed once; returns the entries and the next cursor.
async fn read(client: &Client, after: Option<&str>, query: &str) -> (Vec<Value>, String) {
    let after = after
        .map(|after| format!("&after={after}"))
        .unwrap_or_default();
    let page = client.get(&format!("/log?{query}{after}")).await;
    assert_eq!(page.status, 200, "{page:?}");
    let next = page.header("next-cursor").unwrap().to_owned();
    let page = page.json();
    assert_eq!(page["nextCursor"], *next);
    (page["items"].as_array().unwrap().clone(), next)
}

on_both_databases!(
    a_waiting_read_returns_on_a_commit_and_is_empty_after_its_timeout,
    async |database: Database| {
        let server = Server::start(&database).await;
        let other = Server::start(&database).await;
        let client = server.client();
        let (_, start) = read(&client, None, "").await;
        let began = Instant::now();
        let (nothing, start) = read(&client, Some(&start), "wait=1").await;
        assert!(nothing.is_empty() && began.elapsed() >= Duration::from_secs(1));
        // Commits of this process and of another one end the wait long before its timeout.
        for writer in [&server, &other] {
            let (waiting, after) = (server.client(), start.clone());
            let read = tokio::spawn(async move { read(&waiting, Some(&after), "wait=60").await });
            let reported = writer
                .client()
                .report(&json!({"sessionId": "S"}))
                .await
                .id();
            let (new_entries, _) = read.await.unwrap();
            assert!(
                new_entries
                    .iter()
                    .any(|entry| entry["billableId"] == *reported.to_string())
                    || new_entries.len() == 1
            );
        }
        let (both, end) = read(&client, Some(&start), "wait=60").await;
        assert_eq!(both.len(), 2);
        // A shutdown ends a waiting read.
        let (waiting, after) = (server.client(), end.clone());
        let last = tokio::spawn(async move { read(&waiting, Some(&after), "wait=60").await });
        server.until_logged("listening").await;
        let mut server = server;
        while server.log().matches("http.path=/log").count() < 4 {
            tokio::task::yield_now().await;
        }
        server.signal("-TERM");
        let (nothing, _) = last.await.unwrap_or_default();
        assert!(nothing.is_empty());
        assert_eq!(server.wait(), Some(0));
    }
);

on_both_databases!(
    a_cursor_of_another_log_is_gone,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        client
            .report(&json!({"sessionId": "S", "callSid": "1"}))
            .await;
        client
            .report(&json!({"sessionId": "S", "callSid": "2"}))
            .await;
        let (_, end) = read(&client, None, "").await;
        let page = client.get("/billables?limit=1").await.json();
        let list = page["nextCursor"].as_str().unwrap();
        let gone = async |client: &Client| {
            for path in [
                format!("/log?after={end}"),
                format!("/billables?limit=1&cursor={list}"),
            ] {
                let reply = client.get(&path).await;
                assert_eq!((reply.status, &*reply.error_code()), (410, "CursorGone"));
            }
        };
        // This simulates a restore of an older backup, which lowers the head.
        database
            .execute("update log_heads set next_position = next_position - 1")
            .await;
        gone(&client).await;
        database
            .execute("update log_heads set next_position = next_position + 1")
            .await;
        assert_eq!(client.get(&format!("/log?after={end}")).await.status, 200);
        drop(server);
        // This simulates `restore`, which gives the log a new epoch.
        let epoch = if database.is_postgres() {
            "update log set epoch = gen_random_uuid()"
        } else {
            "update log set epoch = randomblob(16)"
        };
        database.execute(epoch).await;
        gone(&Server::start(&database).await.client()).await;
    }
);

on_both_databases!(
    a_cursor_is_gone_if_the_log_lost_entries_and_has_others_in_their_place,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        let call = |number: usize| json!({"sessionId": "S", "callSid": format!("CA{number}")});
        for number in 0..10 {
            assert_eq!(client.report(&call(number)).await.status, 201);
        }
        let (_, fifth) = read(&client, None, "limit=5").await;
        let (entries, end) = read(&client, None, "").await;
        assert_eq!(entries.len(), 10);
        let page = client.get("/billables?limit=1").await.json();
        let list = page["nextCursor"].as_str().unwrap();
        let totals = client
            .get("/billing?accountId=a&startDate=2026-03-01&endDate=2026-03-31")
            .await
            .json();
        let as_of = totals["asOf"].as_str().unwrap();
        // This simulates a failover to a standby that lacks the last five entries.
        database
            .execute(
                "delete from entries where position > 5; update log_heads set next_position = 6",
            )
            .await;
        // The same reports again, in another order: the last one gets its old position.
        for number in [7, 6, 5, 8, 9, 11, 12] {
            assert_eq!(client.report(&call(number)).await.status, 201);
        }
        for path in [
            format!("/log?after={end}"),
            format!("/log?after={end}&wait=1"),
            format!("/log?after={as_of}"),
            format!("/billables?limit=1&cursor={list}"),
        ] {
            let reply = client.get(&path).await;
            assert_eq!(
                (reply.status, &*reply.error_code()),
                (410, "CursorGone"),
                "{path}"
            );
        }
        // What this cursor has read is still there.
        let (rest, _) = read(&client, Some(&fifth), "").await;
        assert_eq!(rest.len(), 7);
    }
);

on_both_databases!(
    a_waiting_read_gets_410_when_the_log_becomes_shorter,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        for call in 0..5 {
            client
                .report(&json!({"sessionId": "S", "callSid": format!("CA{call}")}))
                .await;
        }
        let (_, end) = read(&client, None, "").await;
        let (waiting, after) = (server.client(), end.clone());
        let waiting =
            tokio::spawn(async move { waiting.get(&format!("/log?wait=60&after={after}")).await });
        // This simulates a failover to a standby that lagged behind.
        database
            .execute(
                "update log_heads set next_position = 3; delete from entries where position > 2",
            )
            .await;
        let reply = waiting.await.unwrap();
        assert_eq!((reply.status, &*reply.error_code()), (410, "CursorGone"));
    }
);

on_both_databases!(
    ndjson_and_json_have_the_same_entries,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        let batch = json!([{"sessionId": "S", "callSid": "1"}, {"sessionId": "S", "callSid": "2"}]);
        send(client.post("/billables").json(&batch)).await;
        let (entries, _) = read(&client, None, "").await;
        let lines = client.get("/log?format=ndjson").await;
        let parsed: Vec<Value> = lines
            .body
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(parsed, entries);
        let next = lines.header("next-cursor").unwrap();
        assert!(read(&client, Some(next), "").await.0.is_empty());
        let refused = client.get("/log?wait=61").await;
        assert_eq!(
            refused.field_errors(),
            [("Wait".to_owned(), "Predicate".to_owned())]
        );
    }
);

/// Three processes write to four partitions while two readers page through the feed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_skip_nothing_and_repeat_nothing_while_several_processes_write() {
    let database = Database::postgres().await;
    database.store_with(4).await.0.close().await;
    let servers = [
        Server::start(&database).await,
        Server::start(&database).await,
        Server::start(&database).await,
    ];
    let writing: Vec<_> = servers
        .iter()
        .enumerate()
        .map(|(process, server)| {
            let client = server.client();
            tokio::spawn(async move {
                for group in 0..40 {
                    let reports: Vec<_> = (0..5)
                        .map(|call| json!({"sessionId": "S", "callSid": format!("{process}-{group}-{call}")}))
                        .collect();
                    assert_eq!(send(client.post("/billables").json(&reports)).await.status, 201);
                }
            })
        })
        .collect();
    let reading: Vec<_> = servers[..2]
        .iter()
        .map(|server| {
            let client = server.client();
            tokio::spawn(async move {
                let (mut seen, mut after) = (Vec::new(), None);
                while seen.len() < 600 {
                    let (entries, next) = read(&client, after.as_deref(), "limit=7&wait=20").await;
                    assert!(
                        !entries.is_empty(),
                        "no entries for 20 s: {} seen",
                        seen.len()
                    );
                    seen.extend(entries);
                    after = Some(next);
                }
                let (more, _) = read(&client, after.as_deref(), "").await;
                assert!(more.is_empty());
                seen
            })
        })
        .collect();
    for task in writing {
        task.await.unwrap();
    }
    for task in reading {
        let seen = task.await.unwrap();
        let mut last: HashMap<i64, i64> = HashMap::new();
        for entry in &seen {
            let (partition, position) = (
                entry["partition"].as_i64().unwrap(),
                entry["position"].as_i64().unwrap(),
            );
            let before = last.insert(partition, position).unwrap_or_default();
            assert!(before < position, "entries are in commit order");
        }
        assert_eq!((seen.len(), last.len()), (600, 4));
    }
}

#[tokio::test]
async fn a_log_of_256_partitions_is_read_without_gaps() {
    let database = Database::postgres().await;
    database.store_with(256).await.0.close().await;
    let server = Server::start(&database).await;
    let client = server.client();
    let reports: Vec<_> = (0..500)
        .map(|call| json!({"accountId": "a", "customerId": "c", "callSid": format!("CA{call}")}))
        .collect();
    assert_eq!(
        send(client.post("/billables").json(&reports)).await.status,
        201
    );
    let (mut seen, mut after) = (Vec::new(), None);
    while seen.len() < 500 {
        let (entries, next) = read(&client, after.as_deref(), "limit=150").await;
        assert!(!entries.is_empty());
        seen.extend(entries);
        after = Some(next);
    }
    let page = client.get("/billables?limit=300").await.json();
    let next = page["nextCursor"].as_str().unwrap();
    let rest = client
        .get(&format!("/billables?limit=300&cursor={next}"))
        .await;
    assert_eq!(rest.json()["items"].as_array().unwrap().len(), 200);
    let path = "/billing?accountId=a&startDate=2026-01-01&endDate=2026-12-31";
    let totals = client.get(path).await.json();
    let as_of = totals["asOf"].as_str().unwrap();
    assert!(read(&client, Some(as_of), "").await.0.is_empty());
    // One partition lost its last entry, and has another in its place.
    database
        .execute(
            "update entries set recorded_at = recorded_at + 1
             where partition = (select partition from entries order by partition desc limit 1)",
        )
        .await;
    for after in [after.unwrap(), as_of.to_owned()] {
        let gone = client.get(&format!("/log?after={after}")).await;
        assert_eq!((gone.status, &*gone.error_code()), (410, "CursorGone"));
    }
}

/// The database counts the queries itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_are_queried_four_times_a_second_however_many_reads_wait() {
    let cluster = Cluster::start(&["shared_preload_libraries=pg_stat_statements"]);
    let database = Database::created_on(&cluster.url(), "").await;
    let server = Server::start(&database).await;
    database
        .execute("create extension pg_stat_statements")
        .await;
    let (_, start) = read(&server.client(), None, "").await;
    database.execute("select pg_stat_statements_reset()").await;
    let began = Instant::now();
    let waiting: Vec<_> = (0..40)
        .map(|_| {
            let (client, after) = (server.client(), start.clone());
            tokio::spawn(async move { read(&client, Some(&after), "wait=3").await })
        })
        .collect();
    for task in waiting {
        assert!(task.await.unwrap().0.is_empty());
    }
    let elapsed = began.elapsed().as_secs_f64();
    let mut connection = PgConnection::connect(database.url()).await.unwrap();
    let statement = "select coalesce(sum(calls), 0)::bigint from pg_stat_statements
        where query like 'select log_heads.partition, log_heads.next_position%'";
    let calls: i64 = sqlx::query_scalar(AssertSqlSafe(statement))
        .fetch_one(&mut connection)
        .await
        .unwrap();
    // One query for each waiting read at its start, then four a second for all of them.
    let most = 40 + (elapsed * 4.0).ceil() as i64 + 1;
    assert!((40 + 8..=most).contains(&calls), "{calls} in {elapsed} s");
}

on_both_databases!(
    a_waiting_read_ends_with_what_its_token_allowed_meanwhile,
    async |database: Database| {
        let server = Server::start(&database).await;
        let secret = token(&database, "lim", &[Scope::Read], None).await;
        let reader = server.client_of(&secret);
        let report = |account: &str, call: &str| json!({"accountId": account, "customerId": "c", "callSid": call});
        assert_eq!(server.client().report(&report("A1", "1")).await.status, 201);
        let (_, after) = read(&reader, None, "limit=10").await;
        let mut waiting = Vec::new();
        for account in ["", "&accountId=A2"] {
            let (reader, path) = (
                reader.clone(),
                format!("/log?wait=30&after={after}{account}"),
            );
            waiting.push(tokio::spawn(async move { reader.get(&path).await }));
        }
        let (code, _, errors) = run(&mut command(
            &database,
            &["client", "accounts", "lim", "A1"],
        ));
        assert_eq!(code, 0, "{errors}");
        // Until the limit holds.
        while reader.get("/billables?accountId=A2").await.status != 403 {}
        assert_eq!(
            server.client().report(&report("A2", "secret")).await.status,
            201
        );
        assert_eq!(server.client().report(&report("A1", "2")).await.status, 201);
        let all = waiting.remove(0).await.unwrap();
        // The cursor is random, and may have any two letters.
        let items = all.json()["items"].to_string();
        assert!(all.status == 200 && !items.contains("A2"), "{all:?}");
        assert_eq!(all.json()["items"][0]["callSid"], "2");
        assert!(
            !items.contains("client") && !items.contains("position"),
            "{all:?}"
        );
        let other = waiting.remove(0).await.unwrap();
        assert_eq!(other.status, 403, "{other:?}");
    }
);
