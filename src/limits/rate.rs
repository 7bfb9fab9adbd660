//! How many requests a token may send in a time.

use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use crate::metrics::{Limit, METRICS};
use crate::token::{Period, Rate};

/// The rate is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateExceeded {
    /// When the next request may come.
    pub retry_after: Duration,
}

/// Holds a token to its rate, if it has one.
#[derive(Debug)]
pub struct RateLimit(Option<(Rate, DefaultDirectRateLimiter)>);

impl RateLimit {
    /// A limit of which nothing is used up.
    pub fn new(rate: Option<Rate>) -> Self {
        Self(rate.map(|rate| (rate, RateLimiter::direct(quota(rate)))))
    }

    /// The rate that it holds to.
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
