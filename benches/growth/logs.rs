//! A log of a given size, a server on it, and the requests that are measured.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use reqwest::Client;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::load::{Target, percentile};
use super::process::{self, Server, median, processor_time, variable};
use super::reports::{BATCH, batch, report};
use super::{MEASURES, WRITES};

/// The duration of a measurement, and of the warm-up before it.
const LASTS: Duration = Duration::from_secs(4);
const WARM: Duration = Duration::from_secs(1);

/// How many times a round makes each read.
const READS: usize = 60;

/// The number of calls in a check.
const CHECKED: usize = 100;

/// A billable of the log.
#[derive(Debug, sqlx::FromRow)]
struct Sample {
    id: Uuid,
    session_id: String,
    call_sid: String,
    account_id: String,
    customer_id: String,
}

#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) billables: u64,
    address: String,
    token: String,
    pub(crate) server: Server,
    postmaster: i32,
    one: Target,
    batches: Target,
    client: Client,
    /// Billables sampled from the whole log.
    samples: Vec<Sample>,
    /// Where the next page of the feed begins.
    after: String,
}

impl Log {
    /// Starts a server on a log. `description` is its size, its database's URL, and the process id
    /// of the postmaster.
    pub(crate) async fn start(description: &str, port: u16) -> Self {
        let mut description = description.split_whitespace();
        let mut next = || description.next().unwrap();
        let (size, url, postmaster) = (next(), next(), next());
        let billables: u64 = size.parse().unwrap();
        let mut database = PgConnection::connect(url).await.unwrap();
        let samples: Vec<Sample> = sqlx::query_as(
            "select billable_id as id, session_id, call_sid, account_id, customer_id
             from entries tablesample system($1) where session_id is not null limit 20000",
        )
        .bind((100.0 * 20_000.0 / billables as f32).min(100.0))
        .fetch_all(&mut database)
        .await
        .unwrap();
        let directory = PathBuf::from(variable("BENCH_DIRECTORY"));
        let (address, token, server) =
            process::billables(&variable("BENCH_PROGRAM"), &directory, url, port);
        // Numbers that earlier runs on the same log did not use.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let first = usize::try_from(now.as_secs()).unwrap() * 1_000_000;
        Self {
            billables,
            one: Target::new(&address, &token, first, report),
            batches: Target::new(&address, &token, first, batch),
            postmaster: postmaster.parse().unwrap(),
            client: Client::new(),
            after: String::new(),
            address,
            token,
            server,
            samples,
        }
    }

    /// Returns a figure for each of [`MEASURES`].
    pub(crate) async fn measure(&mut self, turn: usize) -> Vec<f64> {
        let mut figures = self.writes().await;
        let samples = self.samples.len();
        let mut times = vec![Vec::new(); MEASURES.len() - WRITES];
        for read in 0..READS {
            // A different sample each time, never next to the one before.
            let sample = ((turn * READS + read) * 7_919) % samples;
            for (time, times) in self.reads(sample).await.into_iter().zip(&mut times) {
                times.push(time);
            }
        }
        figures.extend(times.iter().map(|times| median(times)));
        figures
    }

    async fn writes(&self) -> Vec<f64> {
        let cpu = || {
            (
                processor_time(self.server.id()),
                processor_time(self.postmaster),
            )
        };
        self.one.load(64, None, WARM).await;
        let before = cpu();
        let many = self.one.load(64, None, LASTS).await;
        let after = cpu();
        let batches = self.batches.load(1, None, LASTS).await;
        let alone = self.one.load(1, None, LASTS).await;
        for latencies in [&many, &batches, &alone] {
            assert_eq!(
                (latencies.refused.len(), latencies.other),
                (0, 0),
                "all are accepted"
            );
        }
        let count = many.accepted.len() as f64;
        vec![
            many.rate(),
            batches.rate() * BATCH as f64,
            (after.0 - before.0).as_secs_f64() / count,
            (after.1 - before.1).as_secs_f64() / count,
            percentile(&alone.accepted, 0.5).unwrap().as_secs_f64(),
        ]
    }

    /// Returns how long each read took, in seconds.
    async fn reads(&mut self, sample: usize) -> Vec<f64> {
        let Sample {
            id,
            session_id,
            call_sid,
            account_id,
            customer_id,
        } = &self.samples[sample];
        let day = 1 + sample % 28;
        let paths = [
            format!("/billables/{id}"),
            format!("/billables?sessionId={session_id}"),
            format!("/billables?callSid={call_sid}"),
            "/billables?limit=100".to_owned(),
            format!("/billables?accountId={account_id}&limit=100"),
            format!("/billables?accountId={account_id}&limit=100&to=2026-05-{day:02}T12:00:00Z"),
            format!("/billables?customerId={customer_id}&limit=100"),
        ];
        let mut times = Vec::new();
        for path in paths {
            times.push(self.get(&path).await.0);
        }
        let calls: Vec<_> = (0..CHECKED)
            .map(|index| &*self.samples[(sample + index * 131) % self.samples.len()].call_sid)
            .collect();
        let check = serde_json::json!({ "callSids": calls }).to_string();
        times.push(
            self.ask(self.client.post(self.url("/billables/check")).body(check))
                .await
                .0,
        );
        let (time, next) = self.get(&format!("/log?limit=100{}", self.after)).await;
        times.push(time);
        let session = format!("/sessions/{}", self.samples[sample].session_id);
        times.push(self.get(&session).await.0);
        let month = "/billing?accountId=account-001&startDate=2026-06-01&endDate=2026-06-30";
        times.push(self.get(month).await.0);
        self.after = format!("&after={}", next.unwrap());
        times
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    async fn get(&self, path: &str) -> (f64, Option<String>) {
        self.ask(self.client.get(self.url(path))).await
    }

    /// Returns how long the request took, in seconds, and the cursor in the response.
    async fn ask(&self, request: reqwest::RequestBuilder) -> (f64, Option<String>) {
        let begun = Instant::now();
        let answer = request.bearer_auth(&self.token).send().await.unwrap();
        let (status, path) = (answer.status(), answer.url().path().to_owned());
        let next = answer.headers().get("next-cursor");
        let next = next.map(|next| next.to_str().unwrap().to_owned());
        let body = answer.text().await.unwrap();
        let took = begun.elapsed().as_secs_f64();
        // An unattributed session gets a 404, which takes as long as a 200.
        let is_expected = status.is_success() || path.starts_with("/sessions/");
        assert!(is_expected, "{path}: {status} {body}");
        (took, next)
    }
}
