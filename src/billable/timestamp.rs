//! A point in time with the log's precision: microseconds, UTC.

use std::fmt;

use jiff::SignedDuration;

/// Microseconds since 1970-01-01T00:00:00Z.
///
/// Displayed as RFC 3339 in UTC with six decimals and `Z`, so the strings sort by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(jiff::Timestamp);

impl Timestamp {
    /// Before every timestamp of the log.
    pub const MIN: Self = Self(jiff::Timestamp::UNIX_EPOCH);
    /// After every timestamp of the log.
    pub const MAX: Self = Self(jiff::Timestamp::MAX);

    /// Reads the system clock. Only the edge (`api`, `cli`) may call this.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the clock"
    )]
    pub fn now() -> Self {
        Self::truncate(jiff::Timestamp::now())
    }

    /// The timestamp as the log stores it.
    pub fn as_micros(self) -> i64 {
        self.0.as_microsecond()
    }

    /// Returns a timestamp from the log, or `None` outside the years -9999 to 9999.
    pub fn from_micros(micros: i64) -> Option<Self> {
        jiff::Timestamp::from_microsecond(micros).ok().map(Self)
    }

    /// Parses RFC 3339 (`2026-03-01T09:30:00.25+01:00`). The fraction may have at most nine digits;
    /// those beyond microseconds are dropped.
    ///
    /// The shape is checked here because jiff's parser also accepts ISO 8601 forms that RFC 3339
    /// does not allow, such as a missing minute or a zone in brackets.
    pub fn parse(text: &str) -> Option<Self> {
        const SHAPE: &[u8] = b"dddd-dd-ddTdd:dd:dd";
        let bytes = text.as_bytes();
        let shaped = bytes.len() > SHAPE.len()
            && SHAPE.iter().zip(bytes).all(|(shape, byte)| match shape {
                b'd' => byte.is_ascii_digit(),
                b'T' => matches!(byte, b'T' | b't' | b' '),
                other => byte == other,
            })
            && is_fraction_and_offset(&text[SHAPE.len()..]);
        shaped.then(|| text.parse().ok().map(Self::truncate))?
    }

    /// Adds a whole number of seconds. Returns `None` past the end of the calendar.
    pub fn plus_seconds(self, seconds: i64) -> Option<Self> {
        self.0
            .checked_add(SignedDuration::from_secs(seconds))
            .ok()
            .map(Self)
    }

    fn truncate(timestamp: jiff::Timestamp) -> Self {
        let micros = timestamp.as_nanosecond().div_euclid(1_000);
        let micros = i64::try_from(micros).expect("a timestamp's microseconds fit 64 bits");
        Self::from_micros(micros).expect("truncation stays in range")
    }
}

/// Whether a text is `[.digits]`, followed by `Z` or `±hh:mm`, from 00:00 to 23:59.
fn is_fraction_and_offset(rest: &str) -> bool {
    let offset = match rest.strip_prefix('.') {
        Some(fraction) => {
            let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
            if !(1..=9).contains(&digits) {
                return false;
            }
            &fraction[digits..]
        }
        None => rest,
    };
    matches!(offset, "Z" | "z")
        || matches!(offset.as_bytes(), [b'+' | b'-', a, b, b':', c, d]
            if [a, b, c, d].iter().all(|byte| byte.is_ascii_digit())
                && [*a, *b] <= *b"23" && *c <= b'5')
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_shown_in_utc_with_six_decimals() {
        let shown = |text| Timestamp::parse(text).map(|timestamp| timestamp.to_string());
        let as_shown = |text: &str| Some(text.to_owned());
        assert_eq!(
            shown("2026-03-01T09:30:00+01:00"),
            as_shown("2026-03-01T08:30:00.000000Z")
        );
        assert_eq!(
            shown("2026-03-01T09:30:00.1234567Z"),
            as_shown("2026-03-01T09:30:00.123456Z")
        );
        assert_eq!(
            shown("1969-12-31t23:59:59.9999999z"),
            as_shown("1969-12-31T23:59:59.999999Z")
        );
    }

    #[test]
    fn what_rfc_3339_does_not_have_is_refused() {
        for text in [
            "",
            "now",
            "2026-03-01",
            "2026-03-01T09:30Z",
            "2026-03-01T09:30:00",
            "20260301T093000Z",
            "2026-02-30T00:00:00Z",
            "2026-03-01T25:00:00Z",
            "2026-03-01T09:30:00+01",
            "2026-03-01T09:30:00+0100",
            "2026-03-01T09:30:00Z[Europe/Rome]",
            "2026-03-01T09:30:00,5Z",
            "2026-03-01T09:30:00.Z",
            "1772357400",
            "2026-03-01T09:30:00Zé",
        ] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }

    #[test]
    fn case_25_an_offset_is_less_than_a_day() {
        for good in ["+23:59", "-23:59", "-00:00"] {
            assert!(
                Timestamp::parse(&format!("2026-03-01T09:30:00{good}")).is_some(),
                "{good}"
            );
        }
        for bad in ["+24:00", "-24:00", "+99:00", "-01:60"] {
            assert_eq!(
                Timestamp::parse(&format!("2026-03-01T09:30:00{bad}")),
                None,
                "{bad}"
            );
        }
    }
}
