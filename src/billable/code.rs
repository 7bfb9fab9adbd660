//! The codes of what can be wrong with a field.

/// What is wrong with a field, as clients tell it from others. The names are part of the API and do
/// not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// It is required and not given.
    NotEmpty,
    /// It has more than 256 characters, or none.
    Length,
    /// It has a control character, U+FFFE or U+FFFF.
    InvalidCharacter,
    /// It is an object or an array.
    NotAText,
    /// It is no RFC 3339 timestamp.
    InvalidInstant,
    /// It is before 1980 or more than 24 hours ahead.
    InclusiveBetween,
    /// It breaks another rule, which the message says.
    Predicate,
    /// It names an account that the token is not for.
    Forbidden,
}

impl Code {
    /// As `responseStatus.errorCode` has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotEmpty => "NotEmpty",
            Self::Length => "Length",
            Self::InvalidCharacter => "InvalidCharacter",
            Self::NotAText => "NotAText",
            Self::InvalidInstant => "InvalidInstant",
            Self::InclusiveBetween => "InclusiveBetween",
            Self::Predicate => "Predicate",
            Self::Forbidden => "Forbidden",
        }
    }
}
