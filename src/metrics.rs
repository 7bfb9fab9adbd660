//! What the process counts and measures of itself, by the conventions of Prometheus.
//!
//! Like the log it is the process's, so there is one for all modules. What others know (the depth
//! of a queue, the connections of a pool) is put into it when it is read.

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

#[cfg(target_os = "linux")]
mod process;

pub static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);

/// Bounds of durations, in seconds: from a commit to a fast disk to the longest wait of a request.
const SECONDS: [f64; 14] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0,
];

/// Bounds of the entries of a commit; the last one is the largest batch.
const ENTRIES: [f64; 9] = [1.0, 2.0, 5.0, 20.0, 50.0, 100.0, 500.0, 1_000.0, 10_000.0];

/// An answered request.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Answered {
    /// The route's template; `other` for none.
    pub route: &'static str,
    /// The method, as far as any route has it; else `other`.
    pub method: &'static str,
    pub status: u16,
    /// `stored`, `replayed` or `ok`; else the error's code.
    pub outcome: &'static str,
}

/// The route of a duration.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Route {
    /// The route's template; `other` for none.
    pub route: &'static str,
}

/// A report, by what it is recognised by and what became of it.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ReportLabels {
    /// `key`, `call` or `none`.
    pub identity: &'static str,
    /// `stored`, `replayed` or `conflict`.
    pub outcome: &'static str,
}

/// What requests are held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Requests of a token in a time.
    Rate,
    /// Requests under way.
    Requests,
    /// Bytes that requests hold.
    Bytes,
    /// Reports and batches that wait for a commit.
    Queue,
    /// Pages, feeds and checks at once.
    Reads,
    /// Exports at once.
    Exports,
    /// Totals at once.
    Totals,
}

impl Limit {
    const ALL: [Self; 7] = [
        Self::Rate,
        Self::Requests,
        Self::Bytes,
        Self::Queue,
        Self::Reads,
        Self::Exports,
        Self::Totals,
    ];
}

#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Refused {
    limit: &'static str,
}

/// A class of requests that has a limit of its own.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct RequestClass {
    /// `report` or `other`.
    pub kind: &'static str,
}

/// An address that is listened on.
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

/// The log's state, and when it was read.
#[derive(Debug)]
struct State {
    read_at: Instant,
    unattributed: i64,
    /// When the oldest of them happened, in microseconds since 1970.
    oldest_at: Option<i64>,
    lag: i64,
}

type Seconds = Gauge<f64, std::sync::atomic::AtomicU64>;

/// All of them. The fields are named as they are exported, without the prefix `billables_`.
#[derive(Debug)]
#[expect(
    missing_docs,
    reason = "each has its description where it is registered"
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
    pub reports: Family<ReportLabels, Counter>,
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
            reports: Family::default(),
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
            pool_connections: Family::default(),
            pool_connections_limit: Family::default(),
        };
        // A series that begins with the first event hides that event from `rate`.
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
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        ours.register("build", "The program", version);
        macro_rules! register {
            ($($name:ident: $help:literal)*) => {
                $(ours.register(stringify!($name), $help, self.$name.clone());)*
            };
        }
        register! {
            http_requests: "Requests that were answered"
            http_request_duration_seconds: "From a request to the first byte of its answer"
            http_requests_in_flight: "Requests that are not answered yet"
            http_requests_limit: "How many may be under way"
            connections: "Connections of clients"
            connections_limit: "How many are served at once"
            request_bytes: "Bytes that requests hold, from the body's first byte to the answer"
            request_bytes_limit: "How many they may hold"
            refused: "Requests that were refused because a limit was reached"
            reports: "Reports that a transaction has settled"
            commit_duration_seconds: "What a group's commit took, repeats included"
            commit_entries: "Entries of a group"
            commit_repeats: "Tries at a group whose outcome was unknown, and which were repeated"
            commit_failures: "Groups that were not confirmed"
            queue_jobs: "Reports and batches that wait for a commit"
            queue_limit_jobs: "How many may wait"
            unattributed_billables: "Billables that nobody is billed for yet"
            unattributed_oldest_age_seconds: "How long ago the oldest of them happened, to a quarter of an hour; 0 when there is none"
            roller_lag_entries: "Positions of the log behind the watermarks of the totals"
            state_age_seconds: "How long ago the unattributed billables and the roller's lag were read"
            tokens_age_seconds: "How long ago the tokens were read; over 5 nobody is let in"
            pool_connections: "Connections to the database, beside one for each partition's writer"
            pool_connections_limit: "How many a pool may have"
        }
        self.registry = registry;
    }

    /// Counts a request that reached a limit.
    pub fn refused(&self, limit: Limit) {
        self.of_limit(limit).inc();
    }

    fn of_limit(&self, limit: Limit) -> Counter {
        let limit = match limit {
            Limit::Rate => "rate",
            Limit::Requests => "requests",
            Limit::Bytes => "bytes",
            Limit::Queue => "queue",
            Limit::Reads => "reads",
            Limit::Exports => "exports",
            Limit::Totals => "totals",
        };
        self.refused.get_or_create_owned(&Refused { limit })
    }

    /// Notes the log's state as it was read just now: the billables that nobody is billed for yet,
    /// when the oldest of them happened (in microseconds since 1970), and how many positions the
    /// totals are behind.
    pub fn set_state(&self, unattributed: i64, oldest_at: Option<i64>, lag: i64) {
        *self.state() = State {
            read_at: Instant::now(),
            unattributed,
            oldest_at,
            lag,
        };
    }

    /// Everything, as text. `now` is in microseconds since 1970.
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
        text::encode(&mut encoded, &self.registry).expect("memory takes everything");
        encoded
    }

    /// Notes how long a group's commit took, and how many entries it had.
    pub fn committed(&self, took: Duration, entries: usize) {
        self.commit_duration_seconds.observe(took.as_secs_f64());
        self.commit_entries.observe(as_f64(entries));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics under this lock")
    }
}

/// A count as a gauge's value.
pub fn as_i64(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn as_f64(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
