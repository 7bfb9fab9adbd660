//! How many requests are under way at once. Reports and other requests have places of their own, so
//! that neither keeps the other out; probes and scrapes need none.

use std::sync::Arc;

use http::Method;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{ApiError, path};
use crate::metrics::{Kind, Limit, METRICS, as_i64};

/// The places. A clone is a handle to the same ones.
#[derive(Clone, Debug)]
pub(super) struct InFlight {
    reports: Arc<Semaphore>,
    others: Arc<Semaphore>,
    limit: usize,
}

impl InFlight {
    /// So many places for reports, and as many for other requests.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            reports: Arc::new(Semaphore::new(limit)),
            others: Arc::new(Semaphore::new(limit)),
            limit,
        }
    }

    /// A place for a request, if it needs one.
    ///
    /// # Errors
    /// [`ApiError::Overloaded`], at once: whoever is refused early costs least.
    pub(super) fn enter(
        &self,
        method: &Method,
        route: &str,
    ) -> Result<Option<OwnedSemaphorePermit>, ApiError> {
        let places = match route {
            path::LIVEZ | path::READYZ | path::METRICS => return Ok(None),
            path::BILLABLES if *method == Method::POST => &self.reports,
            path::NEW_BILLABLE | path::NEW_BILLABLES => &self.reports,
            _ => &self.others,
        };
        places.clone().try_acquire_owned().map(Some).map_err(|_| {
            METRICS.refused(Limit::Requests);
            ApiError::Overloaded
        })
    }

    /// Puts into the metrics how many there are.
    pub(super) fn measure(&self) {
        for (kind, places) in [("report", &self.reports), ("other", &self.others)] {
            let kind = Kind { kind };
            let under_way = self.limit.saturating_sub(places.available_permits());
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
