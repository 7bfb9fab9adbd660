//! Checks that the buckets, and what else is derived, match the log, one time range after another.
//!
//! The finest buckets are compared with the log, and the others with the finest ones. The database
//! does both and returns only differences. Each range is a separate snapshot, so the roller may
//! continue meanwhile.

use super::ranges::months;
use crate::store::{Compared, ComparedDerived, QUARTER_HOUR, Store, StoreError};

/// The approximate number of entries in one range, which takes about 0.3 s on PostgreSQL.
const COMPARE_BATCH: i64 = 50_000;

/// The maximum number of differences reported for one range.
const MOST: i64 = 1000;

/// The end of the year 2999, after which there are no calls. Months are checked up to here.
const LAST: i64 = 32_503_680_000_000_000 - 1;

/// Compares what is derived for accounts and undecided sessions with the log. `found` gets up to
/// [`MOST`] wrong rows of each range.
pub async fn compare_derived(
    store: &Store,
    mut found: impl FnMut(ComparedDerived),
) -> Result<(), StoreError> {
    let mut from = i64::MIN;
    while from < i64::MAX {
        let until = range_end(store, from).await?;
        let wrong = store.account_buckets_against_log(from, until, MOST).await?;
        wrong.into_iter().for_each(&mut found);
        from = until;
    }
    let wrong = store.account_totals_against_finer(MOST).await?;
    wrong.into_iter().for_each(&mut found);
    let mut after = String::new();
    loop {
        let until = store.session_behind(&after, COMPARE_BATCH).await?;
        let wrong = store
            .undecided_against_log(&after, until.as_deref(), MOST)
            .await?;
        wrong.into_iter().for_each(&mut found);
        match until {
            Some(until) => after = until,
            None => return Ok(()),
        }
    }
}

/// Returns the end of a range of time from `from` on, with about [`COMPARE_BATCH`] entries. It is the
/// end of a quarter of an hour, so that the range is never empty.
async fn range_end(store: &Store, from: i64) -> Result<i64, StoreError> {
    let behind = store.time_behind(from, COMPARE_BATCH).await?;
    let until = behind.and_then(|at| (at - at.rem_euclid(QUARTER_HOUR)).checked_add(QUARTER_HOUR));
    Ok(until.unwrap_or(i64::MAX))
}

/// Compares all buckets. `found` gets up to [`MOST`] wrong buckets of each range, and `at` gets the
/// approximate number of entries compared so far.
pub async fn compare(
    store: &Store,
    mut found: impl FnMut(Compared),
    mut at: impl FnMut(u64),
) -> Result<(), StoreError> {
    let (mut from, mut done) = (i64::MIN, 0);
    while from < i64::MAX {
        let until = range_end(store, from).await?;
        let wrong = store.buckets_against_log(from, until, MOST).await?;
        wrong.into_iter().for_each(&mut found);
        done += COMPARE_BATCH.unsigned_abs();
        at(done);
        from = until;
    }
    let Some((first, last)) = store.buckets_ends().await? else {
        return Ok(());
    };
    let (begin, mut next) = months(first.clamp(0, LAST));
    let end = last.clamp(0, LAST);
    let mut ranges = vec![(i64::MIN, begin), (begin, next)];
    while next <= end {
        let (start, until) = months(next);
        ranges.push((start, until));
        next = until;
    }
    ranges.push((next, i64::MAX));
    for (from, until) in ranges {
        let wrong = store.buckets_against_finer(from, until, MOST).await?;
        wrong.into_iter().for_each(&mut found);
    }
    Ok(())
}
