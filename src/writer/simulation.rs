//! Simulates the writer: random histories of commands on a log in memory that fails in every way in
//! which a database does, in simulated time. Whatever happens, what was acknowledged is in the log.
//!
//! `BILLABLES_SIMULATION=N` runs N histories, `BILLABLES_SIMULATION_SEED=S` runs one.

mod caller;
mod history;
mod kind;
mod log;
#[path = "../../tests/torture/random.rs"]
mod random;

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use uuid::Uuid;

use super::WriteError;
use crate::billable::{ClientName, Timestamp, Void};
use history::History;
use kind::Kind;
use log::SimulatedLog;
use random::Random;

/// How many histories run without the variable.
const HISTORIES: u64 = if cfg!(debug_assertions) {
    1_000
} else {
    100_000
};

fn variable(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{name} is a number")),
    )
}

/// Runs the histories of some seeds. Returns of how many histories each kind was a part.
fn run(seeds: impl Iterator<Item = u64>) -> BTreeMap<Kind, u64> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let mut seen = BTreeMap::new();
    for seed in seeds {
        let kinds = runtime.block_on(History::new(seed).run());
        for kind in kinds {
            *seen.entry(kind).or_default() += 1;
        }
    }
    seen
}

#[test]
#[expect(
    clippy::print_stdout,
    reason = "how often each fault was a part of a history"
)]
fn what_is_acknowledged_is_in_the_log_whatever_happens() {
    if let Some(seed) = variable("BILLABLES_SIMULATION_SEED") {
        run(std::iter::once(seed));
        return;
    }
    let count = variable("BILLABLES_SIMULATION").unwrap_or(HISTORIES);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let seen = thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|first| scope.spawn(move || run((first as u64..count).step_by(threads))))
            .collect();
        let mut all: BTreeMap<Kind, u64> = BTreeMap::new();
        for running in running {
            for (kind, count) in running.join().expect("every history keeps the promises") {
                *all.entry(kind).or_default() += count;
            }
        }
        all
    });
    for kind in Kind::ALL {
        let histories = seen.get(&kind).copied().unwrap_or_default();
        println!("{kind:?}: in {histories} of {count} histories");
        assert!(histories * 100 >= count, "{kind:?} happens too rarely");
    }
}

/// With the outcomes of others, a caller would be told that its billable does not exist.
#[tokio::test(start_paused = true)]
async fn case_28_a_short_answer_of_the_store_is_no_answer() {
    let log = SimulatedLog::new(Random::new(1, "log"), 0, Duration::ZERO);
    let (writer, task) = caller::start(&log, 10);
    let client = ClientName::parse("client").expect("a client");
    let void = |id| Void {
        billable_id: Uuid::from_u128(id),
        reason: None,
        client: client.clone(),
        at: Timestamp::MIN,
        accounts: None,
    };
    let outcomes = writer.void(vec![void(1), void(2)]).await;
    assert!(outcomes.is_ok_and(|outcomes| outcomes.len() == 2));
    log.partition().is_short = true;
    let outcomes = writer.void(vec![void(1), void(2)]).await;
    assert_eq!(outcomes.err(), Some(WriteError::Unavailable));
    assert!(task.await.is_err(), "the process restarts");
}
