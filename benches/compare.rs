//! What a report costs in a large log: another program against this one, in turn.
//! `scripts/bench-compare` creates the databases and runs this.
//!
//! Each program has a log of its own for each load and database, filled with calls of a year. The
//! programs are then measured alternately, each time after a checkpoint, so that the first change of
//! a page after it is in the WAL in full.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a measurement"
)]

#[path = "support/load.rs"]
mod load;
#[path = "support/process.rs"]
mod process;

use std::path::PathBuf;
use std::time::Duration;

use load::{Target, percentile};
use process::{Server, median, processor_time, variable};
use procfs::process::Process;
use sqlx::{Connection, Executor, PgConnection};

const LASTS: Duration = Duration::from_secs(4);
const WARM: Duration = Duration::from_secs(1);
const ROUNDS: usize = 5;

/// Reports in a batch, when a log is filled.
const BATCH: usize = 1000;

/// Customers of the first load.
const CUSTOMERS: usize = 20_000;

/// What is reported, by single reports and, when a log is filled, by batches.
struct Load {
    name: &'static str,
    one: fn(usize) -> String,
    batch: fn(usize) -> String,
}

const LOADS: [Load; 2] = [
    Load {
        name: "pair and call",
        one: pair,
        batch: pairs,
    },
    Load {
        name: "session and call",
        one: session,
        batch: sessions,
    },
];

/// Scrambles a number, so that consecutive ones are far apart.
fn scrambled(number: usize) -> u64 {
    let mut value = (number as u64).wrapping_add(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

fn pair_fields(number: usize) -> String {
    let random = scrambled(number);
    let customer = random as usize % CUSTOMERS;
    let account = customer % 50;
    format!(
        r#""accountId":"account-{account}","customerId":"customer-{customer}","callSid":"CA{random:016x}{number:016x}""#
    )
}

fn session_fields(number: usize) -> String {
    let random = scrambled(number);
    let session = scrambled(number / 3 + 1_000_000_007);
    format!(r#""sessionId":"S{session:016x}","callSid":"CA{random:016x}{number:016x}""#)
}

fn pair(number: usize) -> String {
    format!("{{{}}}", pair_fields(number))
}

fn session(number: usize) -> String {
    format!("{{{}}}", session_fields(number))
}

/// Returns a batch of reports of calls that happened in order, over a year.
fn batch(number: usize, fields: fn(usize) -> String) -> String {
    let first = number * BATCH;
    let count: usize = variable("BENCH_REPORTS").parse().unwrap();
    // The last load may send more than `count`, which must not come to lie in the future.
    let seconds =
        |number: usize| ((number % count) as u64 * 365 * 86_400 / count as u64).cast_signed();
    let reports: Vec<_> = (first..first + BATCH)
        .map(|number| {
            let start: jiff::Timestamp = "2025-11-01T00:00:00Z".parse().unwrap();
            let at = start + jiff::SignedDuration::from_secs(seconds(number));
            format!(r#"{{{},"occurredAt":"{at}"}}"#, fields(number))
        })
        .collect();
    format!("[{}]", reports.join(","))
}

fn pairs(number: usize) -> String {
    batch(number, pair_fields)
}

fn sessions(number: usize) -> String {
    batch(number, session_fields)
}

/// One program with one log.
struct Subject {
    server: Server,
    target: Target,
    url: String,
}

/// The figures of a measurement, each per report.
#[derive(Clone, Copy)]
struct Figures {
    rate: f64,
    p99: f64,
    server_cpu: f64,
    database_cpu: f64,
    /// Bytes of WAL on PostgreSQL, bytes that the server wrote on SQLite.
    written: f64,
}

impl Subject {
    /// Starts a program on a new database and fills its log.
    async fn start(program: &str, url: &str, port: u16, load: &Load, reports: usize) -> Self {
        let (address, token, server) = process::billables(program, &directory(), url, port);
        let fill = Target::new(&address, &token, 0, load.batch);
        let mut sent = 0;
        while sent < reports {
            let latencies = fill.load(4, None, Duration::from_secs(5)).await;
            assert_eq!((latencies.refused.len(), latencies.other), (0, 0));
            sent += latencies.accepted.len() * BATCH;
        }
        eprintln!("{program}: {sent} reports, {}", load.name);
        Self {
            server,
            target: Target::new(&address, &token, 1_000_000_000, load.one),
            url: url.to_owned(),
        }
    }

    fn is_on_postgres(&self) -> bool {
        self.url.starts_with("postgres")
    }

    async fn measure(&self, postmaster: i32) -> Figures {
        self.target.load(64, None, WARM).await;
        let written = async || {
            if !self.is_on_postgres() {
                let process = Process::new(self.server.id()).unwrap();
                return process.io().unwrap().wchar as f64;
            }
            let mut connection = PgConnection::connect(&self.url).await.unwrap();
            let lsn = "select (pg_current_wal_insert_lsn() - '0/0')::float8";
            sqlx::query_scalar(lsn)
                .fetch_one(&mut connection)
                .await
                .unwrap()
        };
        if self.is_on_postgres() {
            let mut connection = PgConnection::connect(&self.url).await.unwrap();
            connection.execute("checkpoint").await.unwrap();
        }
        let cpu = || (processor_time(self.server.id()), processor_time(postmaster));
        let (before, from) = (cpu(), written().await);
        let latencies = self.target.load(64, None, LASTS).await;
        let (after, until) = (cpu(), written().await);
        assert_eq!((latencies.refused.len(), latencies.other), (0, 0));
        let count = latencies.accepted.len() as f64;
        Figures {
            rate: latencies.rate(),
            p99: percentile(&latencies.accepted, 0.99).unwrap().as_secs_f64(),
            server_cpu: (after.0 - before.0).as_secs_f64() / count,
            database_cpu: (after.1 - before.1).as_secs_f64() / count,
            written: (until - from) / count,
        }
    }

    /// Returns the size of the database per billable, in bytes.
    async fn size(&self) -> f64 {
        if !self.is_on_postgres() {
            let path = self.url.strip_prefix("sqlite://").unwrap();
            let size = std::fs::metadata(path).unwrap().len() as f64;
            let mut connection = sqlx::SqliteConnection::connect(&self.url).await.unwrap();
            let count: i64 = sqlx::query_scalar("select count(*) from entries where kind = 1")
                .fetch_one(&mut connection)
                .await
                .unwrap();
            return size / count as f64;
        }
        let mut connection = PgConnection::connect(&self.url).await.unwrap();
        let size = "select pg_database_size(current_database())::float8 / (select count(*) from entries where kind = 1)";
        sqlx::query_scalar(size)
            .fetch_one(&mut connection)
            .await
            .unwrap()
    }
}

fn directory() -> PathBuf {
    PathBuf::from(variable("BENCH_DIRECTORY"))
}

/// Fills the logs of both programs, and prints their figures and ratios.
async fn compare(database: &str, load: &Load, reports: usize, programs: &[String; 2]) {
    let mut subjects = Vec::new();
    for (at, program) in programs.iter().enumerate() {
        let name = format!("compare{}{at}", load.name.replace(' ', ""));
        let url = if database == "PostgreSQL" {
            let cluster = variable("BENCH_POSTGRES");
            let mut connection = PgConnection::connect(&cluster).await.unwrap();
            let create = format!("create database {name} template template0 encoding 'UTF8'");
            connection
                .execute(sqlx::AssertSqlSafe(create))
                .await
                .unwrap();
            cluster.replace("/postgres?", &format!("/{name}?"))
        } else {
            format!(
                "sqlite://{}",
                directory().join(format!("{name}.db")).display()
            )
        };
        let port = 18480 + u16::try_from(at).unwrap();
        let subject = Subject::start(program, &url, port, load, reports).await;
        if subject.is_on_postgres() {
            let mut connection = PgConnection::connect(&url).await.unwrap();
            connection.execute("vacuum analyze").await.unwrap();
        }
        subjects.push(subject);
    }
    let postmaster = variable("BENCH_POSTMASTER").parse().unwrap();
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let mut round = Vec::new();
        for subject in &subjects {
            round.push(subject.measure(postmaster).await);
        }
        rounds.push(round);
    }
    let sizes = [subjects[0].size().await, subjects[1].size().await];
    let title = format!("{database}, {}, {reports} billables", load.name);
    println!("\n| {title} | before | after | ratio |\n|---|---|---|---|");
    let row = |what: &str, unit: f64, figure: fn(&Figures) -> f64| {
        let of = |at: usize| {
            median(
                &rounds
                    .iter()
                    .map(|round| figure(&round[at]))
                    .collect::<Vec<_>>(),
            )
        };
        let ratios: Vec<_> = rounds
            .iter()
            .map(|round| figure(&round[1]) / figure(&round[0]))
            .collect();
        println!(
            "| {what} | {:.1} | {:.1} | {:.2} |",
            of(0) * unit,
            of(1) * unit,
            median(&ratios)
        );
    };
    row("reports per second", 1.0, |of| of.rate);
    row("p99, ms", 1e3, |of| of.p99);
    row("server's processor time, µs", 1e6, |of| of.server_cpu);
    if database == "PostgreSQL" {
        row("database's processor time, µs", 1e6, |of| of.database_cpu);
        row("WAL, bytes", 1.0, |of| of.written);
    } else {
        row("written, bytes", 1.0, |of| of.written);
    }
    let [before, after] = [0, 1].map(|at| process::resident(subjects[at].server.id()).1);
    println!(
        "| server's peak RSS, MiB | {before:.0} | {after:.0} | {:.2} |",
        after / before
    );
    let [before, after] = sizes;
    println!(
        "| bytes per billable, all in | {before:.0} | {after:.0} | {:.2} |",
        after / before
    );
}

#[tokio::main]
async fn main() {
    // A plain `cargo bench` runs this too, without the script's variables.
    let Ok(old) = std::env::var("BENCH_OLD") else {
        return println!("run scripts/bench-compare");
    };
    let programs = [old, variable("BENCH_PROGRAM")];
    let reports: usize = variable("BENCH_REPORTS").parse().unwrap();
    let only: Option<String> = std::env::args().skip(1).find(|text| !text.starts_with('-'));
    for (database, reports) in [("PostgreSQL", reports), ("SQLite", reports / 5)] {
        if only
            .as_ref()
            .is_some_and(|only| !database.eq_ignore_ascii_case(only))
        {
            continue;
        }
        for load in &LOADS {
            compare(database, load, reports, &programs).await;
        }
    }
}
