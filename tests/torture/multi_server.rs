//! Case 5: three processes on one PostgreSQL, with one and with four partitions.
//!
//! The processes are killed, the database fails and the roller's connection ends at any moment,
//! while readers follow the feed.

use std::collections::HashSet;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use crate::Torture;
use crate::check::check;
use crate::cluster::{Cluster, directory};
use crate::decide::Decider;
use crate::follow::{Follower, Seen};
use crate::load::Load;
use crate::outages::outage;
use crate::support::{Database, client, start};

pub(crate) async fn run(torture: &Torture) {
    for partitions in [1, 4] {
        all_at_once(torture, partitions).await;
    }
}

async fn all_at_once(torture: &Torture, partitions: u32) {
    let rounds = torture.rounds(5, 120);
    let dir = directory();
    let cluster = Cluster::start(&dir.path().join("pg"), &[], &["max_connections=100"]);
    let database = Database::created_on(&cluster.url(), "").await;
    database.store_with(partitions).await.0.close().await;
    let mut random = torture.random(&format!("{partitions} partitions"));
    let mut servers = [start(&database), start(&database), start(&database)];
    let (targets, _) = watch::channel(servers.iter().map(client).collect::<Vec<_>>());
    let followers: Vec<_> = (0..3)
        .map(|reader| {
            let random = torture.random(&format!("{partitions} reader {reader}"));
            Follower::start(targets.subscribe(), random)
        })
        .collect();
    let mut load = Load::start(torture, targets.borrow().clone(), 24);
    let decider = Decider::start(torture, &load);
    let (mut kills, mut outages, mut rollers) = (0, 0, 0);
    for _ in 0..rounds {
        load.until_acknowledged(10 + random.below(60)).await;
        match random.below(7) {
            0..3 => {
                let moment = u64::try_from(random.below(20_000)).unwrap();
                sleep(Duration::from_micros(moment)).await;
                let index = random.below(3);
                // The old process ends before the new one starts, as under a supervisor.
                servers[index].signal("-KILL");
                servers[index].wait();
                servers[index] = start(&database);
                let now: Vec<_> = servers.iter().map(client).collect();
                targets.send_replace(now.clone());
                load.aim(now);
                kills += 1;
            }
            kind @ 3..6 => {
                // The outage is a crash, terminated connections or read-only mode. Exhaustion is
                // excluded, because one of three servers always keeps its connections.
                outage(
                    [0, 1, 3][kind - 3],
                    &cluster,
                    &database,
                    &mut load,
                    &mut random,
                )
                .await;
                outages += 1;
            }
            _ => {
                // Terminates connections whose current or last query is on the totals tables.
                database
                    .execute(
                        "select pg_terminate_backend(pid) from pg_stat_activity
                         where datname = current_database() and pid <> pg_backend_pid()
                           and (query ilike '%watermarks%' or query ilike '%buckets%')",
                    )
                    .await;
                rollers += 1;
            }
        }
    }
    load.until_acknowledged(50).await;
    let ledger = load.finish().await;
    let decisions = decider.finish(&client(&servers[0])).await;
    let found = check(&database, &client(&servers[0]), &ledger.acknowledged).await;
    let entries = database.entries().await;
    let stored: HashSet<_> = entries.iter().map(|(_, _, id)| *id).collect();
    let mut first: Option<HashSet<Seen>> = None;
    let readers = followers.len();
    for follower in followers {
        let seen = follower.finish().await;
        let billables: HashSet<_> = seen.iter().map(|(_, _, _, id)| *id).collect();
        assert_eq!(seen.len(), entries.len(), "entries that a reader saw");
        assert!(billables == stored, "a reader saw what is stored");
        let seen: HashSet<_> = seen.into_iter().collect();
        assert!(first.get_or_insert_with(|| seen.clone()) == &seen);
    }
    torture.say(&format!(
        "postgres, {partitions} partition(s), 3 processes: {kills} kills, {outages} outages, the rollers' connections terminated {rollers} times, {} reports retried by clients, {found}; {readers} readers of the feed saw each entry once, in order",
        ledger.repeated
    ));
    found.hold();
    let decided = decisions.check(&client(&servers[0])).await;
    torture.say(&format!("postgres, {partitions} partition(s): {decided}"));
}
