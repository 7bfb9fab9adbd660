//! Whether the buckets are what the log adds up to, a range of time at a time.
//!
//! The finest ones are compared with the log, the others with the finest ones; the database does
//! both, and says only what differs. Each range is a snapshot of its own, so the roller may go on.

use super::calendar::{QUARTER_HOUR, months};
use crate::store::{Compared, Store, StoreError};

/// Entries of one range, more or less: some 0.3 s on PostgreSQL.
const COMPARE_BATCH: i64 = 50_000;

/// The most that is said about one range.
const MOST: i64 = 1000;

/// No call is later than the year 2999; months are counted up to there.
const LAST: i64 = 32_503_680_000_000_000 - 1;

/// Compares all of it. `found` gets every bucket that is wrong, `at` how many entries are done.
pub async fn compare(
    store: &Store,
    mut found: impl FnMut(Compared),
    mut at: impl FnMut(u64),
) -> Result<(), StoreError> {
    let (mut from, mut done) = (i64::MIN, 0);
    while from < i64::MAX {
        let behind = store.time_behind(from, COMPARE_BATCH).await?;
        // To the end of its quarter of an hour, so that there is always a way to go.
        let until =
            behind.and_then(|at| (at - at.rem_euclid(QUARTER_HOUR)).checked_add(QUARTER_HOUR));
        let until = until.unwrap_or(i64::MAX);
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
