//! Case 8: a thousand slow and hostile clients. Honest clients are served meanwhile, none of
//! their reports is lost, and no smuggled request is carried out.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, sleep_until};

use billables::token::Scope;

use crate::Torture;
use crate::check::check;
use crate::hostile_clients::{KINDS, Target, kind, visit};
use crate::load::{Load, report};
use crate::random::Random;
use crate::support::{ADMIN, Database, Server, client, server, start_with};
use crate::{connection_flood, smuggling};

/// Shorter timeouts than usual, so that every client is closed within the test.
const SETTINGS: &[(&str, &str)] = &[
    ("BILLABLES_HEADER_TIMEOUT", "3s"),
    ("BILLABLES_REQUEST_TIMEOUT", "8s"),
    ("BILLABLES_IDLE_TIMEOUT", "4s"),
];

/// The pause between two new clients. It keeps the listen backlog short, because only
/// `connection_flood` is meant to fill it.
const ARRIVAL_INTERVAL: Duration = Duration::from_micros(500);

/// The highest allowed ratio of the 99th percentiles.
const SLOWER: u32 = 20;

/// A 99th percentile that is always allowed.
const FAST: Duration = Duration::from_secs(2);

pub(crate) async fn run(torture: &Torture) {
    for (name, database) in torture.both().await {
        let mut acknowledged = besieged(torture, name, &database).await;
        acknowledged.extend(connection_flood::run(torture, name, &database).await);
        let server = start_with(&database, &[]);
        let found = check(&database, &client(&server), &acknowledged).await;
        torture.say(&format!("{name}: {found}"));
        found.hold();
    }
}

/// Runs honest clients among hostile ones. Returns what was acknowledged.
async fn besieged(
    torture: &Torture,
    name: &str,
    database: &Database,
) -> HashMap<usize, uuid::Uuid> {
    let hostile = 1_000;
    let lasting = Duration::from_secs(u64::try_from(torture.rounds(7, 60)).unwrap());
    let secret = server::token(database, "hostile", &[Scope::Report, Scope::Read], None).await;
    let server = start_with(database, SETTINGS);
    let (_, known) = report(usize::MAX);
    let stored = client(&server).report(&known).await;
    assert_eq!(stored.status, 201, "{stored:?}");
    let target = Arc::new(Target {
        address: server.address(),
        secret,
        known: known.to_string(),
        bomb: bomb(),
    });

    let mut load = Load::start(torture, vec![client(&server)], 16);
    load.until_acknowledged(500).await;
    let before = Took::of(load.took());

    let visits: Arc<Vec<AtomicUsize>> =
        Arc::new(KINDS.iter().map(|_| AtomicUsize::new(0)).collect());
    let mut visitors = JoinSet::new();
    let end = Instant::now() + lasting;
    let mut arrivals = interval(ARRIVAL_INTERVAL);
    for visitor in 0..hostile {
        arrivals.tick().await;
        let random = torture.random(&format!("visitor {visitor}"));
        visitors.spawn(come_again(
            visitor,
            random,
            target.clone(),
            visits.clone(),
            end,
        ));
    }
    // The smuggled requests use the admin token, which has every scope.
    let mut by_admin = (*target).clone();
    by_admin.secret = ADMIN.to_owned();
    let mut random = torture.random("smuggling");
    let smuggled = smuggling::run(&client(&server), &by_admin, &mut random).await;
    sleep_until(end).await;
    let during = Took::of(load.took());
    // Visits that have begun are completed.
    visitors.join_all().await;

    let mut ledger = load.finish().await;
    let visits: Vec<_> = visits
        .iter()
        .map(|count| count.load(Ordering::Relaxed))
        .collect();
    torture.say(&format!(
        "{name}: {hostile} hostile clients of {} kinds over {} connections; {} smuggling techniques; a memory peak of {} MiB; honest reports before: {before}; meanwhile: {during}; {} failed attempts",
        KINDS.len(),
        visits.iter().sum::<usize>(),
        smuggled.techniques,
        resident_at_most(&server),
        ledger.failed_attempts,
    ));
    for (kind, visits) in KINDS.iter().zip(visits) {
        assert!(visits > 0, "no client of kind {kind} ran");
    }
    assert_eq!(ledger.unanswered, 0, "honest reports without an answer");
    let bound = FAST.max(before.slow * SLOWER);
    assert!(
        during.slow <= bound,
        "the 99th percentile of honest clients exceeds {bound:?}: {during}"
    );
    let hidden = database
        .count("select count(*) from entries where call_sid like 'hidden%'")
        .await;
    assert_eq!(hidden, 0, "reports that were hidden in others");
    ledger.acknowledged.insert(usize::MAX, stored.id());
    ledger.acknowledged.insert(usize::MAX - 1, smuggled.open);
    ledger.acknowledged
}

/// Makes one visit after the other until `end`. The first visits of all clients cover every kind.
async fn come_again(
    visitor: usize,
    mut random: Random,
    target: Arc<Target>,
    visits: Arc<Vec<AtomicUsize>>,
    end: Instant,
) {
    let mut next = if visitor < KINDS.len() {
        visitor
    } else {
        kind(&mut random)
    };
    while Instant::now() < end {
        visit(next, &mut random, &target, end).await;
        visits[next].fetch_add(1, Ordering::Relaxed);
        next = kind(&mut random);
        let pause = u64::try_from(random.below(2000)).unwrap();
        sleep(Duration::from_millis(pause)).await;
    }
}

/// Returns nine MiB of blanks, compressed.
fn bomb() -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&vec![b' '; 9 * 1024 * 1024]).unwrap();
    encoder.finish().unwrap()
}

/// Returns the peak memory of a server, in MiB.
fn resident_at_most(server: &Server) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: usize = line
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    kib / 1024
}

/// How long reports took: the median and the 99th percentile.
struct Took {
    count: usize,
    median: Duration,
    slow: Duration,
}

impl Took {
    fn of(mut took: Vec<Duration>) -> Self {
        took.sort_unstable();
        let count = took.len();
        assert!(count >= 100, "{count} reports say little");
        Self {
            count,
            median: took[count / 2],
            slow: took[count * 99 / 100],
        }
    }
}

impl std::fmt::Display for Took {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            count,
            median,
            slow,
        } = self;
        write!(
            f,
            "{count}, median {} ms, p99 {} ms",
            median.as_millis(),
            slow.as_millis()
        )
    }
}
