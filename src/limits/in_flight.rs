//! Limits concurrent requests.
//!
//! Reports and other requests have separate limits, so that neither kind blocks the other. A client
//! holds at most half of the permits for other requests. Probes and scrapes are not limited.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Overloaded;
use super::concurrency::{ConcurrencyLimit, Permit};
use crate::billable::ClientName;
use crate::metrics::{Limit, METRICS, RequestClass, as_i64};

/// The kind of a request, which determines its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// Reports billables.
    Report,
    /// Reads the metrics, without a limit.
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
    /// Creates `limit` permits for reports and as many for other requests.
    pub fn new(limit: usize) -> Self {
        Self {
            reports: Arc::new(Semaphore::new(limit)),
            others: ConcurrencyLimit::new(limit, Limit::Requests),
            limit,
        }
    }

    /// Takes a permit, or for a report only checks that one is free. A report takes its permit once
    /// its body has arrived, so that a slow sender, which the byte budget limits, holds none.
    ///
    /// # Errors
    /// [`Overloaded`], without waiting: refusing a request early costs least.
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
    /// [`Overloaded`] if no permit is free.
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
