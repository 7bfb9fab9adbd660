//! All errors that the service returns, with their statuses and stable codes.

use crate::billable::Code;

/// An error, identified for clients by its status and code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    pub status: u16,
    /// The code in `responseStatus.errorCode`.
    pub code: &'static str,
    /// What it means, and what the client can do about it.
    pub means: &'static str,
}

/// Defines a constant for each error, and `ALL` with all of them.
macro_rules! errors {
    ($($name:ident = $status:literal $code:expr => $means:literal;)*) => {
        $(#[doc = $means] pub const $name: Error = Error { status: $status, code: $code, means: $means };)*
        pub const ALL: &[Error] = &[$($name),*];
    };
}

errors! {
    BAD_REQUEST = 400 "BadRequest" => "The request violates HTTP/1.1: it has no or several Host headers, or a Transfer-Encoding other than chunked.";
    MALFORMED = 400 "SerializationException" => "The body or the query could not be parsed.";
    NOT_EMPTY = 400 Code::NotEmpty.as_str() => "A required value is missing.";
    LENGTH = 400 Code::Length.as_str() => "A string is empty or longer than 256 characters.";
    INVALID_CHARACTER = 400 Code::InvalidCharacter.as_str() => "A string contains a control character, U+FFFE or U+FFFF.";
    NOT_A_TEXT = 400 Code::NotAText.as_str() => "A value is an object or an array, but must be a string.";
    INVALID_INSTANT = 400 Code::InvalidInstant.as_str() => "A timestamp is not in RFC 3339 format, or in none that the sender's profile reads.";
    INCLUSIVE_BETWEEN = 400 Code::InclusiveBetween.as_str() => "A timestamp is before 1980 or more than 24 hours in the future.";
    PREDICATE = 400 Code::Predicate.as_str() => "A parameter violates a rule, which the message names.";
    UNKNOWN_PARAMETER = 400 "UnknownParameter" => "The route has no such query parameter, or there is no such format; the message names the nearest.";
    NOTHING_RECOGNISED = 400 "NothingRecognised" => "The URL names whom to bill, nothing names the call, and the request has members that nobody reads; the message lists them. Send callSid, or an Idempotency-Key, or name the sender. With a sender: the request is none that its profile reads.";
    INVALID_IDEMPOTENCY_KEY = 400 "InvalidIdempotencyKey" => "Idempotency-Key is not 1 to 255 visible ASCII characters, or is given more than once.";
    INVALID_CURSOR = 400 "InvalidCursor" => "The cursor was not issued for this request, or was altered.";
    UNAUTHORIZED = 401 "Unauthorized" => "The token is missing, unknown, expired or revoked.";
    FORBIDDEN = 403 Code::Forbidden.as_str() => "The token lacks the required scope, its account limit does not allow this, or a browser sent the request from another site.";
    NOT_FOUND = 404 "NotFound" => "The path or the resource does not exist, or the token may not see it.";
    METHOD_NOT_ALLOWED = 405 "MethodNotAllowed" => "The path does not support this method; Allow lists those that it supports.";
    REQUEST_TIMEOUT = 408 "RequestTimeout" => "The body did not arrive in time.";
    ATTRIBUTION_CONFLICT = 409 "AttributionConflict" => "The session is already billed to another account or customer, which cannot be changed.";
    CURSOR_GONE = 410 "CursorGone" => "The cursor's position in the log no longer exists, because a backup was restored; start again without a cursor.";
    PAYLOAD_TOO_LARGE = 413 "PayloadTooLarge" => "The body is larger than 8 MiB, or than the operation says, or has more than 10,000 items.";
    UNSUPPORTED_MEDIA_TYPE = 415 "UnsupportedMediaType" => "The body's format, character encoding or compression is not supported.";
    IDEMPOTENCY_CONFLICT = 422 "IdempotencyConflict" => "The Idempotency-Key was already used with different content; the stored content is kept.";
    TOO_MUCH = 422 "TooMuch" => "The result is too large for one response; request less.";
    TOO_MANY_REQUESTS = 429 "TooManyRequests" => "The token exceeded its request rate; retry after Retry-After seconds.";
    INTERNAL_SERVER_ERROR = 500 "InternalServerError" => "The server failed; its log has the cause under X-Request-Id.";
    OVERLOADED = 503 "Overloaded" => "The server is overloaded and nothing was stored; retry after Retry-After seconds.";
    STORE_UNAVAILABLE = 503 "StoreUnavailable" => "The database is unavailable. A write may or may not have been stored; retry after Retry-After seconds.";
    CLOCK_IMPLAUSIBLE = 503 "ClockImplausible" => "The server's clock is wrong, so nothing was stored; retry after Retry-After seconds.";
    STOPPING = 503 "Stopping" => "The server is stopping; retry after Retry-After seconds.";
    TIMEOUT = 503 "Timeout" => "The request timed out. A write may or may not have been stored; retry after Retry-After seconds.";
    HTTP_VERSION_NOT_SUPPORTED = 505 "HttpVersionNotSupported" => "Exports and long totals require HTTP/1.1, so that a truncated response can be detected.";
}

/// Errors of every operation. 405 is not listed, because a method that the path does not support
/// belongs to no operation.
pub const ALWAYS: &[Error] = &[BAD_REQUEST, INTERNAL_SERVER_ERROR, TIMEOUT];

/// Errors of every operation that requires a token.
pub const WITH_TOKEN: &[Error] = &[
    UNAUTHORIZED,
    FORBIDDEN,
    TOO_MANY_REQUESTS,
    STORE_UNAVAILABLE,
];

/// Errors of every operation that parses input and counts against a concurrency limit.
pub const WITH_INPUT: &[Error] = &[MALFORMED, OVERLOADED];

/// Errors of every operation that accepts a body.
pub const WITH_BODY: &[Error] = &[REQUEST_TIMEOUT, PAYLOAD_TOO_LARGE, UNSUPPORTED_MEDIA_TYPE];

/// Errors of every operation that writes.
pub const WHEN_WRITING: &[Error] = &[CLOCK_IMPLAUSIBLE];

/// Errors of every operation that reads resources. Routes by name ignore unknown parameters.
pub const WHEN_READING: &[Error] = &[UNKNOWN_PARAMETER];

/// Errors of strings.
pub const OF_TEXTS: &[Error] = &[LENGTH, INVALID_CHARACTER];

impl Error {
    /// The error for a field with this code.
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
