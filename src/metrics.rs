//! The metrics of the process. They follow Prometheus's conventions.
//!
//! Like the logger, the metrics are global to the process and shared by all modules. Values that
//! other modules hold (the length of a queue, the connections of a pool) are set at each scrape.

use std::sync::{LazyLock, Mutex, MutexGuard};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use tokio::time::Instant;

use crate::calendar::zones_version;

#[cfg(target_os = "linux")]
mod process;

pub static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);

/// Histogram bounds of durations, in seconds: from a commit on a fast disk to the default request
/// timeout. A feed request that waits can take longer.
const SECONDS: [f64; 14] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0,
];

/// Histogram bounds of entries in a commit; the last bound is the largest batch.
const ENTRIES: [f64; 9] = [1.0, 2.0, 5.0, 20.0, 50.0, 100.0, 500.0, 1_000.0, 10_000.0];

/// The labels of a request that was answered or abandoned.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Answered {
    /// The route's template, or `other` if no route matches.
    pub route: &'static str,
    /// The method, or `other` if no route has it.
    pub method: &'static str,
    pub status: u16,
    /// `stored`, `replayed` or `ok`, the error's code, or `Abandoned` if the client disconnected
    /// first.
    pub outcome: &'static str,
}

/// The label of a request's duration.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Route {
    /// The route's template, or `other` if no route matches.
    pub route: &'static str,
}

/// The labels of a report: how repeats of it are detected, and its outcome.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ReportLabels {
    /// `key`, `call` or `none`.
    pub identity: &'static str,
    /// `stored`, `replayed` or `conflict`.
    pub outcome: &'static str,
}

/// The labels of an ignored event.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct IgnoredLabels {
    /// The client, or `(other)` for further clients.
    client: String,
    /// The conditions that do not hold: `only` or `answered`.
    reason: &'static str,
}

/// The labels of a refused request.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct RefusalLabels {
    /// The client, `(other)` for further clients, or empty without a valid token.
    pub client: String,
    /// The error's code.
    pub code: &'static str,
}

/// A limit on requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Requests of a token in a period.
    Rate,
    /// Concurrent requests.
    Requests,
    /// Bytes held by requests.
    Bytes,
    /// Commands waiting for a commit: reports, batches, voids and attribution steps.
    Queue,
    /// Concurrent pages, feeds and checks.
    Reads,
    /// Concurrent lookups by call, and lists of a session for account-limited clients.
    Lookups,
    /// Concurrent exports.
    Exports,
    /// Concurrent reads of totals.
    Totals,
}

impl Limit {
    const ALL: [Self; 8] = [
        Self::Rate,
        Self::Requests,
        Self::Bytes,
        Self::Queue,
        Self::Reads,
        Self::Lookups,
        Self::Exports,
        Self::Totals,
    ];
}

#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Refused {
    limit: &'static str,
}

/// A class of requests with a separate limit.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct RequestClass {
    /// `report` or `other`.
    pub kind: &'static str,
}

/// An address that the server listens on.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Address {
    /// `public` or `admin`.
    pub address: &'static str,
}

/// A class of the byte budget.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct BudgetClass {
    /// `small` or `large`.
    pub part: &'static str,
}

/// The connections of a pool.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Pooled {
    pub pool: &'static str,
    /// `used` or `idle`.
    pub state: &'static str,
}

#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Pool {
    pub pool: &'static str,
}

/// The log's state, and when it was last read.
#[derive(Debug)]
struct State {
    read_at: Instant,
    unattributed: i64,
    /// When the oldest unattributed billable happened, in microseconds since 1970.
    oldest_at: Option<i64>,
    lag: i64,
}

type Seconds = Gauge<f64, std::sync::atomic::AtomicU64>;

/// All metrics. The fields have the exported names, without the prefix `billables_`.
#[derive(Debug)]
#[expect(
    missing_docs,
    reason = "each metric is described where it is registered"
)]
pub struct Metrics {
    registry: Registry,
    pub http_requests: Family<Answered, Counter>,
    pub http_request_duration_seconds: Family<Route, Histogram, fn() -> Histogram>,
    pub http_requests_in_flight: Family<RequestClass, Gauge>,
    pub http_requests_limit: Family<RequestClass, Gauge>,
    pub connections: Family<Address, Gauge>,
    pub connections_limit: Family<Address, Gauge>,
    pub request_bytes: Family<BudgetClass, Gauge>,
    pub request_bytes_limit: Family<BudgetClass, Gauge>,
    refused: Family<Refused, Counter>,
    refusals: Family<RefusalLabels, Counter>,
    ignored_events: Family<IgnoredLabels, Counter>,
    pub reports: Family<ReportLabels, Counter>,
    pub replays_differing: Counter,
    pub commit_duration_seconds: Histogram,
    pub commit_entries: Histogram,
    pub commit_repeats: Counter,
    pub commit_failures: Counter,
    pub queue_jobs: Gauge,
    pub queue_limit_jobs: Gauge,
    unattributed_billables: Gauge,
    unattributed_oldest_age_seconds: Seconds,
    roller_lag_entries: Gauge,
    state_age_seconds: Seconds,
    state: Mutex<State>,
    pub tokens_age_seconds: Seconds,
    pub log_lines_lost: Counter,
    pub pool_connections: Family<Pooled, Gauge>,
    pub pool_connections_limit: Family<Pool, Gauge>,
}

impl Metrics {
    fn new() -> Self {
        let durations: fn() -> Histogram = || Histogram::new(SECONDS);
        let mut metrics = Self {
            registry: Registry::default(),
            http_requests: Family::default(),
            http_request_duration_seconds: Family::new_with_constructor(durations),
            http_requests_in_flight: Family::default(),
            http_requests_limit: Family::default(),
            connections: Family::default(),
            connections_limit: Family::default(),
            request_bytes: Family::default(),
            request_bytes_limit: Family::default(),
            refused: Family::default(),
            refusals: Family::default(),
            ignored_events: Family::default(),
            reports: Family::default(),
            replays_differing: Counter::default(),
            commit_duration_seconds: durations(),
            commit_entries: Histogram::new(ENTRIES),
            commit_repeats: Counter::default(),
            commit_failures: Counter::default(),
            queue_jobs: Gauge::default(),
            queue_limit_jobs: Gauge::default(),
            unattributed_billables: Gauge::default(),
            unattributed_oldest_age_seconds: Seconds::default(),
            roller_lag_entries: Gauge::default(),
            state_age_seconds: Seconds::default(),
            state: Mutex::new(State {
                read_at: Instant::now(),
                unattributed: 0,
                oldest_at: None,
                lag: 0,
            }),
            tokens_age_seconds: Seconds::default(),
            log_lines_lost: Counter::default(),
            pool_connections: Family::default(),
            pool_connections_limit: Family::default(),
        };
        // These series start at 0, because PromQL's `rate` misses an event that creates its series.
        for limit in Limit::ALL {
            metrics.of_limit(limit);
        }
        for identity in ["key", "call", "none"] {
            for outcome in ["stored", "replayed", "conflict"] {
                let reported = ReportLabels { identity, outcome };
                metrics.reports.get_or_create_owned(&reported);
            }
        }
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let mut registry = Registry::default();
        #[cfg(target_os = "linux")]
        registry.register_collector(Box::new(process::Process));
        let ours = registry.sub_registry_with_prefix("billables");
        let version = Info::new([
            ("version", env!("CARGO_PKG_VERSION")),
            ("time_zones", zones_version()),
        ]);
        ours.register(
            "build",
            "The versions of the program and of its time zone data",
            version,
        );
        // Names a metric as its field is named.
        macro_rules! register {
            ($($name:ident: $help:literal)*) => {
                $(ours.register(stringify!($name), $help, self.$name.clone());)*
            };
        }
        register! {
            http_requests: "Requests that were answered or that the client abandoned"
            http_request_duration_seconds: "Time from a request to the first byte of its response"
            http_requests_in_flight: "Requests being processed: reports whose body has arrived, and other requests with a valid token except scrapes"
            http_requests_limit: "Maximum number of concurrent requests"
            connections: "Open client connections"
            connections_limit: "Maximum number of open client connections"
            request_bytes: "Bytes held by requests, from the first byte of the body to the response"
            request_bytes_limit: "Maximum number of bytes held by requests"
            refused: "Requests refused because a limit was reached"
            refusals: "Requests refused, by client and error code; GET /refusals lists the last ones"
            ignored_events: "Events that a sender's profile ignored, by client and reason"
            reports: "Reports processed in a confirmed transaction"
            replays_differing: "Reports that were already stored with another occurredAt"
            commit_duration_seconds: "Duration of a group commit, including retries"
            commit_entries: "Entries in a group commit"
            commit_repeats: "Group commit attempts that had an unknown outcome and were retried"
            commit_failures: "Group commits that were refused or not confirmed"
            queue_jobs: "Commands waiting for a commit: reports, batches, voids and attribution steps"
            queue_limit_jobs: "Maximum number of commands waiting for a commit"
            unattributed_billables: "Billables that are not attributed to an account and customer yet"
            unattributed_oldest_age_seconds: "Age of the oldest unattributed billable, with a resolution of 15 minutes; 0 if there is none"
            roller_lag_entries: "Log positions after the watermarks, not yet rolled into the totals"
            state_age_seconds: "Time since the unattributed billables and the roller's lag were last read"
            tokens_age_seconds: "Time since the tokens were last read; above 5 seconds all clients are refused"
            log_lines_lost: "Log lines that did not fit into memory or could not be written"
            pool_connections: "Database connections in a pool; each partition's writer has another one outside the pools"
            pool_connections_limit: "Maximum number of connections in a pool"
        }
        self.registry = registry;
    }

    /// Counts a request that was refused because of a limit.
    pub fn refused(&self, limit: Limit) {
        self.of_limit(limit).inc();
    }

    /// Counts a refused request. The caller bounds the number of clients.
    pub fn refusal(&self, client: &str, code: &'static str) {
        let client = client.to_owned();
        let labels = RefusalLabels { client, code };
        self.refusals.get_or_create_owned(&labels).inc();
    }

    /// Counts an ignored event. The caller bounds the number of clients.
    pub fn ignored(&self, client: &str, reason: &'static str) {
        let client = client.to_owned();
        let labels = IgnoredLabels { client, reason };
        self.ignored_events.get_or_create_owned(&labels).inc();
    }

    fn of_limit(&self, limit: Limit) -> Counter {
        let limit = match limit {
            Limit::Rate => "rate",
            Limit::Requests => "requests",
            Limit::Bytes => "bytes",
            Limit::Queue => "queue",
            Limit::Reads => "reads",
            Limit::Lookups => "lookups",
            Limit::Exports => "exports",
            Limit::Totals => "totals",
        };
        self.refused.get_or_create_owned(&Refused { limit })
    }

    /// Sets the log's state as of now: the number of unattributed billables, when the oldest of
    /// them happened (in microseconds since 1970), and how many positions the totals lag behind.
    pub fn set_state(&self, unattributed: i64, oldest_at: Option<i64>, lag: i64) {
        *self.state() = State {
            read_at: Instant::now(),
            unattributed,
            oldest_at,
            lag,
        };
    }

    /// Encodes all metrics as text. `now` is in microseconds since 1970.
    pub fn encode(&self, now: i64) -> String {
        let (read, oldest) = {
            let state = self.state();
            self.unattributed_billables.set(state.unattributed);
            self.roller_lag_entries.set(state.lag);
            let oldest = state.oldest_at.map(|at| now.saturating_sub(at).max(0));
            (state.read_at.elapsed(), oldest.unwrap_or_default())
        };
        self.state_age_seconds.set(read.as_secs_f64());
        let oldest = Duration::from_micros(oldest.unsigned_abs());
        self.unattributed_oldest_age_seconds
            .set(oldest.as_secs_f64());
        let mut encoded = String::new();
        text::encode(&mut encoded, &self.registry).expect("writing to memory cannot fail");
        encoded
    }

    /// Records the duration of a group commit and its number of entries.
    pub fn committed(&self, took: Duration, entries: usize) {
        self.commit_duration_seconds.observe(took.as_secs_f64());
        self.commit_entries.observe(as_f64(entries));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics under this lock")
    }
}

/// Converts a count to a gauge's value.
pub fn as_i64(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn as_f64(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
