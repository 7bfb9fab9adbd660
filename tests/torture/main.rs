//! Fault-injection tests that run under load for minutes. Run with `scripts/torture`; what each
//! case does and what it found is in `docs/internals/proof.md`.
//!
//! - `load`: clients that repeat each report until it is acknowledged
//! - `check`: compares what was acknowledged with what is stored, through every way to read it
//! - `decide`: a client that voids and attributes many at once, again and again
//! - `follow`: readers of the feed that detect skipped, repeated and out-of-order entries
//! - `cut`: proxies that lose replies
//! - `shim`: a disk that fails on command
//! - `hostile_clients`, `smuggling`, `connection_flood`: hostile clients
//! - one file per case

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test may panic, and prints its counts"
)]

mod support;

mod check;
mod cluster;
mod connection_flood;
mod cut;
mod decide;
mod follow;
mod hostile_clients;
mod load;
mod random;
mod shim;
mod smuggling;

mod disk;
mod duplicates;
mod hostile;
mod kill;
mod multi_server;
mod outages;
mod reply_lost;
mod trace;
mod trust;
mod upgrade;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use random::Random;
use support::Database;

/// The timeout of every wait. A case that reaches it fails.
const TIMEOUT: Duration = Duration::from_secs(120);

/// The numbers and names of the cases.
const CASES: &[(u32, &str)] = &[
    (1, "kill"),
    (2, "reply lost"),
    (3, "outages"),
    (4, "disk"),
    (5, "multi_server"),
    (6, "duplicates"),
    (7, "trace"),
    (8, "hostile"),
    (9, "upgrade"),
    (10, "trust"),
];

/// The parameters of a case.
#[derive(Clone, Debug)]
pub(crate) struct Torture {
    name: String,
    seed: u64,
    is_long: bool,
}

impl Torture {
    /// Returns this case's random numbers for one purpose.
    fn random(&self, purpose: &str) -> Random {
        Random::new(self.seed, &format!("{} {purpose}", self.name))
    }

    /// Returns the number of rounds in the short or the long form.
    fn rounds(&self, short: usize, long: usize) -> usize {
        if self.is_long { long } else { short }
    }

    /// Prints a result of the case.
    fn say(&self, what: &str) {
        println!("case {}, {what}", self.name);
    }

    /// Says that a part of the case is skipped because the machine lacks something; the long form
    /// then fails.
    fn lack(&self, what: &str) {
        self.say(&format!("SKIPPED, because this is missing: {what}"));
        assert!(!self.is_long, "the long form skips nothing");
    }

    /// Returns both databases, for a case that runs on each.
    async fn both(&self) -> [(&'static str, Database); 2] {
        [
            ("sqlite", Database::sqlite()),
            ("postgres", Database::postgres().await),
        ]
    }
}

async fn run(torture: Torture, case: u32) {
    match case {
        1 => kill::run(&torture).await,
        2 => reply_lost::run(&torture).await,
        3 => outages::run(&torture).await,
        4 => disk::run(&torture).await,
        5 => multi_server::run(&torture).await,
        6 => duplicates::run(&torture).await,
        7 => trace::run(&torture).await,
        8 => hostile::run(&torture).await,
        9 => upgrade::run(&torture).await,
        10 => trust::run(&torture).await,
        _ => unreachable!("a case of the table"),
    }
}

fn main() -> ExitCode {
    let seed = match std::env::var("BILLABLES_TORTURE_SEED") {
        Ok(seed) => seed.parse().expect("BILLABLES_TORTURE_SEED is a number"),
        Err(_) => SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs(),
    };
    let is_long = std::env::var("BILLABLES_TORTURE").is_ok_and(|length| length == "long");
    let form = if is_long { "long" } else { "short" };
    println!("the {form} form, with BILLABLES_TORTURE_SEED={seed}");
    let chosen: Vec<u32> = std::env::args()
        .skip(1)
        .map(|case| case.parse().expect("the numbers of cases"))
        .collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .unwrap();
    let mut failed = 0;
    let begun = Instant::now();
    for (case, name) in CASES {
        if !(chosen.is_empty() || chosen.contains(case)) {
            continue;
        }
        let torture = Torture {
            name: format!("{case} {name}"),
            seed,
            is_long,
        };
        let started = Instant::now();
        // A case that panics does not end the others.
        let ended = catch_unwind(AssertUnwindSafe(|| {
            runtime.block_on(run(torture.clone(), *case));
        }));
        let seconds = started.elapsed().as_secs();
        match ended {
            Ok(()) => torture.say(&format!("{seconds} s: passed")),
            Err(_) => {
                failed += 1;
                torture.say(&format!("{seconds} s: FAILED"));
            }
        }
    }
    println!(
        "{failed} failed, {} s; again with BILLABLES_TORTURE_SEED={seed}",
        begun.elapsed().as_secs()
    );
    ExitCode::from(u8::from(failed > 0))
}
