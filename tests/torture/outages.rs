//! Case 3: PostgreSQL crashes, ends connections, has no connections left, or accepts no writes.

use sqlx::{Connection, PgConnection};

use crate::Torture;
use crate::check::check;
use crate::cluster::{Cluster, directory};
use crate::load::Load;
use crate::random::Random;
use crate::support::{Database, client, start};

pub(crate) async fn run(torture: &Torture) {
    let rounds = torture.rounds(4, 60);
    let dir = directory();
    let cluster = Cluster::start(&dir.path().join("pg"), &[], &["max_connections=40"]);
    let database = Database::created_on(&cluster.url(), "").await;
    let server = start(&database);
    let mut random = torture.random("outages");
    let mut load = Load::start(torture, vec![client(&server)], 24);
    let mut happened = [0; 4];
    for round in 0..rounds {
        load.until_acknowledged(20 + random.below(80)).await;
        let kind = round % 4;
        outage(kind, &cluster, &database, &mut load, &mut random).await;
        happened[kind] += 1;
    }
    load.until_acknowledged(50).await;
    let ledger = load.finish().await;
    let found = check(&database, &client(&server), &ledger.acknowledged).await;
    let [crashes, ended, exhausted, read_only] = happened;
    torture.say(&format!(
        "postgres: {crashes} crashes, {ended} series of terminated connections, {exhausted} exhaustions of connections, {read_only} times read-only, {} reports retried by clients, {found}",
        ledger.repeated
    ));
    found.hold();
}

/// Causes one of the four kinds of outage.
pub(crate) async fn outage(
    kind: usize,
    cluster: &Cluster,
    database: &Database,
    load: &mut Load,
    random: &mut Random,
) {
    match kind {
        0 => {
            assert!(tokio::task::block_in_place(|| cluster.crash()));
            load.until_refused().await;
            assert!(tokio::task::block_in_place(|| cluster.try_start()));
        }
        1 => {
            // Some of these hit a commit.
            for _ in 0..5 + random.below(15) {
                database.break_writer().await;
            }
        }
        2 => exhaust(database, load).await,
        _ => {
            let read_only = "alter system set default_transaction_read_only = on";
            database.execute(read_only).await;
            database.execute("select pg_reload_conf()").await;
            load.until_refused().await;
            database
                .execute("alter system reset default_transaction_read_only")
                .await;
            database.execute("select pg_reload_conf()").await;
        }
    }
    load.until_acknowledged(1).await;
}

/// Takes every free connection. Terminates the server's connections and takes them, too.
async fn exhaust(database: &Database, load: &mut Load) {
    let mut first = PgConnection::connect(database.url()).await.unwrap();
    let mut taken = Vec::new();
    let exhausted = async {
        loop {
            while let Ok(connection) = PgConnection::connect(database.url()).await {
                taken.push(connection);
            }
            sqlx::query(
                "select pg_terminate_backend(pid) from pg_stat_activity
                 where datname = current_database() and application_name = 'billables'",
            )
            .execute(&mut first)
            .await
            .unwrap();
        }
    };
    tokio::select! {
        () = load.until_refused() => {}
        () = exhausted => {}
    }
}
