//! What a server does under more than it can bear: `scripts/bench-overload` starts one and runs this.
//!
//! Reports are sent at a fixed rate whatever comes back, over many connections: first as many as
//! the server takes, then a part of that, then several times as many, then a part again. What
//! counts is how long accepted and refused ones take, and how much memory the server has.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

const CONNECTIONS: usize = 1500;

/// Where the server is, and how to ask it.
#[derive(Clone)]
struct Target {
    address: String,
    token: String,
    next: Arc<AtomicUsize>,
}

/// What came back, with how long it took from the moment it was sent.
#[derive(Default)]
struct Seen {
    accepted: Vec<Duration>,
    refused: Vec<Duration>,
    other: usize,
}

impl Target {
    /// Sends a report and reads the answer; its status.
    async fn report(&self, stream: &mut TcpStream, space: &mut Vec<u8>) -> Option<u16> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let body = format!(
            r#"{{"accountId":"a{}","customerId":"c","callSid":"CA{number}"}}"#,
            number % 50
        );
        let request = format!(
            "POST /billables HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {}\r\nPrefer: return=minimal\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.token,
            body.len()
        );
        stream.write_all(request.as_bytes()).await.ok()?;
        space.clear();
        loop {
            if stream.read_buf(space).await.ok()? == 0 {
                return None;
            }
            let text = String::from_utf8_lossy(space);
            let Some((head, body)) = text.split_once("\r\n\r\n") else {
                continue;
            };
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return head.get(9..12)?.parse().ok();
            }
        }
    }

    /// Sends `rate` reports a second for so long; without a rate as fast as answers come.
    async fn load(&self, connections: usize, rate: Option<f64>, lasts: Duration) -> Seen {
        let begun = Instant::now();
        let mut workers = JoinSet::new();
        for worker in 0..connections {
            let target = self.clone();
            workers.spawn(async move {
                let mut seen = Seen::default();
                let mut space = Vec::with_capacity(4096);
                let mut stream = TcpStream::connect(&target.address).await.unwrap();
                stream.set_nodelay(true).unwrap();
                for turn in 0.. {
                    if let Some(rate) = rate {
                        let place = (turn * connections + worker) as f64;
                        sleep_until(begun + Duration::from_secs_f64(place / rate)).await;
                    }
                    let sent = Instant::now();
                    if sent >= begun + lasts {
                        break;
                    }
                    match target.report(&mut stream, &mut space).await {
                        Some(200..=299) => seen.accepted.push(sent.elapsed()),
                        Some(503) => seen.refused.push(sent.elapsed()),
                        _ => {
                            seen.other += 1;
                            stream = TcpStream::connect(&target.address).await.unwrap();
                        }
                    }
                }
                seen
            });
        }
        let mut all = Seen::default();
        for seen in workers.join_all().await {
            all.accepted.extend(seen.accepted);
            all.refused.extend(seen.refused);
            all.other += seen.other;
        }
        all.accepted.sort();
        all.refused.sort();
        all
    }
}

fn at(times: &[Duration], part: f64) -> String {
    match times {
        [] => String::new(),
        times => {
            let place = ((times.len() - 1) as f64 * part) as usize;
            format!("{:.1} ms", times[place].as_secs_f64() * 1e3)
        }
    }
}

/// The server's resident memory at most so far, in MiB.
fn peak(id: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        / 1024
}

#[tokio::main]
async fn main() {
    let variable = |name| std::env::var(name).unwrap();
    let (id, target) = (
        variable("BENCH_SERVER_ID"),
        Target {
            address: variable("BENCH_SERVER"),
            token: variable("BENCH_TOKEN"),
            next: Arc::default(),
        },
    );
    let lasts = Duration::from_secs(10);
    let warm = target.load(64, None, Duration::from_secs(3)).await;
    assert_eq!(warm.other, 0);
    let full = target.load(64, None, lasts).await;
    let sustained = full.accepted.len() as f64 / lasts.as_secs_f64();
    println!(
        "64 connections, each sending when it is answered: {sustained:.0} reports/s, p50 {}, p99 {}\n",
        at(&full.accepted, 0.5),
        at(&full.accepted, 0.99)
    );
    println!(
        "| sent, of that rate | accepted/s | p50 | p99 | refused/s | p50 | p99 | slowest | other | resident at most |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for times in [0.5, 2.0, 4.0, 0.5] {
        let seen = target
            .load(CONNECTIONS, Some(sustained * times), lasts)
            .await;
        let rate = |count: usize| count as f64 / lasts.as_secs_f64();
        println!(
            "| {times} | {:.0} | {} | {} | {:.0} | {} | {} | {} | {} | {} MiB |",
            rate(seen.accepted.len()),
            at(&seen.accepted, 0.5),
            at(&seen.accepted, 0.99),
            rate(seen.refused.len()),
            at(&seen.refused, 0.5),
            at(&seen.refused, 0.99),
            at(&seen.refused, 1.0),
            seen.other,
            peak(&id)
        );
    }
}
