//! How many requests are under way at once. Reports and other requests have places of their own, so
//! that neither keeps the other out, and of the others no client has more than half; probes and
//! scrapes need none.

use std::sync::Arc;

use http::Method;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::ApiError;
use super::turns::{Turn, Turns};
use crate::billable::ClientName;
use crate::contract::routes;
use crate::metrics::{Kind, Limit, METRICS, as_i64};

/// The places. A clone is a handle to the same ones.
#[derive(Clone, Debug)]
pub(super) struct InFlight {
    reports: Arc<Semaphore>,
    others: Turns,
    limit: usize,
}

impl InFlight {
    /// So many places for reports, and as many for other requests.
    pub(super) fn new(limit: usize) -> Self {
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
    /// [`ApiError::Overloaded`], at once: whoever is refused early costs least.
    pub(super) fn enter(
        &self,
        method: &Method,
        path: &str,
        client: &ClientName,
    ) -> Result<Option<Turn>, ApiError> {
        let is_report = match path {
            routes::METRICS => return Ok(None),
            routes::BILLABLES => *method == Method::POST,
            routes::NEW_BILLABLE | routes::NEW_BILLABLES => true,
            _ => false,
        };
        match is_report {
            true if self.reports.available_permits() > 0 => Ok(None),
            true => Err(full()),
            false => self.others.take_now(client).map(Some),
        }
    }

    /// A place for a report whose body is there.
    ///
    /// # Errors
    /// [`ApiError::Overloaded`].
    pub(super) fn enter_report(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        self.reports.clone().try_acquire_owned().map_err(|_| full())
    }

    /// Puts into the metrics how many there are.
    pub(super) fn measure(&self) {
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

fn full() -> ApiError {
    METRICS.refused(Limit::Requests);
    ApiError::Overloaded
}
