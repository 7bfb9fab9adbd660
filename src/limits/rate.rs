//! Limits how many requests a token may send in a period.

use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use crate::metrics::{Limit, METRICS};
use crate::token::{Period, Rate};

/// The rate is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateExceeded {
    /// How long to wait before the next request.
    pub retry_after: Duration,
}

/// Limits a token to its rate, if it has one.
#[derive(Debug)]
pub struct RateLimit(Option<(Rate, DefaultDirectRateLimiter)>);

impl RateLimit {
    /// Creates a limit with nothing used up.
    pub fn new(rate: Option<Rate>) -> Self {
        Self(rate.map(|rate| (rate, RateLimiter::direct(quota(rate)))))
    }

    /// The rate, if there is one.
    pub fn rate(&self) -> Option<Rate> {
        self.0.as_ref().map(|(rate, _)| *rate)
    }

    /// Counts a request.
    ///
    /// # Errors
    /// The rate is used up.
    pub fn check(&self) -> Result<(), RateExceeded> {
        let Some((_, limiter)) = &self.0 else {
            return Ok(());
        };
        limiter.check().map_err(|until| {
            METRICS.refused(Limit::Rate);
            let retry_after = until.wait_time_from(DefaultClock::default().now());
            RateExceeded { retry_after }
        })
    }
}

fn quota(rate: Rate) -> Quota {
    match rate.per {
        Period::Second => Quota::per_second(rate.count),
        Period::Minute => Quota::per_minute(rate.count),
        Period::Hour => Quota::per_hour(rate.count),
    }
}
