//! Case 9: new servers replace old ones, again and again, under load.

use std::process::Command;

use crate::Torture;
use crate::check::check;
use crate::load::Load;
use crate::support::{Database, Server, client, old_server, start};

/// The environment variable with the path of an earlier version's executable. If it is unset, the
/// first server is of the current version, too.
const OLD: &str = "BILLABLES_TORTURE_OLD";

pub(crate) async fn run(torture: &Torture) {
    let old = std::env::var(OLD).ok();
    if old.is_none() && torture.is_long {
        torture.lack("an older executable: set BILLABLES_TORTURE_OLD to its path");
    }
    let times = torture.rounds(5, 40);
    for (name, database) in torture.both().await {
        let mut random = torture.random(name);
        let mut server = begin(&database, old.as_deref());
        let mut load = Load::start(torture, vec![client(&server)], 24);
        for time in 0..times {
            load.until_acknowledged(20 + random.below(100)).await;
            // This simulates the migrations of a newer version. The servers that start afterwards
            // are older than the schema.
            if time == times / 2 {
                let statements = [
                    "create table torture_of_tomorrow (id integer primary key)",
                    "alter table entries add column of_tomorrow integer",
                    "create index entries_of_tomorrow on entries (client, occurred_at)",
                ];
                database.migrate_as_newer(&statements).await;
            }
            let new = start(&database);
            load.aim(vec![client(&server), client(&new)]);
            load.until_acknowledged(10 + random.below(50)).await;
            load.aim(vec![client(&new)]);
            server.signal("-TERM");
            assert_eq!(tokio::task::block_in_place(|| server.wait()), Some(0));
            server = new;
        }
        let ledger = load.finish().await;
        let found = check(&database, &client(&server), &ledger.acknowledged).await;
        let first = old.as_ref().map_or(
            "all of the same program",
            |_| "the first of an older program",
        );
        torture.say(&format!(
            "{name}: {times} replacements, {first}, {} reports retried by clients, {found}",
            ledger.repeated
        ));
        found.hold();
    }
}

fn begin(database: &Database, old: Option<&str>) -> Server {
    match old {
        Some(old) => old_server(database, Command::new(old)),
        None => start(database),
    }
}
