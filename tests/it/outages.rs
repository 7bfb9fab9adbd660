//! Databases that refuse writes, fill up, change their role or hang: requests get a retryable
//! error, never a false success, and the server recovers without a restart.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::support::client::{Client, Reply, send};
use crate::support::server::{command, run};
use crate::support::{Cluster, Database, Server};

const TIMEOUT: Duration = Duration::from_secs(60);

fn call(number: usize) -> Value {
    json!({"sessionId": "S", "callSid": format!("CA{number}")})
}

/// Reports calls from `number` on until one is refused. Returns its number and the reply.
async fn until_refused(client: &Client, mut number: usize) -> (usize, Reply) {
    let refused = async {
        loop {
            let reply = client.report(&call(number)).await;
            match reply.status {
                201 => number += 1,
                _ => break (number, reply),
            }
        }
    };
    timeout(TIMEOUT, refused)
        .await
        .expect("a report is refused")
}

async fn until_stored(client: &Client, number: usize) {
    let stored = async { while client.report(&call(number)).await.status / 100 != 2 {} };
    timeout(TIMEOUT, stored).await.expect("the server recovers");
}

fn assert_unavailable(reply: &Reply) {
    assert_eq!(
        (
            reply.status,
            &*reply.error_code(),
            reply.header("retry-after")
        ),
        (503, "StoreUnavailable", Some("1"))
    );
}

/// The status of `/readyz`, and what the health check says.
async fn readiness(server: &Server, database: &Database) -> (u16, String) {
    let ready = send(server.client().bare(Method::GET, "/readyz")).await;
    let listen = server.address().to_string();
    let mut command = command(database, &["healthcheck"]);
    let (code, output, errors) = run(command.env("BILLABLES_LISTEN", listen));
    assert_eq!(code == 0, ready.status == 200, "{ready:?} {output}{errors}");
    (ready.status, output + &errors)
}

/// Returns when `/readyz` answers this, which it learns without any report.
async fn until_readiness_is(status: u16, server: &Server) {
    let is = async {
        let client = server.client();
        while send(client.bare(Method::GET, "/readyz")).await.status != status {}
    };
    timeout(TIMEOUT, is).await.expect("the readiness changes");
}

/// Limits the size of files that a server writes, which looks to it much like a full disk.
fn limit_files(server: &Server, bytes: &str) {
    let limit = format!("--fsize={bytes}:");
    let id = server.id().to_string();
    let set = Command::new("prlimit")
        .args(["--pid", &id, &limit])
        .status();
    assert!(set.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn case_10_reports_are_refused_while_the_sqlite_file_cannot_grow() {
    let database = Database::sqlite();
    // Without this trap, reaching the limit kills the process.
    let server = Server::start_under(&database, "trap '' XFSZ").await;
    let client = server.client();
    assert_eq!(client.report(&call(0)).await.status, 201);
    limit_files(&server, "300000");
    let (stored, refused) = until_refused(&client, 1).await;
    assert_unavailable(&refused);
    until_readiness_is(503, &server).await;
    assert_eq!(readiness(&server, &database).await.0, 503);
    // Stored entries can still be read.
    assert_eq!(client.get("/billables").await.status, 200);
    let ids = database.ids().await.len();
    assert!(ids == stored || ids == stored + 1, "{ids} {stored}");
    // Attributions of sessions use pooled connections. SQLite itself rolls back their transactions
    // when the file cannot grow, and the connections must stay usable.
    let decide = async |session: usize| {
        let put = client.request(Method::PUT, &format!("/sessions/D{session}"));
        let pair = json!({"accountId": "a", "customerId": "c"});
        send(put.json(&pair)).await
    };
    let mut refused = 0;
    for session in 0.. {
        let reply = decide(session).await;
        if reply.status != 200 {
            assert_unavailable(&reply);
            refused += 1;
        }
        if refused == 8 {
            break;
        }
    }
    limit_files(&server, "unlimited");
    until_readiness_is(200, &server).await;
    // The server notices within a second.
    let again = async { while decide(0).await.status != 200 {} };
    timeout(TIMEOUT, again).await.expect("sessions are decided");
    until_stored(&client, stored).await;
    assert_eq!(database.ids().await.len(), stored + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn case_10_reports_are_refused_while_the_disk_of_postgresql_is_full() {
    let database = Database::postgres().await;
    let server = Server::start(&database).await;
    let client = server.client();
    assert_eq!(client.report(&call(0)).await.status, 201);
    database
        .execute(
            "create function fill() returns trigger language plpgsql as $$
             begin raise exception 'could not extend file' using errcode = 'disk_full'; end $$;
             create trigger fill before insert on entries execute function fill()",
        )
        .await;
    let (_, refused) = until_refused(&client, 1).await;
    assert_unavailable(&refused);
    assert_eq!(client.report(&call(0)).await.status, 200);
    until_readiness_is(503, &server).await;
    let (status, said) = readiness(&server, &database).await;
    assert_eq!(status, 503);
    assert!(
        said.contains("none of the log's 1 partition(s) can be written"),
        "{said}"
    );
    database.execute("drop trigger fill on entries").await;
    until_readiness_is(200, &server).await;
    assert_eq!(readiness(&server, &database).await.0, 200);
    until_stored(&client, 1).await;
    assert_eq!(database.ids().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn case_10_reports_are_refused_while_postgresql_is_a_standby_or_read_only() {
    let cluster = Cluster::start(&[]);
    let database = Database::created_on(&cluster.url(), "").await;
    let server = Server::start(&database).await;
    let client = server.client();
    assert_eq!(client.report(&call(0)).await.status, 201);
    cluster.stop();
    cluster.make_standby();
    cluster.restart(&[]);
    let (stored, refused) = until_refused(&client, 1).await;
    assert_eq!(stored, 1);
    assert_unavailable(&refused);
    until_readiness_is(503, &server).await;
    database.execute("select pg_promote()").await;
    until_readiness_is(200, &server).await;
    until_stored(&client, 1).await;
    // A primary that is set to accept no writes, as before a switchover.
    database
        .execute("alter system set default_transaction_read_only = on")
        .await;
    database.execute("select pg_reload_conf()").await;
    let (stored, refused) = until_refused(&client, 2).await;
    assert_unavailable(&refused);
    until_readiness_is(503, &server).await;
    database
        .execute("alter system reset default_transaction_read_only")
        .await;
    database.execute("select pg_reload_conf()").await;
    until_readiness_is(200, &server).await;
    until_stored(&client, stored).await;
    assert_eq!(database.ids().await.len(), stored + 1);
}

/// A server that receives no reports is asked, too.
#[tokio::test(flavor = "multi_thread")]
async fn case_10_an_idle_server_says_how_many_partitions_can_be_written() {
    let database = Database::postgres().await;
    let (store, _) = database.store_with(4).await;
    store.close().await;
    let server = Server::start(&database).await;
    let (status, said) = readiness(&server, &database).await;
    assert_eq!(
        (status, said.trim().ends_with("is ready")),
        (200, true),
        "{said}"
    );
    let lock = "begin; select 1 from log_heads where partition = 2 for update";
    let lock = database.lock_with(lock).await;
    let limited = async {
        loop {
            let ready = send(server.client().bare(Method::GET, "/readyz")).await;
            if ready.json()["writablePartitions"] == 3 {
                break ready;
            }
        }
    };
    let limited = timeout(TIMEOUT, limited)
        .await
        .expect("a partition is lost");
    assert_eq!(
        (limited.status, limited.json()),
        (
            200,
            json!({"status": "ok", "writablePartitions": 3, "partitions": 4})
        )
    );
    let said = loop {
        let (_, said) = readiness(&server, &database).await;
        if said.contains("but") {
            break said;
        }
    };
    assert!(
        said.contains("is ready, but only 3 of its 4 partitions can be written"),
        "{said}"
    );
    let _others = database
        .lock_with("begin; select 1 from log_heads where partition <> 2 for update")
        .await;
    until_readiness_is(503, &server).await;
    drop(lock);
    until_readiness_is(200, &server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retryable_errors_are_retried_before_the_response() {
    let database = Database::postgres().await;
    let server = Server::start(&database).await;
    let client = server.client();
    // The first two attempts at each report fail. A sequence is not rolled back with its
    // transaction, so it counts the attempts.
    database
        .execute(
            "create sequence tries;
             create function fail() returns trigger language plpgsql as $$
             begin
                 if nextval('tries') % 3 <> 0 then
                     raise exception 'on purpose' using errcode = current_setting('billables.code');
                 end if;
                 return null;
             end $$;
             create trigger fail before insert on entries execute function fail()",
        )
        .await;
    let codes = [
        "40001", "40P01", "57014", "57P01", "57P03", "53300", "08006", "XX000",
    ];
    for (number, code) in codes.into_iter().enumerate() {
        // Only new connections see the setting; the writer opens one for each attempt.
        let set = format!(
            "do $$ begin execute format('alter database %I set billables.code = %L', current_database(), '{code}'); end $$"
        );
        database.execute_owned(set).await;
        database.break_writer().await;
        let reply = client.report(&call(number)).await;
        assert_eq!(reply.status, 201, "{code}: {}", server.log());
    }
    let metrics = client.get("/metrics").await.body;
    let repeats = metrics
        .lines()
        .find_map(|line| line.strip_prefix("billables_commit_repeats_total "))
        .unwrap();
    assert!(repeats.parse::<u32>().unwrap() >= 16, "{repeats}");
    assert!(metrics.contains("billables_commit_failures_total 0\n"));
    assert_eq!(database.ids().await.len(), codes.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_server_that_freezes_with_the_lock_on_the_log_is_disconnected() {
    let database = Database::postgres().await;
    let server = Server::start(&database).await;
    let client = server.client();
    assert_eq!(client.report(&call(0)).await.status, 201);
    // Acts like another process's writer, with the same timeout, that freezes after locking the
    // log's head.
    let _frozen = database
        .lock_with(
            "begin; set local idle_in_transaction_session_timeout = '4s';
             update log_heads set next_position = next_position + 1",
        )
        .await;
    let reply = client.report(&call(1)).await;
    assert_eq!(
        reply.status, 201,
        "the report waits and is retried: {reply:?}"
    );

    // A whole process that is suspended while it works.
    let peer = Server::start(&database).await;
    let mut load = JoinSet::new();
    for number in 100..140 {
        let client = peer.client();
        load.spawn(async move { while client.report(&call(number)).await.status != 201 {} });
    }
    load.join_next().await.unwrap().unwrap();
    peer.signal("-STOP");
    until_stored(&client, 2).await;
    peer.signal("-CONT");
    timeout(TIMEOUT, load.join_all())
        .await
        .expect("the resumed process finishes");
    assert_eq!(database.ids().await.len(), 43);
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_that_wait_too_long_in_the_queue_are_refused() {
    let database = Database::postgres().await;
    let server = Server::start(&database).await;
    // The database takes 0.3 s for each group of entries, whatever its size.
    database
        .execute(
            "create function slow() returns trigger language plpgsql as $$
             begin perform pg_sleep(0.3); return null; end $$;
             create trigger slow before insert on entries execute function slow()",
        )
        .await;
    let is_refused = Arc::new(AtomicBool::new(false));
    let mut load = JoinSet::new();
    for worker in 0..24 {
        let (client, is_refused) = (server.client(), is_refused.clone());
        load.spawn(async move {
            let mut stored = 0;
            for batch in 0.. {
                if is_refused.load(Ordering::Relaxed) {
                    break;
                }
                let first = worker * 1_000_000 + batch * 200;
                let calls: Vec<_> = (first..first + 200).map(call).collect();
                let post = client.post("/billables").header("Prefer", "return=minimal");
                let reply = send(post.json(&calls)).await;
                if reply.status == 204 {
                    stored += calls.len();
                } else {
                    assert_eq!((reply.status, &*reply.error_code()), (503, "Overloaded"));
                    is_refused.store(true, Ordering::Relaxed);
                }
            }
            stored
        });
    }
    let stored = timeout(TIMEOUT, load.join_all()).await;
    let stored: usize = stored.expect("a report is refused").into_iter().sum();
    assert!(stored > 0);
    // A refused report is not stored, and once the queue has drained no report is refused.
    assert_eq!(database.ids().await.len(), stored);
    assert_eq!(server.client().report(&call(0)).await.status / 100, 2);
}

/// `fsync` takes effect at a reload, without a restart.
#[tokio::test(flavor = "multi_thread")]
async fn case_18_nothing_is_acknowledged_while_postgresql_may_lose_commits() {
    let cluster = Cluster::start(&[]);
    let database = Database::created_on(&cluster.url(), "").await;
    let server = Server::start(&database).await;
    let client = server.client();
    let mut number = 0;
    for setting in ["fsync", "full_page_writes"] {
        assert_eq!(client.report(&call(number)).await.status, 201);
        database
            .execute_owned(format!("alter system set {setting} = off"))
            .await;
        database.execute("select pg_reload_conf()").await;
        until_readiness_is(503, &server).await;
        number += 1;
        assert_unavailable(&client.report(&call(number)).await);
        let text = format!("{setting} is off");
        server.until_logged(&text).await;
        database
            .execute_owned(format!("alter system reset {setting}"))
            .await;
        database.execute("select pg_reload_conf()").await;
        until_readiness_is(200, &server).await;
    }
    until_stored(&client, number).await;
    assert_eq!(database.ids().await.len(), 3);
}
