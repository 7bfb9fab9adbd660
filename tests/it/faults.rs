//! Killed servers, database outages, several processes: every acknowledged report is stored exactly
//! once.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use uuid::Uuid;

use crate::support::client::{Client, Reply, try_send};
use crate::support::{Cluster, Database, Server, on_both_databases};

/// The timeout of every wait. A test that reaches it fails.
const TIMEOUT: Duration = Duration::from_secs(60);

fn report(number: usize) -> Value {
    json!({"accountId": format!("a{}", number % 7), "customerId": "c", "callSid": format!("CA{number}")})
}

/// A load of different reports, each sent until it is acknowledged.
struct Load {
    clients: watch::Sender<Client>,
    acknowledged: watch::Receiver<usize>,
    refused: watch::Receiver<usize>,
    workers: JoinSet<HashMap<usize, Uuid>>,
}

impl Load {
    fn start(client: Client, connections: usize, reports: usize) -> Self {
        let (clients, _) = watch::channel(client);
        let (acknowledge, acknowledged) = watch::channel(0);
        let (refuse, refused) = watch::channel(0);
        let next = Arc::new(AtomicUsize::new(0));
        let mut workers = JoinSet::new();
        for _ in 0..connections {
            let (clients, acknowledge, refuse, next) = (
                clients.subscribe(),
                acknowledge.clone(),
                refuse.clone(),
                next.clone(),
            );
            workers.spawn(async move {
                let mut ids = HashMap::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= reports {
                        return ids;
                    }
                    loop {
                        let client = clients.borrow().clone();
                        match try_send(client.post("/billables").json(&report(number))).await {
                            Ok(reply) if reply.status < 300 => {
                                ids.insert(number, reply.id());
                                acknowledge.send_modify(|count| *count += 1);
                                break;
                            }
                            Ok(reply) => {
                                assert_eq!(reply.status, 503, "{reply:?}");
                                assert!(reply.header("retry-after").is_some());
                                refuse.send_modify(|count| *count += 1);
                            }
                            Err(_) => refuse.send_modify(|count| *count += 1),
                        }
                        tokio::task::yield_now().await;
                    }
                }
            });
        }
        Self {
            clients,
            acknowledged,
            refused,
            workers,
        }
    }

    async fn until_acknowledged(&mut self, count: usize) {
        timeout(TIMEOUT, self.acknowledged.wait_for(|seen| *seen >= count))
            .await
            .expect("the load makes progress")
            .unwrap();
    }

    async fn until_refused_again(&mut self) {
        let before = *self.refused.borrow_and_update();
        timeout(TIMEOUT, self.refused.wait_for(|seen| *seen > before))
            .await
            .expect("the load is refused")
            .unwrap();
    }

    async fn finish(self) -> HashMap<usize, Uuid> {
        let all = timeout(TIMEOUT, self.workers.join_all())
            .await
            .expect("the load ends");
        all.into_iter().flatten().collect()
    }
}

/// Checks that the table has every acknowledged id exactly once and no others, and that a repeat of
/// each report returns the same id.
async fn check_stored(database: &Database, client: &Client, acknowledged: &HashMap<usize, Uuid>) {
    let stored = database.ids().await;
    assert_eq!(stored.len(), acknowledged.len());
    assert_eq!(
        stored.iter().collect::<HashSet<_>>(),
        acknowledged.values().collect()
    );
    for (number, id) in acknowledged {
        let reply = client.report(&report(*number)).await;
        assert_eq!((reply.status, reply.id()), (200, *id));
    }
    assert_eq!(database.ids().await.len(), acknowledged.len());
}

on_both_databases!(
    a_server_killed_three_times_under_load_loses_nothing_it_acknowledged,
    async |database: Database| {
        let mut server = Server::start(&database).await;
        let secret = server.secret().to_owned();
        let mut load = Load::start(server.client(), 64, 2_000);
        for round in 1..=3 {
            load.until_acknowledged(round * 400).await;
            server.kill();
            server = Server::start(&database).await;
            load.clients.send_replace(server.client_of(&secret));
        }
        let acknowledged = load.finish().await;
        assert_eq!(acknowledged.len(), 2_000);
        check_stored(&database, &server.client(), &acknowledged).await;
    }
);

on_both_databases!(
    a_writer_that_is_locked_out_returns_503_and_recovers,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        assert_eq!(client.report(&report(0)).await.status, 201);
        let lock = database.lock_log().await;
        let reply = client.report(&report(1)).await;
        assert_eq!(
            (reply.status, &*reply.error_code()),
            (503, "StoreUnavailable")
        );
        // A stored report is recognised without the lock.
        assert_eq!(client.report(&report(0)).await.status, 200);
        assert_eq!(client.get("/livez").await.status, 200);
        drop(lock);
        let stored = async { while client.report(&report(1)).await.status / 100 != 2 {} };
        timeout(TIMEOUT, stored).await.expect("the server recovers");
        assert_eq!(database.ids().await.len(), 2);
    }
);

on_both_databases!(
    an_entry_that_the_database_drops_silently_is_not_acknowledged,
    async |database: Database| {
        let server = Server::start(&database).await;
        let known = server.client().report(&report(0)).await;
        database.execute("delete from log_heads").await;
        let lost = server.client().report(&report(1)).await;
        assert_eq!(
            (lost.status, &*lost.error_code()),
            (500, "InternalServerError")
        );
        assert_eq!(server.client().report(&report(0)).await.status, 200);
        assert_eq!(database.ids().await, [known.id()]);
    }
);

on_both_databases!(
    a_report_that_the_database_refuses_fails_alone_in_its_group,
    async |database: Database| {
        let server = Server::start(&database).await;
        database
            .execute(if database.is_postgres() {
                "alter table entries add check (session_id <> 'refuse me')"
            } else {
                "create trigger refusing before insert on entries when new.session_id = 'refuse me'
             begin select raise(abort, 'refused'); end"
            })
            .await;
        // The lock makes all reports wait, so that they share groups.
        let lock = database.lock_log().await;
        let mut sent = JoinSet::new();
        for number in 0..40 {
            let client = server.client();
            sent.spawn(async move {
                let session = if number == 20 { "refuse me" } else { "S" };
                (
                    number,
                    client
                        .report(&json!({"sessionId": session, "callSid": format!("CA{number}")}))
                        .await,
                )
            });
        }
        timeout(TIMEOUT, database.until_waiting_for_lock())
            .await
            .expect("the writer waits for the lock");
        drop(lock);
        for (number, reply) in sent.join_all().await {
            assert_eq!(
                reply.status,
                if number == 20 { 500 } else { 201 },
                "{reply:?}"
            );
        }
        assert_eq!(database.ids().await.len(), 39);
    }
);

#[tokio::test(flavor = "multi_thread")]
async fn reports_get_503_during_a_database_outage_under_load() {
    let cluster = Cluster::start(&[]);
    let database = Database::created_on(&cluster.url(), "").await;
    let server = Server::start(&database).await;
    let mut load = Load::start(server.client(), 32, 3_000);
    for round in 1..=2 {
        load.until_acknowledged(round * 600).await;
        cluster.stop();
        load.until_refused_again().await;
        cluster.restart(&[]);
    }
    let acknowledged = load.finish().await;
    assert_eq!(acknowledged.len(), 3_000);
    check_stored(&database, &server.client(), &acknowledged).await;
    let ready = async { while server.client().get("/readyz").await.status != 200 {} };
    timeout(TIMEOUT, ready)
        .await
        .expect("the server is ready again");
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_database_connections_under_load_loses_no_report() {
    let database = Database::postgres().await;
    let server = Server::start(&database).await;
    let mut load = Load::start(server.client(), 32, 2_000);
    for round in 1..=5 {
        load.until_acknowledged(round * 300).await;
        database
            .execute(
                "select pg_terminate_backend(pid) from pg_stat_activity
                 where datname = current_database() and pid <> pg_backend_pid()",
            )
            .await;
    }
    let acknowledged = load.finish().await;
    check_stored(&database, &server.client(), &acknowledged).await;
}

/// Reads each partition from its start, each time continuing after the last position read, as a
/// follower of the log does, until it has seen `total` entries, and returns their ids. The follower
/// would miss an entry that appears below a position already read, and the test would time out.
async fn follow(database: Database, partitions: i32, total: usize) -> Vec<Uuid> {
    let mut after: HashMap<i32, i64> = (0..partitions).map(|partition| (partition, 0)).collect();
    let mut seen = Vec::new();
    while seen.len() < total {
        for (partition, position, id) in database.entries_after(&after).await {
            after.insert(partition, position);
            seen.push(id);
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn several_processes_on_one_database_store_each_report_once_in_commit_order() {
    for partitions in [1, 4] {
        let database = Database::postgres().await;
        database.store_with(partitions).await.0.close().await;
        let mut servers = Vec::new();
        for _ in 0..3 {
            servers.push(Server::start(&database).await);
        }
        let following = tokio::spawn(follow(database.clone(), partitions.cast_signed(), 300));
        let next = Arc::new(AtomicUsize::new(0));
        let mut workers = JoinSet::new();
        for _ in 0..16 {
            let clients: Vec<_> = servers.iter().map(Server::client).collect();
            let next = next.clone();
            workers.spawn(async move {
                let mut ids = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= 300 {
                        return ids;
                    }
                    // The same report through every process at the same time.
                    let body = report(number);
                    let (one, two, three) = tokio::join!(
                        clients[0].report(&body),
                        clients[1].report(&body),
                        clients[2].report(&body)
                    );
                    let replies = [one, two, three];
                    let statuses: Vec<_> = replies.iter().map(|reply| reply.status).collect();
                    assert_eq!(
                        statuses.iter().filter(|status| **status == 201).count(),
                        1,
                        "{statuses:?}"
                    );
                    assert_eq!(
                        statuses.iter().filter(|status| **status == 200).count(),
                        2,
                        "{statuses:?}"
                    );
                    assert_eq!(
                        replies.iter().map(Reply::id).collect::<HashSet<_>>().len(),
                        1
                    );
                    ids.push(replies[0].id());
                }
            });
        }
        let ids = workers.join_all().await.concat();
        let followed = timeout(TIMEOUT, following)
            .await
            .expect("the follower sees everything")
            .unwrap();
        assert_eq!(
            followed.iter().collect::<HashSet<_>>(),
            ids.iter().collect()
        );
        let stored = database.ids().await;
        assert_eq!(stored.len(), 300);
        assert_eq!(
            stored.into_iter().collect::<HashSet<_>>(),
            ids.into_iter().collect()
        );
    }
}
