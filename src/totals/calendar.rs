//! Days of a time zone, and the buckets that cover them.

use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::store::{BucketRange, Level};

pub(super) const QUARTER_HOUR: i64 = 900_000_000;
const DAY: i64 = 86_400_000_000;

/// A time zone with its IANA name, from the time zone database in the program.
#[derive(Clone, Debug)]
pub struct Zone {
    name: String,
    zone: TimeZone,
}

impl Zone {
    /// Finds a zone by its name, ignoring case.
    pub fn find(name: &str) -> Option<Self> {
        let zone = jiff::tz::db().get(name).ok()?;
        let name = zone.iana_name().unwrap_or(name).to_owned();
        Some(Self { name, zone })
    }

    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Whole days of a time zone.
#[derive(Clone, Debug)]
pub struct Days {
    zone: Zone,
    first: Date,
    last: Date,
}

impl Days {
    /// Parses the days from `first` to `last`, both included, as `YYYY-MM-DD`.
    ///
    /// # Errors
    /// One of them is not a date from 1980 to 2999, or `last` is before `first`.
    pub fn parse(zone: Zone, first: &str, last: &str) -> Result<Self, DaysError> {
        let first = date(first).ok_or(DaysError::First)?;
        let last = date(last).ok_or(DaysError::Last)?;
        if first <= last {
            Ok(Self { zone, first, last })
        } else {
            Err(DaysError::Order)
        }
    }

    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    pub fn first(&self) -> Date {
        self.first
    }

    pub fn last(&self) -> Date {
        self.last
    }

    /// The number of days.
    pub fn count(&self) -> usize {
        self.dates().count()
    }

    /// The days, in order.
    pub fn dates(&self) -> impl Iterator<Item = Date> {
        let last = self.last;
        self.first
            .series(jiff::Span::new().days(1))
            .take_while(move |date| *date <= last)
    }

    /// Returns where each day begins and where the last one ends, in microseconds since 1970.
    /// Without `each`, returns only the two ends of the range.
    pub fn boundaries(&self, each: bool) -> Vec<i64> {
        let end = self.last.tomorrow().expect("years before 9999");
        if each {
            self.dates()
                .chain([end])
                .map(|date| self.start_of(date))
                .collect()
        } else {
            vec![self.start_of(self.first), self.start_of(end)]
        }
    }

    /// The first instant of a day. A day that the zone skips begins where the next one does.
    fn start_of(&self, date: Date) -> i64 {
        let zoned = self
            .zone
            .zone
            .to_ambiguous_zoned_datetime(date.at(0, 0, 0, 0));
        // If midnight occurs twice, the day begins at the first one. If the clock skips midnight,
        // the day begins at the transition.
        let start = zoned.compatible().expect("years before 9999");
        let start = if start.datetime() == date.at(0, 0, 0, 0) {
            start
        } else {
            start.start_of_day().expect("years before 9999")
        };
        start.timestamp().as_microsecond()
    }
}

/// Why a range of days is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DaysError {
    First,
    Last,
    /// The last day is before the first.
    Order,
}

/// Parses a date as `YYYY-MM-DD`, from 1980 to 2999.
fn date(text: &str) -> Option<Date> {
    const SHAPE: &[u8] = b"dddd-dd-dd";
    let is_shaped = text.len() == SHAPE.len()
        && SHAPE
            .iter()
            .zip(text.bytes())
            .all(|(shape, byte)| match shape {
                b'd' => byte.is_ascii_digit(),
                other => byte == *other,
            });
    let date: Date = is_shaped.then(|| text.parse().ok())??;
    (1980..=2999).contains(&date.year()).then_some(date)
}

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
    fn days_have_23_24_and_25_hours() {
        let hours = |zone, first, last| -> Vec<i64> {
            let boundaries = days(zone, first, last).boundaries(true);
            boundaries
                .windows(2)
                .map(|ends| (ends[1] - ends[0]) / 3_600_000_000)
                .collect()
        };
        assert_eq!(
            hours("Europe/Rome", "2026-03-28", "2026-03-30"),
            [24, 23, 24]
        );
        assert_eq!(hours("Europe/Rome", "2026-10-25", "2026-10-25"), [25]);
        // In Asuncion the clock skips midnight in spring; Samoa has skipped a day.
        assert_eq!(
            hours("America/Asuncion", "2023-09-30", "2023-10-02"),
            [24, 23, 24]
        );
        assert_eq!(
            hours("Pacific/Apia", "2011-12-29", "2011-12-31"),
            [24, 0, 24]
        );
        assert_eq!(hours("Asia/Kathmandu", "2026-01-01", "2026-01-01"), [24]);
    }

    #[test]
    fn days_are_ordered_dates_from_1980() {
        let parse = |first, last| {
            let zone = Zone::find("UTC").expect("a zone");
            Days::parse(zone, first, last).map(|days| days.count())
        };
        assert_eq!(parse("2026-02-27", "2026-03-01"), Ok(3));
        assert_eq!(parse("2026-02-29", "2026-03-01"), Err(DaysError::First));
        assert_eq!(parse("1979-12-31", "2026-03-01"), Err(DaysError::First));
        assert_eq!(parse("2026-01-01", "20260301"), Err(DaysError::Last));
        assert_eq!(parse("2026-01-02", "2026-01-01"), Err(DaysError::Order));
        assert!(Zone::find("Europe/Nowhere").is_none());
    }

    /// The finest buckets depend on this.
    #[test]
    fn every_zones_days_are_made_of_quarter_hours_since_1980() {
        let start = jiff::Timestamp::constant(315_532_800, 0);
        let end = jiff::Timestamp::constant(2_208_988_800, 0);
        let mut zones = 0;
        for name in jiff::tz::db().available() {
            let zone = Zone::find(name.as_str()).expect("a zone");
            // Between two transitions every day begins at the same time in UTC.
            let transitions = zone.zone.following(start).map(|next| next.timestamp());
            let turns = transitions.take_while(|at| *at < end);
            let turns: Vec<_> = [start, end].into_iter().chain(turns).collect();
            for turn in turns {
                let date = turn.to_zoned_datetime(TimeZone::UTC).date();
                let span = jiff::Span::new().days(2);
                let first = date.checked_sub(span).expect("a date");
                let last = date.checked_add(span).expect("a date");
                let days = Days {
                    zone: zone.clone(),
                    first,
                    last,
                };
                let starts = days.boundaries(true);
                assert!(
                    starts.iter().all(|start| start % QUARTER_HOUR == 0),
                    "{name:?} {date}"
                );
            }
            zones += 1;
        }
        assert!(zones > 400);
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
