//! What handlers share, and what they may take.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::cursor::Cursors;
use super::tokens::Tokens;
use crate::limits::Budget;
use crate::limits::concurrency::ConcurrencyLimit;
use crate::limits::in_flight::InFlight;
use crate::metrics::Limit;
use crate::store::{LogInfo, Store};
use crate::writer::Writer;

/// Pages, feeds and checks that are made at once. One of 1,000 items takes some 2 MB.
const MAX_READS: usize = 32;

/// Exports at once: each holds some 12 MB, and reads one batch after the other.
const MAX_EXPORTS: usize = 8;

/// Totals at once: one may take 100 MB.
const MAX_TOTALS: usize = 4;

/// Whether the store was ready when it was last asked, and when that was.
pub(super) type Readiness = Arc<Mutex<Option<(Instant, bool)>>>;

/// What requests are allowed.
#[derive(Clone, Copy, Debug)]
pub struct RequestLimits {
    /// How many reports may be under way at once, and as many other requests.
    pub requests: usize,
    /// From a request's first byte to the first byte of its answer.
    pub timeout: Duration,
}

/// What handlers share. A clone is a handle.
#[derive(Clone, Debug)]
pub struct App(Arc<Shared>);

/// Behind one count of handles, because every request clones several.
#[derive(Debug)]
pub struct Shared {
    pub(super) store: Store,
    pub(super) log: LogInfo,
    pub(super) writer: Writer,
    pub(super) tokens: Tokens,
    pub(super) cursors: Cursors,
    pub(super) request_timeout: Duration,
    pub(super) stop: CancellationToken,
    pub(super) readiness: Readiness,
    pub(super) budget: Budget,
    pub(super) in_flight: InFlight,
    pub(super) reads: ConcurrencyLimit,
    pub(super) exports: ConcurrencyLimit,
    pub(super) totals: ConcurrencyLimit,
}

impl Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl App {
    /// Puts together what handlers share. Whoever waits for news is let go on `stop`.
    pub fn new(
        store: Store,
        log: LogInfo,
        writer: Writer,
        tokens: Tokens,
        cursors: Cursors,
        limits: RequestLimits,
        stop: CancellationToken,
    ) -> Self {
        Self(Arc::new(Shared {
            store,
            log,
            writer,
            tokens,
            cursors,
            request_timeout: limits.timeout,
            stop,
            readiness: Readiness::default(),
            budget: Budget::new(),
            in_flight: InFlight::new(limits.requests),
            reads: ConcurrencyLimit::new(MAX_READS, Limit::Reads),
            exports: ConcurrencyLimit::new(MAX_EXPORTS, Limit::Exports),
            totals: ConcurrencyLimit::new(MAX_TOTALS, Limit::Totals),
        }))
    }
}
