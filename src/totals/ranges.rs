//! The buckets that cover a range of time.

use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::store::{BucketRange, Level, QUARTER_HOUR};

const DAY: i64 = 86_400_000_000;

/// Returns the bucket ranges that cover the time from each boundary to the next. Each such time
/// span is one row of the result, counted from 0.
pub(super) fn ranges(boundaries: &[i64]) -> Vec<BucketRange> {
    let mut ranges = Vec::new();
    for (row, ends) in (0..).zip(boundaries.windows(2)) {
        cover(&mut ranges, row, Level::Month, ends[0], ends[1], 1);
    }
    ranges
}

/// Covers a range with buckets of a level between the boundaries nearest to its ends, and adds or
/// subtracts finer buckets for the difference.
fn cover(ranges: &mut Vec<BucketRange>, row: i64, level: Level, from: i64, until: i64, sign: i64) {
    if from >= until {
        return;
    }
    let range = |level, from, until, sign| BucketRange {
        row,
        level,
        from,
        until,
        sign,
    };
    let finer = match level {
        Level::QuarterHour => return ranges.push(range(level, from, until, sign)),
        Level::Day => Level::QuarterHour,
        Level::Month => Level::Day,
    };
    let (near_from, near_until) = (nearest(level, from), nearest(level, until));
    if near_from >= near_until {
        return cover(ranges, row, finer, from, until, sign);
    }
    ranges.push(range(level, near_from, near_until, sign));
    // At each edge, at least one of the two ranges is empty.
    cover(ranges, row, finer, from, near_from, sign);
    cover(ranges, row, finer, near_from, from, -sign);
    cover(ranges, row, finer, near_until, until, sign);
    cover(ranges, row, finer, until, near_until, -sign);
}

fn nearest(level: Level, micros: i64) -> i64 {
    let (before, after) = match level {
        Level::QuarterHour => {
            let before = micros - micros.rem_euclid(QUARTER_HOUR);
            (before, before + QUARTER_HOUR)
        }
        Level::Day => {
            let before = micros - micros.rem_euclid(DAY);
            (before, before + DAY)
        }
        Level::Month => months(micros),
    };
    if micros - before < after - micros {
        before
    } else {
        after
    }
}

/// The starts of the month that contains an instant, and of the next month.
pub(super) fn months(micros: i64) -> (i64, i64) {
    let start = |date: Date| {
        let zoned = date
            .to_zoned_datetime(TimeZone::UTC)
            .expect("years before 9999");
        zoned.timestamp().as_microsecond()
    };
    let at = jiff::Timestamp::from_microsecond(micros).expect("years before 9999");
    let date = at.to_zoned_datetime(TimeZone::UTC).date();
    let next = date.last_of_month().tomorrow().expect("years before 9999");
    (start(date.first_of_month()), start(next))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::calendar::{Days, Zone};

    fn days(zone: &str, first: &str, last: &str) -> Days {
        let zone = Zone::find(zone).expect("a zone");
        Days::parse(zone, first, last).expect("days")
    }

    /// Returns how often each quarter of an hour is counted.
    fn counted(ranges: &[BucketRange]) -> BTreeMap<i64, i64> {
        let mut counted = BTreeMap::new();
        for range in ranges {
            assert_eq!(
                (range.from % QUARTER_HOUR, range.until % QUARTER_HOUR),
                (0, 0)
            );
            for quarter in (range.from..range.until).step_by(900_000_000) {
                *counted.entry(quarter).or_default() += range.sign;
            }
        }
        counted.retain(|_, count| *count != 0);
        counted
    }

    #[test]
    fn a_month_is_one_bucket_and_a_zones_month_a_few_more() {
        let ranges_of = |zone| ranges(&days(zone, "2026-06-01", "2026-06-30").boundaries(false));
        assert_eq!(ranges_of("UTC").len(), 1);
        assert_eq!(ranges_of("Europe/Rome").len(), 3);
        assert_eq!(ranges_of("America/New_York").len(), 3);
    }

    proptest! {
        #[test]
        fn buckets_cover_each_quarter_hour_once(
            start in 0..4_000_i64, length in 1..4_000_i64, zone in prop::sample::select(vec!["UTC", "Asia/Kolkata", "Asia/Kathmandu", "America/St_Johns"]),
        ) {
            let first = Date::constant(2020, 1, 1).checked_add(jiff::Span::new().days(start / 96)).expect("a date");
            let last = first.checked_add(jiff::Span::new().days(length / 20)).expect("a date");
            let days = days(zone, &first.to_string(), &last.to_string());
            let ends = days.boundaries(false);
            let expected: BTreeMap<_, _> = (ends[0]..ends[1]).step_by(900_000_000).map(|at| (at, 1)).collect();
            prop_assert_eq!(counted(&ranges(&ends)), expected.clone());
            let (from, until) = (ends[0] + start * QUARTER_HOUR, ends[0] + (start + length) * QUARTER_HOUR);
            let expected: BTreeMap<_, _> = (from..until).step_by(900_000_000).map(|at| (at, 1)).collect();
            prop_assert_eq!(counted(&ranges(&[from, until])), expected);
        }
    }
}
