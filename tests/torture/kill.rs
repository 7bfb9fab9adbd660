//! Case 1: the server is killed at random moments under load, of reports and of bulk decisions.

use std::time::Duration;

use tokio::time::sleep;

use crate::Torture;
use crate::check::check;
use crate::decide::Decider;
use crate::load::Load;
use crate::support::{client, start};

pub(crate) async fn run(torture: &Torture) {
    let kills = torture.rounds(50, 250);
    for (name, database) in torture.both().await {
        let mut random = torture.random(name);
        let mut server = start(&database);
        let mut load = Load::start(torture, vec![client(&server)], 48);
        let decider = Decider::start(torture, &load);
        for _ in 0..kills {
            load.until_acknowledged(1 + random.below(120)).await;
            // A random delay after an acknowledgement lets the kill hit the next commit.
            let moment = u64::try_from(random.below(25_000)).unwrap();
            sleep(Duration::from_micros(moment)).await;
            server.kill();
            server = start(&database);
            load.aim(vec![client(&server)]);
        }
        let ledger = load.finish().await;
        let decisions = decider.finish(&client(&server)).await;
        let found = check(&database, &client(&server), &ledger.acknowledged).await;
        torture.say(&format!(
            "{name}: {kills} kills, {} reports retried by clients, {} sent again after the acknowledgement, {found}",
            ledger.repeated, ledger.resent
        ));
        found.hold();
        let decided = decisions.check(&client(&server)).await;
        torture.say(&format!("{name}: {decided}"));
    }
}
