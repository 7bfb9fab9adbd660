//! A report: the fields that a client sends, each parsed once, and the rule that requires a session
//! or a whole pair.

use std::fmt;

use super::{Code, Timestamp};

/// The maximum length of a text field, in Unicode scalar values.
pub const MAX_TEXT: usize = 256;

/// The earliest `occurredAt`: 1980-01-01T00:00:00Z, in microseconds.
const EARLIEST_MICROS: i64 = 315_532_800_000_000;

/// How far ahead of the server's clock `occurredAt` may be, in seconds.
const MAX_AHEAD_SECONDS: i64 = 24 * 60 * 60;

/// A field of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum Field {
    /// The account to bill.
    AccountId,
    /// The customer to bill.
    CustomerId,
    /// The session that the call belongs to.
    SessionId,
    CallSid,
    /// When the call happened.
    OccurredAt,
}

impl Field {
    /// Every field, in the order in which errors are listed.
    pub const ALL: [Self; 5] = [
        Self::AccountId,
        Self::CustomerId,
        Self::SessionId,
        Self::CallSid,
        Self::OccurredAt,
    ];

    /// The name as .NET writes it, used in XML and as `fieldName` in errors.
    pub fn pascal(self) -> &'static str {
        match self {
            Self::AccountId => "AccountId",
            Self::CustomerId => "CustomerId",
            Self::SessionId => "SessionId",
            Self::CallSid => "CallSid",
            Self::OccurredAt => "OccurredAt",
        }
    }

    /// The name in JSON.
    pub fn camel(self) -> &'static str {
        match self {
            Self::AccountId => "accountId",
            Self::CustomerId => "customerId",
            Self::SessionId => "sessionId",
            Self::CallSid => "callSid",
            Self::OccurredAt => "occurredAt",
        }
    }

    /// Returns the field with this name. Case-insensitive.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|field| field.camel().eq_ignore_ascii_case(name))
    }
}

/// An error in one field. The message is a sentence for the caller, without secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The field at fault.
    pub field: Field,
    pub code: Code,
    pub message: String,
}

impl FieldError {
    pub fn new(field: Field, code: Code, message: impl Into<String>) -> Self {
        Self {
            field,
            code,
            message: message.into(),
        }
    }
}

/// A value as it was parsed from a format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RawValue {
    /// A string, or a scalar's source text.
    Text(String),
    /// A string that is not UTF-8.
    Bytes(Box<[u8]>),
    /// An object or an array where a string is expected.
    Structure,
}

/// The fields of a report as they arrived, before validation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawReport([Option<RawValue>; Field::ALL.len()]);

impl RawReport {
    /// Sets a field, replacing its value.
    pub fn set(&mut self, field: Field, value: Option<RawValue>) {
        self.0[field as usize] = value;
    }

    /// Sets a field to a text, or appends a comma and the text if the field already has one.
    pub fn append(&mut self, field: Field, text: &str) {
        match &mut self.0[field as usize] {
            Some(RawValue::Text(held)) => held.extend([",", text]),
            other => *other = Some(RawValue::Text(text.to_owned())),
        }
    }

    /// Changes the text of each field that has one.
    pub fn map_texts(&mut self, change: impl Fn(String) -> RawValue) {
        for value in &mut self.0 {
            *value = value.take().map(|value| match value {
                RawValue::Text(text) => change(text),
                other => other,
            });
        }
    }

    /// Decodes each field that is not UTF-8.
    pub fn map_bytes(&mut self, decode: impl Fn(&[u8]) -> String) {
        for value in self.0.iter_mut().flatten() {
            if let RawValue::Bytes(bytes) = value {
                *value = RawValue::Text(decode(bytes));
            }
        }
    }

    /// Sets a field if it is not given.
    pub fn fill(&mut self, field: Field, value: Option<RawValue>) {
        if !self.is_given(field) {
            self.set(field, value);
        }
    }

    /// Replaces every field that the other report gives.
    pub fn overlay(&mut self, mut other: Self) {
        for field in Field::ALL {
            if other.is_given(field) {
                self.set(field, other.0[field as usize].take());
            }
        }
    }

    /// Takes the fields that this report does not give from the other report.
    pub fn fill_from(&mut self, other: Self) {
        for (field, value) in Field::ALL.into_iter().zip(other.0) {
            self.fill(field, value);
        }
    }

    /// Returns the fields that have a value, even if it is blank.
    pub fn fields(&self) -> impl Iterator<Item = Field> {
        let held = |field: &Field| self.0[*field as usize].is_some();
        Field::ALL.into_iter().filter(held)
    }

    /// Whether a field is given. A missing, empty or blank field is not.
    pub fn is_given(&self, field: Field) -> bool {
        self.get(field).is_some_and(|given| match given {
            RawValue::Text(text) => !text.trim().is_empty(),
            RawValue::Bytes(_) | RawValue::Structure => true,
        })
    }

    pub fn get(&self, field: Field) -> Option<&RawValue> {
        self.0[field as usize].as_ref()
    }

    fn take(&mut self, field: Field) -> Result<Option<String>, FieldError> {
        match self.0[field as usize].take() {
            Some(RawValue::Text(text)) if !text.trim().is_empty() => Ok(Some(text)),
            Some(RawValue::Bytes(_)) => Err(FieldError::new(
                field,
                Code::InvalidCharacter,
                format!("{} must be UTF-8", field.camel()),
            )),
            Some(RawValue::Structure) => Err(FieldError::new(
                field,
                Code::NotAText,
                format!(
                    "{} must be a string, not an object or an array",
                    field.camel()
                ),
            )),
            Some(RawValue::Text(_)) | None => Ok(None),
        }
    }
}

/// A field's text, kept as sent: 1 to [`MAX_TEXT`] Unicode scalar values, no control character
/// (Cc), no U+FFFE, no U+FFFF.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Text(Box<str>);

impl Text {
    /// Checks a value for `field`. The caller must leave out a blank value.
    ///
    /// # Errors
    /// `Length` or `InvalidCharacter`.
    pub fn parse(field: Field, value: String) -> Result<Self, FieldError> {
        Self::named(field.camel(), value)
            .map_err(|(code, message)| FieldError::new(field, code, message))
    }

    /// Checks a value that belongs to no field, and calls it `name` in messages. The error is a
    /// code and a sentence.
    ///
    /// # Errors
    /// `Length` or `InvalidCharacter`.
    pub fn named(name: &str, value: String) -> Result<Self, (Code, String)> {
        let length = value.chars().count();
        if length == 0 || length > MAX_TEXT {
            let message = format!("{name} must have 1 to {MAX_TEXT} characters, not {length}");
            return Err((Code::Length, message));
        }
        let refused = |c: char| c.is_control() || matches!(c, '\u{FFFE}' | '\u{FFFF}');
        if let Some(found) = value.chars().find(|&c| refused(c)) {
            let message = format!(
                "{name} must not contain the character U+{:04X}",
                found as u32
            );
            return Err((Code::InvalidCharacter, message));
        }
        Ok(Self(value.into()))
    }

    /// Wraps a value from the store, which holds only values that were checked before.
    pub fn trusted(value: String) -> Self {
        Self(value.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The four fields as reported: the content that is compared when a report is repeated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Reported {
    pub account_id: Option<Text>,
    pub customer_id: Option<Text>,
    pub session_id: Option<Text>,
    pub call_sid: Option<Text>,
}

impl Reported {
    /// Returns the four fields with their values, in the order in which an identity hashes them.
    pub fn fields(&self) -> [(Field, Option<&str>); 4] {
        let Self {
            account_id,
            customer_id,
            session_id,
            call_sid,
        } = self;
        [
            (Field::AccountId, account_id.as_ref().map(Text::as_str)),
            (Field::CustomerId, customer_id.as_ref().map(Text::as_str)),
            (Field::SessionId, session_id.as_ref().map(Text::as_str)),
            (Field::CallSid, call_sid.as_ref().map(Text::as_str)),
        ]
    }

    /// Returns the fields in which two reports differ.
    pub fn differing(&self, other: &Self) -> Vec<Field> {
        let pairs = self.fields().into_iter().zip(other.fields());
        pairs
            .filter(|(mine, theirs)| mine.1 != theirs.1)
            .map(|(mine, _)| mine.0)
            .collect()
    }
}

/// A report that satisfies every rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub reported: Reported,
    /// When the call happened, if the client reported it.
    pub occurred_at: Option<Timestamp>,
}

impl Report {
    /// Applies the rules to `raw`, with `now` as the server's clock.
    ///
    /// # Errors
    /// Every error of the report, in the order of [`Field::ALL`].
    pub fn parse(mut raw: RawReport, now: Timestamp) -> Result<Self, Vec<FieldError>> {
        let mut errors = Vec::new();
        if !raw.is_given(Field::SessionId) {
            errors.extend(missing_subject(
                raw.is_given(Field::AccountId),
                raw.is_given(Field::CustomerId),
            ));
        }

        let mut text = |field| match raw
            .take(field)
            .and_then(|v| v.map(|v| Text::parse(field, v)).transpose())
        {
            Ok(text) => text,
            Err(error) => {
                errors.push(error);
                None
            }
        };
        let reported = Reported {
            account_id: text(Field::AccountId),
            customer_id: text(Field::CustomerId),
            session_id: text(Field::SessionId),
            call_sid: text(Field::CallSid),
        };
        let occurred_at = raw
            .take(Field::OccurredAt)
            .and_then(|value| value.map(|v| parse_occurred_at(&v, now)).transpose())
            .unwrap_or_else(|error| {
                errors.push(error);
                None
            });

        if errors.is_empty() {
            return Ok(Self {
                reported,
                occurred_at,
            });
        }
        errors.sort_by_key(|error| error.field as usize);
        Err(errors)
    }
}

/// Checks a report without `sessionId`, which requires both `accountId` and `customerId`.
fn missing_subject(account: bool, customer: bool) -> Option<FieldError> {
    match (account, customer) {
        (true, true) => None,
        (true, false) => Some(FieldError::new(
            Field::CustomerId,
            Code::NotEmpty,
            "customerId is required with accountId when there is no sessionId",
        )),
        (false, true) => Some(FieldError::new(
            Field::AccountId,
            Code::NotEmpty,
            "accountId is required with customerId when there is no sessionId",
        )),
        (false, false) => Some(FieldError::new(
            Field::SessionId,
            Code::NotEmpty,
            "either sessionId, or both accountId and customerId, is required",
        )),
    }
}

fn parse_occurred_at(value: &str, now: Timestamp) -> Result<Timestamp, FieldError> {
    let field = Field::OccurredAt;
    let timestamp = Timestamp::parse(value).ok_or_else(|| {
        FieldError::new(
            field,
            Code::InvalidInstant,
            "occurredAt must be an RFC 3339 timestamp such as 2026-03-01T09:30:00Z",
        )
    })?;
    let is_ahead = now
        .plus_seconds(MAX_AHEAD_SECONDS)
        .is_some_and(|latest| timestamp > latest);
    if timestamp.as_micros() < EARLIEST_MICROS || is_ahead {
        let message = "occurredAt must be from 1980-01-01 to 24 hours ahead of the server's clock";
        return Err(FieldError::new(field, Code::InclusiveBetween, message));
    }
    Ok(timestamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        Timestamp::parse("2026-03-01T12:00:00Z").expect("a timestamp")
    }

    fn parse(fields: &[(Field, &str)]) -> Result<Report, Vec<(Field, Code)>> {
        let mut raw = RawReport::default();
        for (field, value) in fields {
            raw.set(*field, Some(RawValue::Text((*value).to_owned())));
        }
        Report::parse(raw, now())
            .map_err(|errors| errors.iter().map(|e| (e.field, e.code)).collect())
    }

    #[test]
    fn a_session_or_a_whole_pair_is_required() {
        use Field::{AccountId, CallSid, CustomerId, SessionId};
        assert!(parse(&[(SessionId, "S")]).is_ok());
        assert!(parse(&[(AccountId, "a"), (CustomerId, "c")]).is_ok());
        assert!(parse(&[(SessionId, "S"), (CustomerId, "c")]).is_ok());
        assert_eq!(
            parse(&[(CallSid, "CA1")]),
            Err(vec![(SessionId, Code::NotEmpty)])
        );
        assert_eq!(
            parse(&[(AccountId, "a")]),
            Err(vec![(CustomerId, Code::NotEmpty)])
        );
        assert_eq!(
            parse(&[(CustomerId, "c"), (AccountId, " \u{2003}\n")]),
            Err(vec![(AccountId, Code::NotEmpty)])
        );
    }

    #[test]
    fn every_error_is_listed_in_the_order_of_the_fields() {
        use Field::{AccountId, CallSid, CustomerId, OccurredAt};
        let long = "x".repeat(257);
        let errors = parse(&[(OccurredAt, "soon"), (CallSid, "a\0b"), (AccountId, &long)]);
        let expected = [
            (AccountId, Code::Length),
            (CustomerId, Code::NotEmpty),
            (CallSid, Code::InvalidCharacter),
            (OccurredAt, Code::InvalidInstant),
        ];
        assert_eq!(errors, Err(expected.to_vec()));
    }

    #[test]
    fn a_text_is_counted_in_scalar_values_and_kept_as_sent() {
        let astral = "😀".repeat(256);
        assert!(parse(&[(Field::SessionId, &astral)]).is_ok());
        assert!(parse(&[(Field::SessionId, &format!("{astral}x"))]).is_err());
        let report = parse(&[(Field::SessionId, " e\u{301} ")]).expect("a report");
        assert_eq!(
            report.reported.session_id.expect("a session").as_str(),
            " e\u{301} "
        );
    }

    #[test]
    fn refused_characters_are_the_controls_and_two_non_characters() {
        for c in [
            '\0', '\u{1}', '\t', '\n', '\u{7f}', '\u{85}', '\u{FFFE}', '\u{FFFF}',
        ] {
            let errors = parse(&[(Field::SessionId, &format!("a{c}b"))]);
            assert_eq!(
                errors,
                Err(vec![(Field::SessionId, Code::InvalidCharacter)]),
                "{c:?}"
            );
        }
        for c in ['\u{FFFD}', '\u{200b}', '\u{1FFFE}', ' '] {
            assert!(
                parse(&[(Field::SessionId, &format!("a{c}b"))]).is_ok(),
                "{c:?}"
            );
        }
    }

    #[test]
    fn occurred_at_lies_between_1980_and_a_day_ahead() {
        let at = |text| parse(&[(Field::SessionId, "S"), (Field::OccurredAt, text)]);
        assert!(at("1980-01-01T00:00:00Z").is_ok());
        assert!(at("2026-03-02T12:00:00Z").is_ok());
        for text in [
            "1979-12-31T23:59:59.999999Z",
            "2026-03-02T12:00:00.000001Z",
            "2026-03-03T12:00:00Z",
        ] {
            assert_eq!(
                at(text),
                Err(vec![(Field::OccurredAt, Code::InclusiveBetween)]),
                "{text}"
            );
        }
    }
}
