//! How fast the service stores, compared with baselines. `scripts/bench` creates a database and
//! runs this. Everything is measured in turn, for several rounds, and compared within a round.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement"
)]

#[path = "../support/load.rs"]
mod load;
#[path = "../support/process.rs"]
mod process;
#[path = "../support/reports.rs"]
mod reports;
mod sql;
mod subjects;
mod table;

use std::time::Duration;

use process::median;
use subjects::{Bench, Measured};
use table::{micros, millis, number, of_rounds, ratio};

/// How long each subject is measured.
const LASTS: Duration = Duration::from_secs(4);

/// The measurements of a round, by name.
type Round = std::collections::HashMap<&'static str, Measured>;

async fn round(bench: &Bench) -> Round {
    let mut round = Round::new();
    for (name, subject, connections) in [
        ("empty 256", "empty", 256),
        ("billables 256", "postgres", 256),
        ("empty 64", "empty", 64),
        ("billables 64", "postgres", 64),
        ("duplicates 64", "duplicates", 64),
        ("insert 64", "insert", 64),
        ("fastapi 64", "fastapi", 64),
        ("fastify 64", "fastify", 64),
        ("sqlite 64", "sqlite", 64),
        ("transaction 64", "transaction", 64),
        ("batch", "batch", 1),
        ("empty 1", "empty", 1),
        ("billables 1", "postgres", 1),
        ("sqlite 1", "sqlite", 1),
    ] {
        let measured = bench.load(subject, connections, None).await;
        eprintln!("{name}: {:.0}/s", measured.rate);
        round.insert(name, measured);
    }
    round.insert("psql", bench.psql().await);
    round.insert("pgbench 64", bench.pgbench(sql::INSERT, 64).await);
    round.insert("pgbench 1", bench.pgbench(&sql::group_of_one(), 1).await);
    for (name, subject, full) in [
        ("half", "postgres", "billables 256"),
        ("sqlite half", "sqlite", "sqlite 64"),
    ] {
        let rate = round[full].rate / 2.0;
        round.insert(name, bench.load(subject, 64, Some(rate)).await);
    }
    round.insert("fsync", bench.fsync());
    round
}

fn print_rates(rounds: &[Round]) {
    println!(
        "| load | per second | server CPU per report | database CPU per report |\n|---|---|---|---|"
    );
    for (name, what) in [
        ("empty 256", "an empty axum handler, 256 connections"),
        ("billables 256", "**reports, PostgreSQL, 256 connections**"),
        ("empty 64", "an empty axum handler, 64 connections"),
        ("billables 64", "**reports, PostgreSQL, 64 connections**"),
        (
            "duplicates 64",
            "reports that are stored already, PostgreSQL, 64 connections",
        ),
        (
            "insert 64",
            "axum and sqlx, one `INSERT … ON CONFLICT` per request, 64 connections",
        ),
        ("fastapi 64", "FastAPI and asyncpg, 64 connections"),
        ("fastify 64", "Fastify and pg, 64 connections"),
        ("pgbench 64", "`pgbench`, 64 clients, prepared"),
        ("batch", "**reports in batches of 1,000, one connection**"),
        ("psql", "the same statements by `psql`, one connection"),
        ("sqlite 64", "**reports, SQLite, 64 connections**"),
        (
            "transaction 64",
            "axum and sqlx, one SQLite transaction per request, 64 connections",
        ),
    ] {
        let all = of_rounds(rounds, |round| round[name].rate);
        let cpu = |part: fn(&Measured) -> Option<f64>| {
            let each: Option<Vec<_>> = rounds.iter().map(|round| part(&round[name])).collect();
            each.map_or(String::new(), |each| micros(median(&each)))
        };
        let (server, database) = (cpu(|of| of.server_cpu), cpu(|of| of.database_cpu));
        println!("| {what} | {} | {server} | {database} |", number(&all));
    }
}

fn print_goals(rounds: &[Round]) {
    println!("\n| comparison | billables' rate / its rate | goal |\n|---|---|---|");
    for (what, over, under, goal) in [
        (
            "an empty handler, 256 connections",
            "billables 256",
            "empty 256",
            "≥ 0.60",
        ),
        (
            "an empty handler, 64 connections",
            "billables 64",
            "empty 64",
            "≥ 0.35",
        ),
        (
            "one `INSERT … ON CONFLICT` per request, axum and sqlx",
            "billables 64",
            "insert 64",
            "≥ 4",
        ),
        ("FastAPI and asyncpg", "billables 64", "fastapi 64", "≥ 8"),
        ("Fastify and pg", "billables 64", "fastify 64", "≥ 3"),
        ("`pgbench`", "billables 64", "pgbench 64", "≥ 2"),
        ("batches / `psql`", "batch", "psql", "≥ 0.60"),
        (
            "SQLite, one transaction per request",
            "sqlite 64",
            "transaction 64",
            "≥ 4",
        ),
        (
            "duplicates / new reports",
            "duplicates 64",
            "billables 64",
            "≥ 1",
        ),
    ] {
        let all = of_rounds(rounds, |round| round[over].rate / round[under].rate);
        println!("| {what} | {} | {goal} |", ratio(&all));
    }
}

fn print_latencies(rounds: &[Round]) {
    println!("\n| latency | p50 | p99 |\n|---|---|---|");
    for (name, what) in [
        ("empty 1", "an empty handler, one connection"),
        (
            "pgbench 1",
            "`pgbench -c 1` with the statements of a report",
        ),
        ("billables 1", "**reports, PostgreSQL, one connection**"),
        ("sqlite 1", "**reports, SQLite, one connection**"),
        ("half", "**reports, PostgreSQL, half of the maximum rate**"),
        (
            "sqlite half",
            "**reports, SQLite, half of the maximum rate**",
        ),
        ("fsync", "writing and flushing 8 KiB"),
    ] {
        let p50 = of_rounds(rounds, |round| round[name].p50);
        let p99 = of_rounds(rounds, |round| round[name].p99);
        println!("| {what} | {} | {} |", millis(&p50), millis(&p99));
    }
    println!("\n| latency | ratio | goal |\n|---|---|---|");
    let alone = of_rounds(rounds, |round| {
        (round["billables 1"].p50 - round["empty 1"].p50) / round["pgbench 1"].p50
    });
    println!(
        "| one connection: (p50 − an empty handler's p50) / `pgbench`'s p50 | {} | ≤ 1.3 |",
        ratio(&alone)
    );
    for (what, half) in [("PostgreSQL", "half"), ("SQLite", "sqlite half")] {
        let of = of_rounds(rounds, |round| {
            let allowed = (10.0 * round["fsync"].p50).max(5.0 * round[half].p50);
            round[half].p99 / allowed
        });
        println!(
            "| {what}: p99 at half of the maximum rate / max(10 × fsync p50, 5 × p50) | {} | ≤ 1 |",
            ratio(&of)
        );
    }
}

/// Measures one subject by itself, to try a change or to profile the server. The last measurement
/// is at half of the maximum rate.
async fn alone(bench: &Bench, subject: &str) {
    let mut full = 0.0;
    for (connections, part) in [(256, None), (1, None), (64, None), (64, Some(0.5))] {
        let rate = part.map(|part: f64| full * part);
        let of = bench.load(subject, connections, rate).await;
        full = of.rate;
        let cpu = |part: Option<f64>| part.map_or(String::new(), micros);
        println!(
            "{connections} connections: {:.0}/s, p50 {:.2} ms, p99 {:.2} ms, {} server, {} database",
            of.rate,
            of.p50 * 1e3,
            of.p99 * 1e3,
            cpu(of.server_cpu),
            cpu(of.database_cpu)
        );
    }
}

#[tokio::main]
async fn main() {
    // A plain `cargo bench` runs this too, without the script's variables.
    if std::env::var_os("BENCH_POSTGRES").is_none() {
        return println!("run scripts/bench");
    }
    let rounds: usize = std::env::var("BENCH_ROUNDS").map_or(5, |rounds| rounds.parse().unwrap());
    let bench = Bench::start().await;
    if let Some(subject) = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'))
    {
        return match &*subject {
            "memory" => bench.memory().await,
            subject => alone(&bench, subject).await,
        };
    }
    let mut done = Vec::new();
    for turn in 1..=rounds {
        done.push(round(&bench).await);
        eprintln!("round {turn} of {rounds}");
    }
    print_rates(&done);
    print_goals(&done);
    print_latencies(&done);
    bench.memory().await;
}
