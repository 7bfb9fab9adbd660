//! Times as senders write them.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use jiff::civil::DateTime;
use jiff::fmt::rfc2822;
use jiff::fmt::strtime::{self, BrokenDownTime};
use jiff::tz::{Offset, TimeZone};

use crate::billable::Timestamp;

/// Unix times are from 1980 to 2100: so no number is a time in two units.
const FIRST_SECOND: i64 = 315_532_800;
const LAST_SECOND: i64 = 4_102_444_800;

/// A time, and whether it is one of two that its text may mean.
type Parsed = Result<(jiff::Timestamp, bool), &'static str>;

/// How a sender writes times.
#[derive(Clone, Debug, Default)]
pub struct TimeFormat {
    /// A pattern of `strptime`; `None` for every form that cannot be misread.
    pattern: Option<String>,
    /// The zone of times without an offset.
    zone: Option<TimeZone>,
    /// The offsets of zone abbreviations.
    abbreviations: Vec<(String, Offset)>,
}

impl TimeFormat {
    /// `pattern` is `auto` or a pattern of `strptime`. `zone` is a name such as `Europe/Rome`, or an
    /// offset.
    ///
    /// # Errors
    /// The pattern is invalid, or there is no such zone.
    pub fn new(
        pattern: Option<&str>,
        zone: Option<&str>,
        abbreviations: &BTreeMap<String, String>,
    ) -> Result<Self, String> {
        let pattern = pattern.filter(|pattern| *pattern != "auto");
        if let Some(pattern) = pattern {
            // In the afternoon, so that a pattern without the hour, or with one of twelve, is told.
            let sample = jiff::Timestamp::constant(47_655, 0).to_zoned_datetime(TimeZone::UTC);
            let written = strtime::format(pattern, &sample).ok();
            let read = written.and_then(|text| BrokenDownTime::parse(pattern, text).ok());
            let has_offset = read.as_ref().map(|read| read.to_timestamp().is_ok());
            let local = read.as_ref().and_then(|read| read.to_datetime().ok());
            let is_whole = |local: DateTime| local.hour() == sample.hour();
            match has_offset {
                Some(_) if !local.is_none_or(is_whole) => return Err(wrong_pattern(pattern)),
                Some(true) => {}
                Some(false) if local.is_none() => return Err(wrong_pattern(pattern)),
                Some(false) if zone.is_none() && abbreviations.is_empty() => {
                    return Err(format!(
                        "the time format {pattern:?} has no offset (%z), so it needs a time zone"
                    ));
                }
                Some(false) => {}
                None => return Err(wrong_pattern(pattern)),
            }
        }
        let zone = zone.map(|name| {
            let fixed = offset(name).map(TimeZone::fixed);
            fixed.or_else(|| TimeZone::get(name).ok()).ok_or_else(|| {
                format!("there is no time zone {name:?}; names are like Europe/Rome or +01:00")
            })
        });
        let abbreviations = abbreviations.iter().map(|(name, text)| {
            let offset = offset(text).ok_or_else(|| {
                format!("the offset of the zone {name} must be like -07:00, not {text:?}")
            })?;
            Ok::<_, String>((name.clone(), offset))
        });
        Ok(Self {
            pattern: pattern.map(str::to_owned),
            zone: zone.transpose()?,
            abbreviations: abbreviations.collect::<Result<_, _>>()?,
        })
    }

    /// Parses a time. A local time that exists twice is the first, one that is skipped the one after
    /// the gap.
    ///
    /// # Errors
    /// It is none, or has no offset and the format no zone; the message is a predicate.
    pub fn parse(&self, text: &str) -> Result<Timestamp, &'static str> {
        self.parse_told(text).map(|(timestamp, _)| timestamp)
    }

    /// Works like [`Self::parse`], and returns whether the zone's clocks show the local time twice or
    /// never.
    ///
    /// # Errors
    /// As for [`Self::parse`].
    pub fn parse_told(&self, text: &str) -> Result<(Timestamp, bool), &'static str> {
        let text = text.trim();
        let (parsed, is_ambiguous) = match &self.pattern {
            Some(pattern) => self.parse_pattern(pattern, text)?,
            None => self.parse_any(text)?,
        };
        let timestamp = Timestamp::from_micros(parsed.as_microsecond()).ok_or(NOT_A_TIME)?;
        Ok((timestamp, is_ambiguous))
    }

    fn parse_pattern(&self, pattern: &str, text: &str) -> Parsed {
        let (text, abbreviated) = self.without_abbreviation(text);
        let parsed =
            BrokenDownTime::parse(pattern, text).map_err(|_| "is not in the time format")?;
        if let Ok(timestamp) = parsed.to_timestamp() {
            return Ok((timestamp, false));
        }
        let local = parsed.to_datetime().map_err(|_| NOT_A_TIME)?;
        self.local(local, abbreviated)
    }

    fn parse_any(&self, text: &str) -> Parsed {
        if let Some(unix) = unix(text) {
            return unix.map(|timestamp| (timestamp, false));
        }
        if let Some((local, rest)) = civil(text) {
            return match rest.trim() {
                "" => self.local(local, None),
                "Z" | "z" | "UTC" | "GMT" => self.local(local, Some(Offset::UTC)),
                rest => {
                    let named = self.abbreviations.iter().find(|(name, _)| name == rest);
                    let offset = named.map(|(_, offset)| *offset).or_else(|| offset(rest));
                    self.local(local, Some(offset.ok_or("has a zone that is not known")?))
                }
            };
        }
        rfc2822::parse(text)
            .map(|zoned| (zoned.timestamp(), false))
            .map_err(|_| NOT_A_TIME)
    }

    /// Takes a known zone abbreviation off the end.
    fn without_abbreviation<'a>(&self, text: &'a str) -> (&'a str, Option<Offset>) {
        let mut abbreviations = self.abbreviations.iter();
        let found = abbreviations.find_map(|(name, offset)| {
            let rest = text.strip_suffix(&**name)?;
            rest.ends_with(' ')
                .then(|| (rest.trim_end(), Some(*offset)))
        });
        found.unwrap_or((text, None))
    }

    fn local(&self, local: DateTime, offset: Option<Offset>) -> Parsed {
        let zone = match (offset, &self.zone) {
            (Some(offset), _) => TimeZone::fixed(offset),
            (None, Some(zone)) => zone.clone(),
            (None, None) => return Err(NO_OFFSET),
        };
        let found = zone.to_ambiguous_timestamp(local);
        let is_ambiguous = found.is_ambiguous();
        let timestamp = found.compatible().map_err(|_| NOT_A_TIME)?;
        Ok((timestamp, is_ambiguous))
    }
}

fn wrong_pattern(pattern: &str) -> String {
    format!(
        "the time format {pattern:?} must be auto, or a pattern with day and time such as %d.%m.%Y %H:%M:%S"
    )
}

const NOT_A_TIME: &str =
    "is not in a form that can be read; --time-format of a mapping may say which";

const NO_OFFSET: &str =
    "has no offset, and no time zone is set for it; --time-zone of a mapping sets one";

/// Subtracts a number of seconds.
pub(super) fn minus(timestamp: Timestamp, seconds: f64) -> Option<Timestamp> {
    let span = SignedDuration::try_from_secs_f64(seconds).ok()?;
    let span = i64::try_from(span.as_micros()).ok()?;
    let earlier = Timestamp::from_micros(timestamp.as_micros().checked_sub(span)?);
    earlier.filter(|earlier| *earlier >= Timestamp::MIN)
}

/// Parses a number of seconds, milliseconds or microseconds since 1970. Seconds may have a fraction.
/// Returns `None` for what is not a number.
fn unix(text: &str) -> Option<Result<jiff::Timestamp, &'static str>> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !are_digits(whole) || !are_digits(fraction) {
        return None;
    }
    let micros = whole.parse::<i64>().ok().and_then(|number| {
        let unit = [1_000_000, 1000, 1].into_iter().find(|unit| {
            let per_second = 1_000_000 / unit;
            (FIRST_SECOND * per_second..LAST_SECOND * per_second).contains(&number)
        })?;
        let fraction = match unit {
            1_000_000 => format!("{fraction:0<6.6}").parse::<i64>().ok()?,
            _ => 0,
        };
        Some(number * unit + fraction)
    });
    let timestamp = micros.and_then(|micros| jiff::Timestamp::from_microsecond(micros).ok());
    Some(timestamp.ok_or("is a number, but no Unix time from 1980 to 2100"))
}

/// Parses `YYYY-MM-DD hh:mm:ss`, with `/` or `T` too and a fraction. Returns what follows, too.
fn civil(text: &str) -> Option<(DateTime, &str)> {
    const SHAPE: &[u8] = b"dddd-dd-dd dd:dd:dd";
    let head = text.as_bytes().get(..SHAPE.len())?;
    let fits = SHAPE.iter().zip(head).all(|(shape, byte)| match shape {
        b'd' => byte.is_ascii_digit(),
        b'-' => matches!(byte, b'-' | b'/'),
        b' ' => matches!(byte, b' ' | b'T' | b't'),
        other => byte == other,
    });
    if !fits || head[4] != head[7] {
        return None;
    }
    let (head, mut rest) = text.split_at(SHAPE.len());
    let number = |at: usize, length: usize| head[at..at + length].parse::<i16>().ok();
    let small = |at: usize| number(at, 2).and_then(|number| i8::try_from(number).ok());
    let mut nanosecond = 0;
    if let Some(fraction) = rest.strip_prefix(['.', ',']) {
        let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
        let (fraction, behind) = fraction.split_at(digits);
        if digits == 0 || digits > 9 {
            return None;
        }
        nanosecond = format!("{fraction:0<9}").parse().ok()?;
        rest = behind;
    }
    let local = DateTime::new(
        number(0, 4)?,
        small(5)?,
        small(8)?,
        small(11)?,
        small(14)?,
        small(17)?,
        nanosecond,
    );
    Some((local.ok()?, rest))
}

/// Parses an offset: `+01:00`, `+0100` or `+01`.
fn offset(text: &str) -> Option<Offset> {
    let (sign, digits) = match text.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = match digits.len() {
        2 => (digits, "00"),
        4 => digits.split_at_checked(2)?,
        5 => digits.split_once(':')?,
        _ => return None,
    };
    let number = |text: &str| {
        let is_two = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<i32>().ok().filter(|_| is_two)
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (hours < 24 && minutes < 60)
        .then(|| Offset::from_seconds(sign * (hours * 60 + minutes) * 60).ok())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(format: &TimeFormat, text: &str) -> Result<String, &'static str> {
        format.parse(text).map(|timestamp| timestamp.to_string())
    }

    fn format(pattern: &str, zone: Option<&str>) -> TimeFormat {
        let abbreviations = [("PDT", "-07:00"), ("IST", "+0530")];
        let abbreviations =
            abbreviations.map(|(name, offset)| (name.to_owned(), offset.to_owned()));
        TimeFormat::new(Some(pattern), zone, &BTreeMap::from(abbreviations)).expect("a format")
    }

    #[test]
    fn forms_that_cannot_be_misread_are_read_alike() {
        let auto = format("auto", None);
        for text in [
            "2026-03-01T08:30:00Z",
            "2026-03-01T09:30:00+01:00",
            "2026-03-01 09:30:00+0100",
            "2026/03/01 09:30:00 +01",
            "2026-03-01 08:30:00 UTC",
            "2026-03-01T08:30:00.000 GMT",
            "2026-03-01 01:30:00 PDT",
            "2026-03-01 14:00:00 IST",
            "Sun, 01 Mar 2026 08:30:00 +0000",
            "Sun, 1 Mar 2026 08:30:00 GMT",
            " 1772353800 ",
            "1772353800.0",
            "1772353800000",
            "1772353800000000",
        ] {
            let expected = Ok("2026-03-01T08:30:00.000000Z".to_owned());
            assert_eq!(parse(&auto, text), expected, "{text}");
        }
        let expected = Ok("2026-03-01T08:30:00.250000Z".to_owned());
        for text in ["2026-03-01 08:30:00,25Z", "1772353800.25", "1772353800250"] {
            assert_eq!(parse(&auto, text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_not_a_time_is_never_now() {
        let auto = format("auto", None);
        for text in [
            "",
            "now",
            "0",
            "1",
            "17723538000",
            "-1772353800",
            "1772353800.x",
            "2026-03-01",
            "2026-03-01 08:30:00",
            "2026-03-01 08:30:00 XYZ",
            "2026-03/01 08:30:00Z",
            "2026-02-30 08:30:00Z",
            "2026-03-01 08:30:00.Z",
            "Mon, 01 Mar 2026 08:30:00 +0000",
            "01.03.2026 08:30:00",
            "20260301083000",
        ] {
            assert!(parse(&auto, text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_local_time_is_read_in_the_zone() {
        let rome = format("auto", Some("Europe/Rome"));
        for (text, expected) in [
            ("2026-03-01 09:30:00", "2026-03-01T08:30:00.000000Z"),
            ("2026-07-01T09:30:00", "2026-07-01T07:30:00.000000Z"),
            ("2026-03-01 09:30:00 PDT", "2026-03-01T16:30:00.000000Z"),
            // It exists twice; the first counts. The next is skipped.
            ("2026-10-25 02:30:00", "2026-10-25T00:30:00.000000Z"),
            ("2026-03-29 02:30:00", "2026-03-29T01:30:00.000000Z"),
        ] {
            assert_eq!(parse(&rome, text), Ok(expected.to_owned()), "{text}");
            let is_told = rome.parse_told(text).is_ok_and(|(_, told)| told);
            assert_eq!(is_told, text.ends_with("02:30:00"), "{text}");
        }
        let fixed = format("auto", Some("-03:30"));
        let expected = Ok("2026-03-01T13:00:00.000000Z".to_owned());
        assert_eq!(parse(&fixed, "2026-03-01 09:30:00"), expected);
    }

    #[test]
    fn a_pattern_reads_nothing_else() {
        let rome = format("%d.%m.%Y %H:%M:%S", Some("Europe/Rome"));
        let expected = Ok("2026-03-01T08:30:00.000000Z".to_owned());
        assert_eq!(parse(&rome, "01.03.2026 09:30:00"), expected);
        assert!(parse(&rome, "2026-03-01T08:30:00Z").is_err());
        assert!(parse(&rome, "01.13.2026 09:30:00").is_err());
        let with_offset = format("%Y%m%d%H%M%S%z", None);
        assert_eq!(parse(&with_offset, "20260301093000+0100"), expected);
        let abbreviated = format("%Y%m%d%H%M%S", None);
        assert_eq!(parse(&abbreviated, "20260301013000 PDT"), expected);
        assert!(parse(&abbreviated, "20260301013000").is_err());
        let none = BTreeMap::new();
        for pattern in [
            "",
            "x",
            "%Q%Q%Q%",
            "%H:%M:%S",
            "%Y-%m-%d %H:%M",
            "%d.%m.%Y",
            "%Y-%m-%d%z",
            "%Y-%m-%d %I:%M%z",
        ] {
            assert!(
                TimeFormat::new(Some(pattern), None, &none).is_err(),
                "{pattern}"
            );
        }
        assert!(TimeFormat::new(None, Some("Europe/Atlantis"), &none).is_err());
    }

    proptest! {
        #[test]
        fn a_time_in_any_form_and_zone_is_the_same_time(
            second in FIRST_SECOND..LAST_SECOND,
            minutes in -14 * 60..14 * 60_i32,
        ) {
            let timestamp = Timestamp::from_micros(second * 1_000_000).expect("a time");
            let offset = Offset::from_seconds(minutes * 60).expect("an offset");
            let zoned = jiff::Timestamp::from_second(second).expect("a time").to_zoned_datetime(TimeZone::fixed(offset));
            let auto = TimeFormat::default();
            for text in [
                second.to_string(),
                (second * 1000).to_string(),
                (second * 1_000_000).to_string(),
                timestamp.to_string(),
                strtime::format("%Y-%m-%d %H:%M:%S %:z", &zoned).expect("a text"),
                strtime::format("%Y/%m/%dT%H:%M:%S%z", &zoned).expect("a text"),
                rfc2822::to_string(&zoned).expect("a text"),
            ] {
                prop_assert_eq!(auto.parse(&text), Ok(timestamp), "{}", text);
            }
        }

        #[test]
        fn no_text_stops_the_parser(text in "[-+0-9:/TZ .,a-z]{0,40}", any: String) {
            for zone in [None, Some("America/St_Johns")] {
                let _ = format("auto", zone).parse(&text);
                let _ = format("%d.%m.%Y %H:%M", zone).parse(&any);
            }
        }
    }
}
