//! The error codes of fields.

/// The code by which clients tell one field error from another. The names are part of the API and
/// do not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// It is required but not given.
    NotEmpty,
    /// It has more than 256 characters, or none.
    Length,
    /// It contains a control character, U+FFFE or U+FFFF.
    InvalidCharacter,
    /// It is an object or an array.
    NotAText,
    /// It is not an RFC 3339 timestamp.
    InvalidInstant,
    /// It is before 1980 or more than 24 hours ahead.
    InclusiveBetween,
    /// It breaks another rule, which the message states.
    Predicate,
    /// It names an account that the token is not allowed to use.
    Forbidden,
}

impl Code {
    /// Returns the value of `responseStatus.errorCode`.
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
