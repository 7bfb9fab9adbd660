//! How cost grows with the log. `scripts/bench-growth` creates logs of several sizes and runs this.
//!
//! It measures the logs in turn, for several rounds, prints a table and writes a plot.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement"
)]

#[path = "../support/load.rs"]
mod load;
mod logs;
mod plot;
#[path = "../support/process.rs"]
mod process;
#[path = "../support/reports.rs"]
mod reports;

use logs::Log;
use plot::{Line, plot};
use process::{median, resident, variable};

/// The measures, with the units of their figures. A higher figure is worse, except for rates.
const MEASURES: [(&str, Unit); 16] = [
    ("reports, 64 connections", Unit::PerSecond),
    ("reports in batches of 1,000", Unit::PerSecond),
    ("a report, server's processor time", Unit::Micros),
    ("a report, database's processor time", Unit::Micros),
    ("a report, one connection", Unit::Millis),
    ("a billable by id", Unit::Millis),
    ("by session", Unit::Millis),
    ("by call", Unit::Millis),
    ("the first page", Unit::Millis),
    ("the first page of an account", Unit::Millis),
    ("a page within an account", Unit::Millis),
    ("the first page of a customer", Unit::Millis),
    ("a check of 100 calls", Unit::Millis),
    ("a page of the log", Unit::Millis),
    ("a session", Unit::Millis),
    ("a month of an account by customer", Unit::Millis),
];

/// The number of measures at the start that are writes; the others are reads.
const WRITES: usize = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    PerSecond,
    Micros,
    Millis,
}

impl Unit {
    /// Formats a figure, which is in seconds or per second.
    fn write(self, figure: f64) -> String {
        match self {
            Self::PerSecond => format!("{figure:.0}/s"),
            Self::Micros => format!("{:.0} µs", figure * 1e6),
            Self::Millis => format!("{:.2} ms", figure * 1e3),
        }
    }

    /// Returns the cost of `figure` divided by the cost of `first`.
    fn times(self, figure: f64, first: f64) -> f64 {
        match self {
            Self::PerSecond => first / figure,
            Self::Micros | Self::Millis => figure / first,
        }
    }
}

#[tokio::main]
async fn main() {
    // A plain `cargo bench` runs this too, without the script's variables.
    if std::env::var_os("BENCH_LOGS").is_none() {
        return println!("run scripts/bench-growth");
    }
    let rounds: usize = std::env::var("BENCH_ROUNDS").map_or(5, |rounds| rounds.parse().unwrap());
    let mut logs = Vec::new();
    for (port, description) in (18480..).zip(variable("BENCH_LOGS").lines()) {
        logs.push(Log::start(description, port).await);
    }
    // The figures of all rounds, by log and measure.
    let mut figures = vec![vec![Vec::new(); MEASURES.len()]; logs.len()];
    for turn in 1..=rounds {
        for (log, figures) in logs.iter_mut().zip(&mut figures) {
            let measured = log.measure(turn).await;
            for (figure, figures) in measured.into_iter().zip(figures) {
                figures.push(figure);
            }
        }
        eprintln!("round {turn} of {rounds}");
    }
    let sizes: Vec<_> = logs.iter().map(|log| log.billables).collect();
    let heads: Vec<_> = sizes.iter().map(|size| grouped(*size)).collect();
    println!("| billables in the log | {} |", heads.join(" | "));
    println!("|---{}|", "|---".repeat(sizes.len()));
    let mut lines = Vec::new();
    for (index, (name, unit)) in MEASURES.into_iter().enumerate() {
        let of_logs: Vec<_> = figures.iter().map(|of| median(&of[index])).collect();
        let times: Vec<_> = of_logs
            .iter()
            .map(|figure| unit.times(*figure, of_logs[0]))
            .collect();
        let cells: Vec<_> = of_logs
            .iter()
            .zip(&times)
            .enumerate()
            .map(|(index, (figure, times))| match index {
                0 => unit.write(*figure),
                _ => format!("{} ({times:.1})", unit.write(*figure)),
            })
            .collect();
        println!("| {name} | {} |", cells.join(" | "));
        let points = sizes.iter().copied().zip(times).collect();
        lines.push(Line { name, points });
    }
    let resident: Vec<_> = logs
        .iter()
        .map(|log| format!("{:.0} MiB", resident(log.server.id()).1))
        .collect();
    println!("| the server's peak RSS | {} |", resident.join(" | "));
    let (writes, reads) = lines.split_at(WRITES);
    let picture = plot(&[("recording", writes), ("reading", reads)]);
    std::fs::write(variable("BENCH_PLOT"), picture).unwrap();
}

/// Formats a number with thousands separators.
fn grouped(number: u64) -> String {
    let text = number.to_string();
    let groups: Vec<_> = text
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| std::str::from_utf8(group).unwrap())
        .collect();
    groups.join(",")
}
