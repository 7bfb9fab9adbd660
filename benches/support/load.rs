//! Generates load over plain sockets, for the benchmarks: one request at a time on each connection,
//! with as little work outside the server as possible.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// The address and the content of requests.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    address: String,
    /// The headers between the request line and `Content-Length`.
    headers: String,
    body: fn(usize) -> String,
    next: Arc<AtomicUsize>,
}

/// The sorted latencies of the responses, by outcome, each from when its request was sent.
#[derive(Debug, Default)]
pub(crate) struct Latencies {
    pub(crate) accepted: Vec<Duration>,
    pub(crate) refused: Vec<Duration>,
    pub(crate) other: usize,
    lasted: Duration,
}

impl Latencies {
    /// Accepted requests per second.
    pub(crate) fn rate(&self) -> f64 {
        self.accepted.len() as f64 / self.lasted.as_secs_f64()
    }
}

impl Target {
    /// Creates a target. The bodies are made from increasing numbers, starting with `first`.
    pub(crate) fn new(address: &str, token: &str, first: usize, body: fn(usize) -> String) -> Self {
        Self {
            address: address.to_owned(),
            headers: format!(
                "Host: bench\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
            ),
            body,
            next: Arc::new(AtomicUsize::new(first)),
        }
    }

    /// Sends a request and reads the response. Returns its status.
    async fn send(&self, stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<u16> {
        let body = (self.body)(self.next.fetch_add(1, Ordering::Relaxed));
        let request = format!(
            "POST /billables HTTP/1.1\r\n{}Content-Length: {}\r\n\r\n{body}",
            self.headers,
            body.len()
        );
        stream.write_all(request.as_bytes()).await.ok()?;
        buffer.clear();
        let mut head = None;
        loop {
            if stream.read_buf(buffer).await.ok()? == 0 {
                return None;
            }
            head = head.or_else(|| head_of(buffer));
            match head {
                Some((status, Some(whole))) if buffer.len() >= whole => return Some(status),
                Some((status, None)) if buffer.ends_with(b"\r\n0\r\n\r\n") => return Some(status),
                _ => {}
            }
        }
    }

    /// Sends requests on `connections` connections for the time `lasts`, each one when the one
    /// before it is answered. With a rate, starts that many requests per second, as long as a
    /// connection is free.
    pub(crate) async fn load(
        &self,
        connections: usize,
        rate: Option<f64>,
        lasts: Duration,
    ) -> Latencies {
        let begun = Instant::now();
        let mut workers = JoinSet::new();
        for worker in 0..connections {
            let target = self.clone();
            workers.spawn(async move {
                let mut latencies = Latencies::default();
                let mut buffer = Vec::with_capacity(4096);
                let mut stream = connect(&target.address).await;
                for turn in 0.. {
                    if let Some(rate) = rate {
                        let index = (turn * connections + worker) as f64;
                        sleep_until(begun + Duration::from_secs_f64(index / rate)).await;
                    }
                    let sent = Instant::now();
                    if sent >= begun + lasts {
                        break;
                    }
                    match target.send(&mut stream, &mut buffer).await {
                        Some(200..=299) => latencies.accepted.push(sent.elapsed()),
                        Some(503) => latencies.refused.push(sent.elapsed()),
                        _ => {
                            latencies.other += 1;
                            stream = connect(&target.address).await;
                        }
                    }
                }
                latencies
            });
        }
        let mut all = Latencies::default();
        for latencies in workers.join_all().await {
            all.accepted.extend(latencies.accepted);
            all.refused.extend(latencies.refused);
            all.other += latencies.other;
        }
        all.lasted = begun.elapsed();
        all.accepted.sort_unstable();
        all.refused.sort_unstable();
        all
    }
}

async fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address)
        .await
        .expect("the server accepts a connection");
    stream.set_nodelay(true).expect("the socket is open");
    stream
}

/// Returns the status and the length of a response, once its head has arrived. The length is `None`
/// if the response is chunked.
fn head_of(answer: &[u8]) -> Option<(u16, Option<usize>)> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).expect("the head is ASCII");
    let status = head.get(9..12)?.parse().ok()?;
    let value = |wanted| {
        head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case(wanted).then(|| value.trim())
        })
    };
    let length = match value("transfer-encoding") {
        Some(_) => None,
        None => Some(
            end + 4
                + value("content-length").map_or(0, |length| {
                    length.parse().expect("Content-Length is a number")
                }),
        ),
    };
    Some((status, length))
}

/// Returns a percentile of sorted times, such as 0.99, or `None` if there are no times.
pub(crate) fn percentile(times: &[Duration], part: f64) -> Option<Duration> {
    let last = times.len().checked_sub(1)?;
    Some(times[(last as f64 * part) as usize])
}
