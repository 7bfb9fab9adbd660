//! How many requests are under way at once.
//!
//! Reports and other requests have limits of their own, so that neither keeps the other out, and of
//! the others no client has more than half. Probes and scrapes are not limited.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Overloaded;
use super::concurrency::{Turn, Turns};
use crate::billable::ClientName;
use crate::metrics::{Kind, Limit, METRICS, as_i64};

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

/// The places. A clone is a handle to the same ones.
#[derive(Clone, Debug)]
pub struct InFlight {
    reports: Arc<Semaphore>,
    others: Turns,
    limit: usize,
}

impl InFlight {
    /// So many places for reports, and as many for other requests.
    pub fn new(limit: usize) -> Self {
        Self {
            reports: Arc::new(Semaphore::new(limit)),
            others: Turns::new(limit, Limit::Requests),
            limit,
        }
    }

    /// A place for a request of a client, unless it is a report: that is only told whether there
    /// is one. It takes its place when it is all there, so that clients that send slowly, who are
    /// held to their bytes, hold none.
    ///
    /// # Errors
    /// [`Overloaded`], at once: whoever is refused early costs least.
    pub fn enter(
        &self,
        request: RequestKind,
        client: &ClientName,
    ) -> Result<Option<Turn>, Overloaded> {
        match request {
            RequestKind::Scrape => Ok(None),
            RequestKind::Report if self.reports.available_permits() > 0 => Ok(None),
            RequestKind::Report => Err(full()),
            RequestKind::Other => self.others.take_now(client).map(Some),
        }
    }

    /// A place for a report whose body is there.
    ///
    /// # Errors
    /// [`Overloaded`].
    pub fn enter_report(&self) -> Result<OwnedSemaphorePermit, Overloaded> {
        self.reports.clone().try_acquire_owned().map_err(|_| full())
    }

    /// Puts into the metrics how many there are.
    pub fn measure(&self) {
        let reports = self.limit.saturating_sub(self.reports.available_permits());
        for (kind, under_way) in [("report", reports), ("other", self.others.taken())] {
            let kind = Kind { kind };
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
