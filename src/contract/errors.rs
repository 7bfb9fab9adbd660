//! Every error that the service answers: its status and its stable code, in this one place.

use crate::billable::Code;

/// An error, as clients tell it from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    pub status: u16,
    /// The code in `responseStatus.errorCode`.
    pub code: &'static str,
    /// What it means, and what to do about it.
    pub means: &'static str,
}

/// Defines errors by name, and the table of them all.
macro_rules! errors {
    ($($name:ident = $status:literal $code:expr => $means:literal;)*) => {
        $(#[doc = $means] pub const $name: Error = Error { status: $status, code: $code, means: $means };)*
        pub const ALL: &[Error] = &[$($name),*];
    };
}

errors! {
    MALFORMED = 400 "SerializationException" => "The body or the query cannot be read; mend it.";
    NOT_EMPTY = 400 Code::NotEmpty.as_str() => "Something that is required is not given.";
    LENGTH = 400 Code::Length.as_str() => "A text has more than 256 characters, or none.";
    INVALID_CHARACTER = 400 Code::InvalidCharacter.as_str() => "A text has a control character, U+FFFE or U+FFFF.";
    NOT_A_TEXT = 400 Code::NotAText.as_str() => "An object or an array stands where a text belongs.";
    INVALID_INSTANT = 400 Code::InvalidInstant.as_str() => "A timestamp is not as RFC 3339 has it.";
    INCLUSIVE_BETWEEN = 400 Code::InclusiveBetween.as_str() => "A timestamp is before 1980 or more than 24 hours ahead.";
    PREDICATE = 400 Code::Predicate.as_str() => "A parameter breaks its rule, which the message says.";
    INVALID_IDEMPOTENCY_KEY = 400 "InvalidIdempotencyKey" => "Idempotency-Key is not 1 to 255 visible ASCII characters, or is given twice.";
    INVALID_CURSOR = 400 "InvalidCursor" => "The cursor was not given for this request, or was altered.";
    UNAUTHORIZED = 401 "Unauthorized" => "No token, or one that is unknown, expired or revoked.";
    FORBIDDEN = 403 Code::Forbidden.as_str() => "The token lacks the scope or is limited to other accounts, or a browser sent this from another site.";
    NOT_FOUND = 404 "NotFound" => "There is nothing here, or nothing that the token may see.";
    METHOD_NOT_ALLOWED = 405 "MethodNotAllowed" => "The path has other methods; Allow names them.";
    REQUEST_TIMEOUT = 408 "RequestTimeout" => "The body did not arrive in time.";
    ATTRIBUTION_CONFLICT = 409 "AttributionConflict" => "The session was decided otherwise, which stays.";
    CURSOR_GONE = 410 "CursorGone" => "The cursor's log is gone, because a backup was restored; begin anew.";
    PAYLOAD_TOO_LARGE = 413 "PayloadTooLarge" => "The body has more than 8 MiB, or more than 10,000 items.";
    UNSUPPORTED_MEDIA_TYPE = 415 "UnsupportedMediaType" => "The body is in no format, character encoding or compression that is understood here.";
    IDEMPOTENCY_CONFLICT = 422 "IdempotencyConflict" => "The Idempotency-Key was used with other content, which stays.";
    TOO_MUCH = 422 "TooMuch" => "The answer would be too large; ask for less at once.";
    TOO_MANY_REQUESTS = 429 "TooManyRequests" => "The token's rate; send it again after Retry-After seconds.";
    INTERNAL_SERVER_ERROR = 500 "InternalServerError" => "A fault of the server; its log says which, under X-Request-Id.";
    OVERLOADED = 503 "Overloaded" => "Too much is under way and nothing was stored; send it again after Retry-After seconds.";
    STORE_UNAVAILABLE = 503 "StoreUnavailable" => "The database did not confirm; send it again after Retry-After seconds.";
    STOPPING = 503 "Stopping" => "The server is stopping; send it again after Retry-After seconds.";
    TIMEOUT = 503 "Timeout" => "It took too long and nothing is certain; send it again after Retry-After seconds.";
    HTTP_VERSION_NOT_SUPPORTED = 505 "HttpVersionNotSupported" => "An export needs HTTP/1.1, where one that is cut is seen to be.";
}

/// What every operation may answer, whoever asks. (405 is of methods that are none.)
pub const ALWAYS: &[Error] = &[INTERNAL_SERVER_ERROR, TIMEOUT];

/// What every operation may answer that takes a token.
pub const WITH_TOKEN: &[Error] = &[
    UNAUTHORIZED,
    FORBIDDEN,
    TOO_MANY_REQUESTS,
    STORE_UNAVAILABLE,
];

/// What every operation may answer that reads a query or a body, and takes a permit for that long.
pub const WITH_INPUT: &[Error] = &[MALFORMED, OVERLOADED];

/// What every operation may answer that takes a body.
pub const WITH_BODY: &[Error] = &[REQUEST_TIMEOUT, PAYLOAD_TOO_LARGE, UNSUPPORTED_MEDIA_TYPE];

/// What is wrong with a text.
pub const OF_TEXTS: &[Error] = &[LENGTH, INVALID_CHARACTER];

impl Error {
    /// The error of a rule that a field breaks.
    pub fn of_field(code: Code) -> Self {
        match code {
            Code::NotEmpty => NOT_EMPTY,
            Code::Length => LENGTH,
            Code::InvalidCharacter => INVALID_CHARACTER,
            Code::NotAText => NOT_A_TEXT,
            Code::InvalidInstant => INVALID_INSTANT,
            Code::InclusiveBetween => INCLUSIVE_BETWEEN,
            Code::Predicate => PREDICATE,
            Code::Forbidden => FORBIDDEN,
        }
    }
}
