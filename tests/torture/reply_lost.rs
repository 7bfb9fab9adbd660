//! Case 2: replies are lost between server and client, and between database and server.

use std::collections::HashSet;

use crate::Torture;
use crate::check::check;
use crate::cut::{BeforeDatabase, before_server};
use crate::load::Load;
use crate::support::{Database, client, client_at, start};

pub(crate) async fn run(torture: &Torture) {
    let reports = torture.rounds(1_500, 20_000);
    for (name, database) in torture.both().await {
        let server = start(&database);
        let (address, cuts) = before_server(server.address(), torture.random(name), 3).await;
        let mut load = Load::start(torture, vec![client_at(address)], 32);
        load.until_acknowledged(reports).await;
        let ledger = load.finish().await;
        let found = check(&database, &client(&server), &ledger.acknowledged).await;
        let taken = cuts.take();
        torture.say(&format!(
            "{name}: {} replies lost, {} of them successes, {} reports retried by clients, {} sent again after the acknowledgement, {found}",
            taken.cuts,
            taken.ids.len(),
            ledger.repeated,
            ledger.resent
        ));
        found.hold();
        assert!(!taken.ids.is_empty(), "successes were lost");
        let known: HashSet<_> = ledger.acknowledged.values().collect();
        assert!(
            taken.ids.iter().all(|id| known.contains(id)),
            "a repeat has the id that the lost reply had"
        );
    }

    let database = Database::postgres().await;
    let proxy = BeforeDatabase::start(&database, torture.random("commits"), 4);
    let server = start(&proxy.database(&database));
    proxy.arm();
    let mut load = Load::start(torture, vec![client(&server)], 32);
    load.until_acknowledged(reports).await;
    let ledger = load.finish().await;
    let found = check(&database, &client(&server), &ledger.acknowledged).await;
    let cuts = proxy.cuts.take().cuts;
    torture.say(&format!(
        "postgres: {cuts} commits without an answer, {} reports retried by clients, {} sent again after the acknowledgement, {found}",
        ledger.repeated, ledger.resent
    ));
    found.hold();
    assert!(cuts > 0);
}
