//! How many requests are under way at once.
//!
//! Reports and other requests have limits of their own, so that neither keeps the other out, and of
//! the others no client has more than half. Probes and scrapes are not limited.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Overloaded;
use super::concurrency::{ConcurrencyLimit, Permit};
use crate::billable::ClientName;
use crate::metrics::{Limit, METRICS, RequestClass, as_i64};

/// What a request is, as far as its limit goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// It reports billables.
    Report,
    /// It reads the metrics, which no limit holds back.
    Scrape,
    /// Anything else.
    Other,
}

/// The permits of all requests. A clone is a handle to the same ones.
#[derive(Clone, Debug)]
pub struct InFlight {
    reports: Arc<Semaphore>,
    others: ConcurrencyLimit,
    limit: usize,
}

impl InFlight {
    /// `limit` permits for reports, and as many for other requests.
    pub fn new(limit: usize) -> Self {
        Self {
            reports: Arc::new(Semaphore::new(limit)),
            others: ConcurrencyLimit::new(limit, Limit::Requests),
            limit,
        }
    }

    /// Takes a permit, except for reports, which are only checked here: they take theirs once the
    /// body has arrived, so that a slow sender, which the byte budget limits, holds no permit.
    ///
    /// # Errors
    /// [`Overloaded`], without waiting: a request that is refused early costs least.
    pub fn enter(
        &self,
        request: RequestKind,
        client: &ClientName,
    ) -> Result<Option<Permit>, Overloaded> {
        match request {
            RequestKind::Scrape => Ok(None),
            RequestKind::Report if self.reports.available_permits() > 0 => Ok(None),
            RequestKind::Report => Err(full()),
            RequestKind::Other => self.others.try_acquire(client).map(Some),
        }
    }

    /// Takes a permit for a report whose body has arrived.
    ///
    /// # Errors
    /// [`Overloaded`].
    pub fn enter_report(&self) -> Result<OwnedSemaphorePermit, Overloaded> {
        self.reports.clone().try_acquire_owned().map_err(|_| full())
    }

    /// Sets the metrics of requests in flight.
    pub fn measure(&self) {
        let reports = self.limit.saturating_sub(self.reports.available_permits());
        for (kind, under_way) in [("report", reports), ("other", self.others.in_use())] {
            let kind = RequestClass { kind };
            METRICS
                .http_requests_in_flight
                .get_or_create(&kind)
                .set(as_i64(under_way));
            METRICS
                .http_requests_limit
                .get_or_create(&kind)
                .set(as_i64(self.limit));
        }
    }
}

fn full() -> Overloaded {
    METRICS.refused(Limit::Requests);
    Overloaded
}
