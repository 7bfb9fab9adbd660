//! Whether this server may acknowledge anything: its clock is plausible, and the database's commits
//! are durable.
//!
//! Both are checked once a second. The clock is compared with the last known time at each write,
//! too, because it may be set at any moment.

use std::mem;
use std::sync::{Arc, RwLock, RwLockReadGuard};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::{error, info, warn};

use super::ApiError;
use crate::billable::Timestamp;
use crate::store::{ClockReference, Store, StoreError};
use crate::telemetry::chain;

const CHECK_EVERY: Duration = Duration::from_secs(1);

/// How often to warn of a database in memory.
const WARN_EVERY: Duration = Duration::from_secs(3600);

/// How far the clock may be from PostgreSQL's, in microseconds.
const MAX_DIFFERENCE: i64 = 60 * 1_000_000;

/// How far the clock may be behind the latest time that a server recorded, in microseconds. A clock
/// that is set back by a daylight-saving rule of its own is wrong by one hour.
const MAX_BEHIND: i64 = 3600 * 1_000_000;

/// The time of the commit that this program was built from, in seconds since 1970.
const COMMIT_TIME: &str = env!("BILLABLES_COMMIT_TIME");

/// The last known state. Clones share it.
#[derive(Clone, Debug)]
pub struct Trust(Arc<RwLock<State>>);

#[derive(Debug, Default)]
struct State {
    /// What the clock is compared with, and when that was read.
    reference: Option<(ClockReference, Instant)>,
    /// Whether the clock was implausible at the last check.
    is_clock_wrong: bool,
    /// Whether the database's commits may be lost.
    is_unfit: bool,
}

/// Why a clock is implausible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum ClockFault {
    #[error("it is before {0}, when this program was written")]
    BeforeCommit(Timestamp),
    #[error("it differs from the database's, which is {0}, by more than a minute")]
    Differs(Timestamp),
    #[error(
        "it is more than an hour behind {0}, when a report was recorded; if that time was wrong, run `billables clock --accept`"
    )]
    Behind(Timestamp),
}

impl Trust {
    /// Checks the clock and the database for the first time. A clock that is implausible does not
    /// keep the server from starting: it becomes ready once the clock is set.
    pub async fn load(store: &Store) -> Self {
        let trust = Self(Arc::default());
        trust.check(store).await;
        trust
    }

    /// Checks the clock and the database once a second. Never returns.
    pub async fn keep_checking(self, store: Store) {
        let (mut links, mut warned_at) = (1, Instant::now());
        loop {
            sleep(CHECK_EVERY).await;
            self.check(&store).await;
            let now = store.file_links();
            if now > links {
                warn!(
                    names = now,
                    "the database file has another name (a hard link): a program that opens it by that name does not see what is committed"
                );
            }
            links = now;
            if warned_at.elapsed() >= WARN_EVERY && store.is_volatile() {
                warn_of_memory();
                warned_at = Instant::now();
            }
        }
    }

    async fn check(&self, store: &Store) {
        let checked = store.trust_check().await;
        let reference = match store.clock_reference().await {
            Ok(reference) => Some((reference, Instant::now())),
            Err(_) => self.read().reference,
        };
        // On PostgreSQL other errors are outages, during which each write fails by itself.
        let is_unfit = match &checked {
            Ok(()) => false,
            Err(StoreError::Unfit(_)) => true,
            Err(_) => store.is_embedded(),
        };
        let fault = fault_of(
            Timestamp::now(),
            reference.map(|(reference, at)| (reference, at.elapsed())),
        );
        let next = State {
            reference,
            is_clock_wrong: fault.is_some(),
            is_unfit,
        };
        let last = mem::replace(
            &mut *self.0.write().expect("nothing panics under this lock"),
            next,
        );
        match (last.is_unfit, checked) {
            (false, Err(error)) if is_unfit => {
                error!(error = chain(&error), "nothing is acknowledged");
            }
            (true, _) if !is_unfit => info!("the database can be relied on again"),
            _ => {}
        }
        match (last.is_clock_wrong, fault) {
            (false, Some(fault)) => {
                error!(error = %fault, "the clock is implausible; nothing is acknowledged");
            }
            (true, None) => info!("the clock is plausible again"),
            _ => {}
        }
    }

    /// Returns the time for something that is written now.
    ///
    /// # Errors
    /// [`ApiError::ClockImplausible`], or [`ApiError::StoreUnavailable`] if commits may be lost.
    pub(super) fn now(&self) -> Result<Timestamp, ApiError> {
        let now = Timestamp::now();
        let state = self.read();
        if state.is_unfit {
            return Err(ApiError::StoreUnavailable);
        }
        let reference = state.reference;
        match fault_of(
            now,
            reference.map(|(reference, at)| (reference, at.elapsed())),
        ) {
            Some(_) => Err(ApiError::ClockImplausible),
            None => Ok(now),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.0.read().expect("nothing panics under this lock")
    }
}

/// Compares a time of the clock with the program's commit and with a reference that was read some
/// time ago.
fn fault_of(now: Timestamp, reference: Option<(ClockReference, Duration)>) -> Option<ClockFault> {
    if !is_after_commit(now) {
        return Some(ClockFault::BeforeCommit(commit_time()));
    }
    match reference? {
        (ClockReference::Now(database), age) => {
            let passed = i64::try_from(age.as_micros()).unwrap_or(i64::MAX);
            let expected = database.as_micros().saturating_add(passed);
            let differs = now.as_micros().abs_diff(expected) > MAX_DIFFERENCE.unsigned_abs();
            differs.then_some(ClockFault::Differs(database))
        }
        (ClockReference::Latest(latest), _) => latest
            .filter(|latest| now.as_micros() < latest.as_micros() - MAX_BEHIND)
            .map(ClockFault::Behind),
    }
}

fn commit_time() -> Timestamp {
    let seconds: i64 = COMMIT_TIME.parse().expect("build.rs sets a number");
    Timestamp::from_micros(seconds * 1_000_000).expect("a time of this century")
}

/// Warns that a restart of the machine loses everything.
pub fn warn_of_memory() {
    warn!("the database is in memory (tmpfs): a restart of the machine loses everything");
}

/// Whether a time is after the commit that this program was built from. No clock before it is right.
pub fn is_after_commit(now: Timestamp) -> bool {
    now >= commit_time()
}

/// Compares a time of this machine's clock with what the database says. Returns that, and why the
/// clock is implausible, if it is.
///
/// # Errors
/// The database failed.
pub async fn check_clock(
    store: &Store,
    now: Timestamp,
) -> Result<(ClockReference, Option<String>), StoreError> {
    let reference = store.clock_reference().await?;
    let fault = fault_of(now, Some((reference, Duration::ZERO)));
    Ok((reference, fault.map(|fault| fault.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).expect("a timestamp")
    }

    #[test]
    fn case_07_a_clock_before_the_programs_commit_is_implausible() {
        for text in [
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00Z",
            "1979-06-01T00:00:00Z",
        ] {
            let fault = fault_of(at(text), None);
            assert_eq!(
                fault,
                Some(ClockFault::BeforeCommit(commit_time())),
                "{text}"
            );
        }
        assert_eq!(fault_of(commit_time(), None), None);
    }

    #[test]
    fn case_07_a_clock_an_hour_behind_the_latest_report_is_implausible() {
        let latest = at("2032-03-01T12:00:00Z");
        let reference = Some((ClockReference::Latest(Some(latest)), Duration::ZERO));
        assert_eq!(fault_of(at("2032-03-01T11:00:00Z"), reference), None);
        assert_eq!(
            fault_of(at("2032-03-01T10:59:59.999999Z"), reference),
            Some(ClockFault::Behind(latest))
        );
        // A clock that is ahead is as plausible as a log that has rested.
        assert_eq!(fault_of(at("2033-03-01T12:00:00Z"), reference), None);
    }

    #[test]
    fn case_07_a_clock_a_minute_from_postgresqls_is_implausible() {
        let database = at("2032-03-01T12:00:00Z");
        let age = Duration::from_secs(10);
        let reference = Some((ClockReference::Now(database), age));
        for good in ["2032-03-01T11:59:10Z", "2032-03-01T12:01:10Z"] {
            assert_eq!(fault_of(at(good), reference), None, "{good}");
        }
        for bad in ["2032-03-01T11:59:09.999999Z", "2032-03-01T12:01:10.000001Z"] {
            assert_eq!(
                fault_of(at(bad), reference),
                Some(ClockFault::Differs(database)),
                "{bad}"
            );
        }
    }
}
