//! What a token is used for: how often, held to its rate, and when last.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use uuid::Uuid;

use super::ApiError;
use crate::billable::Instant;
use crate::metrics::{Limit, METRICS};
use crate::token::{Period, Rate};

/// How much later a use must be than the one that is noted, in microseconds.
const NOTE_AFTER: i64 = 60_000_000;

/// What a token has been used for, which outlives each reading of the tokens.
#[derive(Debug)]
pub(super) struct Usage {
    /// The token's id; `None` for the admin token, which is not stored.
    id: Option<Uuid>,
    rate: Option<(Rate, DefaultDirectRateLimiter)>,
    /// When it was last used, and which of its uses is noted in the store, in microseconds since
    /// 1970; 0 for never.
    used_at: AtomicI64,
    noted_at: AtomicI64,
}

impl Usage {
    /// What a token of that rate was used for until now.
    pub(super) fn new(id: Option<Uuid>, rate: Option<Rate>, last_used_at: Option<Instant>) -> Self {
        let last_used_at = last_used_at.map_or(0, Instant::as_micros);
        Self {
            id,
            rate: rate.map(|rate| (rate, RateLimiter::direct(quota(rate)))),
            used_at: AtomicI64::new(last_used_at),
            noted_at: AtomicI64::new(last_used_at),
        }
    }

    /// Whether it is held to that rate.
    pub(super) fn has_rate(&self, rate: Option<Rate>) -> bool {
        self.rate.as_ref().map(|(rate, _)| *rate) == rate
    }

    /// Counts a request.
    ///
    /// # Errors
    /// [`ApiError::TooManyRequests`] when the rate is used up.
    pub(super) fn begin(&self, now: Instant) -> Result<(), ApiError> {
        self.used_at.fetch_max(now.as_micros(), Ordering::Relaxed);
        let Some((_, limiter)) = &self.rate else {
            return Ok(());
        };
        limiter.check().map_err(|until| {
            METRICS.refused(Limit::Rate);
            ApiError::TooManyRequests(until.wait_time_from(DefaultClock::default().now()))
        })
    }

    /// A use that is to be noted.
    pub(super) fn unnoted(&self) -> Option<(Uuid, Instant)> {
        let (used, noted) = (
            self.used_at.load(Ordering::Relaxed),
            self.noted_at.load(Ordering::Relaxed),
        );
        let is_due = used >= noted + NOTE_AFTER;
        is_due.then(|| Some((self.id?, Instant::from_micros(used)?)))?
    }

    /// Takes in which uses have been noted, this token's perhaps among them.
    pub(super) fn set_noted(&self, noted: &HashMap<Uuid, Instant>) {
        if let Some(at) = self.id.and_then(|id| noted.get(&id)) {
            self.noted_at.store(at.as_micros(), Ordering::Relaxed);
        }
    }
}

fn quota(rate: Rate) -> Quota {
    match rate.per {
        Period::Second => Quota::per_second(rate.count),
        Period::Minute => Quota::per_minute(rate.count),
        Period::Hour => Quota::per_hour(rate.count),
    }
}
