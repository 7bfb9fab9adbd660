//! How a server behaves under overload. `scripts/bench-overload` starts one and runs this.
//!
//! It first measures the rate that the server sustains. Then it starts reports at fixed rates over
//! many connections, as long as a connection is free: at half of that rate, at several times that
//! rate, and at half again, at last while 10,000 billables are voided in one request. It measures the
//! latency of accepted and refused reports, and the server's memory.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement")]

#[path = "support/load.rs"]
mod load;

use std::time::{Duration, Instant};

use load::Target;
use procfs::process::Process;
use serde_json::{Value, json};

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

/// The number of billables that one request voids.
const VOIDED: usize = 10_000;

/// Returns the ids of the newest billables.
async fn ids(client: &reqwest::Client, url: &str, token: &str) -> Vec<String> {
    let (mut ids, mut next) = (Vec::new(), String::new());
    while ids.len() < VOIDED {
        let request = client.get(format!("{url}?limit=1000{next}"));
        let reply = request.bearer_auth(token).send().await.unwrap();
        let page: Value = reply.json().await.unwrap();
        let items = page["items"].as_array().unwrap().iter();
        ids.extend(items.map(|item| item["id"].as_str().unwrap().to_owned()));
        next = format!("&cursor={}", page["nextCursor"].as_str().unwrap());
    }
    ids
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
    for (times, is_voiding) in [
        (0.5, false),
        (2.0, false),
        (4.0, false),
        (0.5, false),
        (0.5, true),
    ] {
        let voiding = is_voiding.then(|| {
            let (url, token) = (format!("http://{address}/billables"), token.clone());
            tokio::spawn(async move {
                let client = reqwest::Client::new();
                let ids = ids(&client, &url, &token).await;
                let begun = Instant::now();
                let request = client.post(format!("{url}/void")).bearer_auth(&token);
                let reply = request.json(&json!({"ids": ids})).send().await.unwrap();
                assert_eq!(reply.status(), 200);
                begun.elapsed()
            })
        });
        let latencies = target
            .load(CONNECTIONS, Some(sustained * times), lasts)
            .await;
        let meanwhile = match voiding {
            Some(voiding) => format!(", {VOIDED} voided in {:.1?}", voiding.await.unwrap()),
            None => String::new(),
        };
        let rate = |count: usize| count as f64 / lasts.as_secs_f64();
        println!(
            "| {times}{meanwhile} | {:.0} | {} | {} | {:.0} | {} | {} | {} | {} | {} MiB |",
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
