//! The state that handlers share, and its concurrency limits.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::ApiError;
use super::cursor::Cursors;
use super::refusals::Refusals;
use super::tokens::Tokens;
use super::trust::Trust;
use crate::attribution::Carrier;
use crate::billable::LogPoint;
use crate::calendar::Zone;
use crate::limits::Budget;
use crate::limits::concurrency::ConcurrencyLimit;
use crate::limits::in_flight::InFlight;
use crate::limits::streams::StreamLimit;
use crate::metrics::Limit;
use crate::reader::{are_beyond, has_points};
use crate::store::{LogInfo, Store};
use crate::writer::Writer;

/// The maximum number of concurrent pages, feed reads and checks. A page of 1,000 items takes
/// about 2 MB.
const MAX_READS: usize = 32;

/// The maximum number of concurrent lookups by call, and of lists of a session for account-limited
/// clients. Others' entries of the same call or session are read, too, and may be a million, so
/// these must not hold all of the read connections.
const MAX_LOOKUPS: usize = 2;

/// The maximum number of concurrent exports. Each holds about 12 MB and reads one batch after
/// another.
const MAX_EXPORTS: usize = 8;

/// The maximum number of concurrent totals requests. A page of totals takes 2 to 40 MB.
const MAX_TOTALS: usize = 4;

/// What a report would meet now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Readiness {
    /// Whether the store answers with this server's log, and the tokens are fresh.
    pub(super) is_available: bool,
    pub(super) writable_partitions: usize,
    pub(super) partitions: usize,
}

impl Readiness {
    /// Whether a report could be stored now, in one partition at least.
    pub(super) fn is_ready(self) -> bool {
        self.is_available && self.writable_partitions > 0
    }
}

/// The time and result of the last readiness check.
pub(super) type LastReadiness = Arc<Mutex<Option<(Instant, Readiness)>>>;

/// The limits of requests.
#[derive(Clone, Copy, Debug)]
pub struct RequestLimits {
    /// The maximum number of concurrent reports, and also the maximum number of concurrent other
    /// requests.
    pub requests: usize,
    /// The maximum time from the first byte of a request to the first byte of its response.
    pub timeout: Duration,
}

/// The settings of the API.
#[derive(Clone, Debug)]
pub struct Settings {
    pub limits: RequestLimits,
    /// The time zone of days where a request names none.
    pub zone: Zone,
}

/// The state that handlers share. Clones share it too.
#[derive(Clone, Debug)]
pub struct App(Arc<Shared>);

/// Held behind one `Arc`, because every request clones [`App`] several times.
#[derive(Debug)]
pub struct Shared {
    pub(super) store: Store,
    pub(super) log: LogInfo,
    pub(super) writer: Writer,
    pub(super) carrier: Carrier,
    pub(super) tokens: Tokens,
    pub(super) trust: Trust,
    pub(super) cursors: Cursors,
    pub(super) request_timeout: Duration,
    /// The time zone of days where a request names none.
    pub(super) zone: Zone,
    pub(super) stop: CancellationToken,
    pub(super) readiness: LastReadiness,
    pub(super) refusals: Refusals,
    pub(super) budget: Budget,
    pub(super) in_flight: InFlight,
    pub(super) reads: ConcurrencyLimit,
    pub(super) lookups: ConcurrencyLimit,
    pub(super) exports: StreamLimit,
    pub(super) totals: ConcurrencyLimit,
}

impl Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl App {
    /// Checks that the log still has the points of a cut, whose heads are `heads`. Returns its
    /// positions.
    pub(super) async fn check_cut(
        &self,
        points: &[LogPoint],
        heads: &[i64],
    ) -> Result<Vec<i64>, ApiError> {
        if are_beyond(points, heads) || !has_points(&self.store, points).await? {
            return Err(ApiError::CursorGone);
        }
        Ok(points.iter().map(|point| point.position).collect())
    }

    /// What carries out decisions about sessions.
    pub fn carrier(&self) -> Carrier {
        self.carrier.clone()
    }

    /// The last refused requests.
    pub fn refusals(&self) -> Refusals {
        self.refusals.clone()
    }

    /// Creates the shared state. Cancelling `stop` releases waiting feed readers and makes the
    /// service report that it is stopping.
    #[expect(clippy::too_many_arguments, reason = "one argument for each part")]
    pub fn new(
        store: Store,
        log: LogInfo,
        writer: Writer,
        tokens: Tokens,
        trust: Trust,
        cursors: Cursors,
        settings: Settings,
        stop: CancellationToken,
    ) -> Self {
        let Settings { limits, zone } = settings;
        Self(Arc::new(Shared {
            carrier: Carrier::new(store.clone(), log, writer.clone()),
            store,
            log,
            writer,
            tokens,
            trust,
            cursors,
            request_timeout: limits.timeout,
            zone,
            stop,
            readiness: LastReadiness::default(),
            refusals: Refusals::default(),
            budget: Budget::new(),
            in_flight: InFlight::new(limits.requests),
            reads: ConcurrencyLimit::new(MAX_READS, Limit::Reads),
            lookups: ConcurrencyLimit::new(MAX_LOOKUPS, Limit::Lookups),
            exports: StreamLimit::new(MAX_EXPORTS, Limit::Exports),
            totals: ConcurrencyLimit::new(MAX_TOTALS, Limit::Totals),
        }))
    }
}
