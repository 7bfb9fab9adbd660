//! How a server behaves under overload. `scripts/bench-overload` starts one and runs this.
//!
//! It first measures the rate that the server sustains. Then it starts reports at fixed rates over
//! many connections, as long as a connection is free: at half of that rate, at several times that
//! rate, and at half again. It measures the latency of accepted and refused reports, and the
//! server's memory.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement")]

#[path = "support/load.rs"]
mod load;

use std::time::Duration;

use load::Target;
use procfs::process::Process;

const CONNECTIONS: usize = 1500;

fn report(number: usize) -> String {
    let account = number % 50;
    format!(r#"{{"accountId":"a{account}","customerId":"c","callSid":"CA{number}"}}"#)
}

fn percentile(times: &[Duration], part: f64) -> String {
    load::percentile(times, part).map_or(String::new(), |time| {
        format!("{:.1} ms", time.as_secs_f64() * 1e3)
    })
}

/// Returns the server's peak resident memory, in MiB.
fn peak(id: i32) -> u64 {
    let status = Process::new(id).unwrap().status().unwrap();
    status.vmhwm.unwrap() / 1024
}

#[tokio::main]
async fn main() {
    let variable = |name| std::env::var(name).unwrap();
    let id = variable("BENCH_SERVER_ID").parse().unwrap();
    let (address, token) = (variable("BENCH_SERVER"), variable("BENCH_TOKEN"));
    let target = Target::new(&address, &token, 0, report);
    let lasts = Duration::from_secs(10);
    let warm = target.load(64, None, Duration::from_secs(3)).await;
    assert_eq!(warm.other, 0);
    let full = target.load(64, None, lasts).await;
    let sustained = full.rate();
    println!(
        "64 connections, each sending the next report after a response: {sustained:.0} reports/s, p50 {}, p99 {}\n",
        percentile(&full.accepted, 0.5),
        percentile(&full.accepted, 0.99)
    );
    println!(
        "| sent / sustained rate | accepted/s | p50 | p99 | refused/s | p50 | p99 | slowest | other | peak RSS |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for times in [0.5, 2.0, 4.0, 0.5] {
        let latencies = target
            .load(CONNECTIONS, Some(sustained * times), lasts)
            .await;
        let rate = |count: usize| count as f64 / lasts.as_secs_f64();
        println!(
            "| {times} | {:.0} | {} | {} | {:.0} | {} | {} | {} | {} | {} MiB |",
            rate(latencies.accepted.len()),
            percentile(&latencies.accepted, 0.5),
            percentile(&latencies.accepted, 0.99),
            rate(latencies.refused.len()),
            percentile(&latencies.refused, 0.5),
            percentile(&latencies.refused, 0.99),
            percentile(&latencies.refused, 1.0),
            latencies.other,
            peak(id)
        );
    }
}
