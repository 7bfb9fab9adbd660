//! Every error that a client can get, with its message. Statuses and codes are those of
//! `contract/errors.rs`.

mod fields;
mod response;
mod sources;

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use crate::billable::{Code, Field, FieldError};
use crate::contract::errors::{self, Error};
use crate::formats::ReadError;
use crate::formats::decisions::ItemError;
use crate::formats::status::ResponseStatus;
use crate::store::StoreError;
use crate::token::Scope;

/// An error of the API.
#[derive(Clone, Debug)]
pub(super) enum ApiError {
    /// The request violates HTTP, so its connection is closed.
    BadRequest(&'static str),
    /// The body or the query could not be parsed.
    Malformed(String),
    /// Fields violate rules, including the token's account limit. All of them are listed, with the
    /// index of the item in a batch.
    Invalid(Vec<(Option<usize>, FieldError)>),
    /// A parameter or a member of a body violates a rule. The name is in PascalCase.
    Parameter {
        name: &'static str,
        code: Code,
        message: String,
    },
    /// Items of a request violate rules. All of them are listed, and nothing was done.
    Items(Vec<ItemError>),
    /// The route has no such parameter, or there is no such format; the message names the nearest.
    UnknownParameter(String),
    /// This service did not issue the cursor for this request.
    InvalidCursor,
    /// The cursor's log, or the part of it that the cursor points to, no longer exists.
    CursorGone,
    /// An HTTP/1.0 client could not tell a complete export from a truncated one.
    OldVersion,
    /// The operation requires a JSON body.
    NotJson,
    /// The token is limited to other accounts.
    OtherAccount,
    /// Only a token without an account limit may do this.
    Limited,
    /// The session is already billed to an account and customer that differ in these fields.
    AttributionConflict(Vec<Field>),
    /// The result is too large for one response.
    TooMuch(&'static str),
    /// Nothing in the request names the call, or it is none that the sender's profile reads.
    NothingRecognised(String),
    /// The `Idempotency-Key` header is invalid or repeated.
    BadKey,
    /// The token is missing, unknown, expired or revoked.
    Unauthorized,
    /// The secret of a hook is unknown, expired or revoked.
    UnknownHook,
    /// The token lacks a scope.
    MissingScope(Scope),
    /// The token's reports are read with a profile, which this route does not do.
    SenderRoute,
    /// A browser sent the request from another site.
    CrossSite,
    /// The path or the resource does not exist, or the token may not see it.
    NotFound,
    /// The documentation has no such page; the message lists the available ones.
    NotDescribed(String),
    /// The path does not support the method.
    MethodNotAllowed,
    /// The body did not arrive in time.
    BodyTimeout,
    /// The body is larger than the limit, in bytes.
    TooLarge(usize),
    /// The batch has too many items.
    TooManyItems,
    /// The body's format is not supported.
    UnsupportedMediaType,
    /// The body's compression is not supported.
    UnsupportedCoding,
    /// The keys of these batch items, or of the report, were already used. Each has the fields that
    /// differ from the stored ones, or none if the token may not see what is stored.
    IdempotencyConflict(Vec<(Option<usize>, Vec<Field>)>),
    /// A batch failed; this item is the first that was not stored.
    AtItem(usize, Box<Self>),
    /// The server is overloaded.
    Overloaded,
    /// The token exceeded its request rate; the next request is allowed after this time.
    TooManyRequests(Duration),
    /// The store is unavailable or did not confirm in time.
    StoreUnavailable,
    /// None of the log's partitions, of which there are this many, can be written.
    NoWritablePartition(usize),
    /// The store failed. The reason is logged and not shown to the client.
    Store(Arc<StoreError>),
    /// The server's clock is implausible, so nothing was stored.
    ClockImplausible,
    /// The server is stopping and accepts no new work.
    Stopping,
    /// The request took too long.
    Timeout,
    /// The server is at fault. Its log has the cause.
    Internal,
}

impl ApiError {
    #[expect(clippy::too_many_lines, reason = "a table with one row per error")]
    fn parts(&self) -> (Error, String) {
        let (error, message) = match self {
            Self::BadRequest(reason) => (errors::BAD_REQUEST, *reason),
            Self::Malformed(reason) => (errors::MALFORMED, &**reason),
            Self::Invalid(errors) => return invalid(errors),
            Self::Parameter { code, message, .. } => {
                return (Error::of_field(*code), message.clone());
            }
            Self::Items(errors) => {
                let first = errors.first().expect("an item that violates a rule");
                return (Error::of_field(first.code), first.message.clone());
            }
            Self::UnknownParameter(message) => (errors::UNKNOWN_PARAMETER, &**message),
            Self::InvalidCursor => (
                errors::INVALID_CURSOR,
                "the cursor must be one that this service issued for the same request",
            ),
            Self::CursorGone => (
                errors::CURSOR_GONE,
                "the cursor's position in the log no longer exists, because a backup was restored; start again without a cursor",
            ),
            Self::OldVersion => (
                errors::HTTP_VERSION_NOT_SUPPORTED,
                "exports require HTTP/1.1, so that a truncated response can be detected (behind nginx: proxy_http_version 1.1)",
            ),
            Self::NotJson => (
                errors::UNSUPPORTED_MEDIA_TYPE,
                "the body must be JSON in UTF-8",
            ),
            Self::OtherAccount => (errors::FORBIDDEN, "the token is limited to other accounts"),
            Self::Limited => (
                errors::FORBIDDEN,
                "the token is limited to certain accounts; this requires a token without that limit",
            ),
            Self::AttributionConflict(fields) => {
                let names: Vec<_> = fields.iter().map(|field| field.camel()).collect();
                let message = format!(
                    "the session is already billed to another {}, which cannot be changed",
                    names.join(", ")
                );
                return (errors::ATTRIBUTION_CONFLICT, message);
            }
            Self::TooMuch(what) => (errors::TOO_MUCH, *what),
            Self::NothingRecognised(message) => (errors::NOTHING_RECOGNISED, &**message),
            Self::BadKey => (
                errors::INVALID_IDEMPOTENCY_KEY,
                "Idempotency-Key must be given only once and have 1 to 255 visible ASCII characters",
            ),
            Self::Unauthorized => (
                errors::UNAUTHORIZED,
                "a valid token is required, as Authorization: Bearer TOKEN or as the password of Basic authentication",
            ),
            Self::UnknownHook => (
                errors::UNAUTHORIZED,
                "this hook does not exist, has expired or was revoked",
            ),
            Self::MissingScope(scope) => {
                let message = format!("the token does not have the scope {}", scope.as_str());
                return (errors::FORBIDDEN, message);
            }
            Self::SenderRoute => (
                errors::FORBIDDEN,
                "the token has a sender, whose reports must be sent to /billables",
            ),
            Self::CrossSite => (
                errors::FORBIDDEN,
                "browsers may send this request only from the service's own pages",
            ),
            Self::NotFound => (errors::NOT_FOUND, "not found"),
            Self::NotDescribed(message) => (errors::NOT_FOUND, &**message),
            Self::MethodNotAllowed => (
                errors::METHOD_NOT_ALLOWED,
                "this path does not support the method; the Allow header lists those that it supports",
            ),
            Self::BodyTimeout => (errors::REQUEST_TIMEOUT, "the body did not arrive in time"),
            Self::TooLarge(limit) => {
                let message = format!("the body must not be larger than {limit} bytes");
                return (errors::PAYLOAD_TOO_LARGE, message);
            }
            Self::TooManyItems => (
                errors::PAYLOAD_TOO_LARGE,
                &*ReadError::TooManyItems.to_string(),
            ),
            Self::UnsupportedMediaType => (
                errors::UNSUPPORTED_MEDIA_TYPE,
                "the body must be JSON, XML, JSV, CSV, JSON lines or a form, with a matching Content-Type; its charset, if it names one, must be UTF-8, UTF-16, Windows-1252 or ISO-8859-1",
            ),
            Self::UnsupportedCoding => (
                errors::UNSUPPORTED_MEDIA_TYPE,
                "Content-Encoding must be gzip or deflate and given only once",
            ),
            Self::AtItem(_, error) => return error.parts(),
            Self::IdempotencyConflict(conflicts) => {
                let (index, fields) = conflicts.first().expect("at least one");
                let names: Vec<_> = fields.iter().map(|field| field.camel()).collect();
                let what = match &*names {
                    [] => "content".to_owned(),
                    names => names.join(", "),
                };
                let message = format!(
                    "{}this Idempotency-Key, or this report's id, was already used with another {what}",
                    at(*index)
                );
                return (errors::IDEMPOTENCY_CONFLICT, message);
            }
            Self::Overloaded => (errors::OVERLOADED, "the server is overloaded; retry later"),
            Self::TooManyRequests(_) => (
                errors::TOO_MANY_REQUESTS,
                "the token exceeded its request rate; retry later",
            ),
            Self::Store(error) if error.is_transient() => return Self::StoreUnavailable.parts(),
            Self::Store(_) => return Self::Internal.parts(),
            Self::StoreUnavailable => (
                errors::STORE_UNAVAILABLE,
                "the database is unavailable; a write may or may not have been stored; retry later",
            ),
            Self::NoWritablePartition(partitions) => {
                let message = format!(
                    "none of the log's {partitions} partition(s) can be written; the server's log has the cause; retry later"
                );
                return (errors::STORE_UNAVAILABLE, message);
            }
            Self::ClockImplausible => (
                errors::CLOCK_IMPLAUSIBLE,
                "the server's clock is wrong, so nothing was stored; its operator must set it; retry later",
            ),
            Self::Stopping => (
                errors::STOPPING,
                "the server is stopping; use another server or retry later",
            ),
            Self::Timeout => (
                errors::TIMEOUT,
                "the request timed out; a write may or may not have been stored; retry later",
            ),
            Self::Internal => (
                errors::INTERNAL_SERVER_ERROR,
                "the server failed; its log has the cause under this response's X-Request-Id",
            ),
        };
        (error, message.to_owned())
    }

    /// An error of a parameter. The name is in PascalCase.
    pub(super) fn parameter(name: &'static str, rule: impl AsRef<str>) -> Self {
        Self::of_parameter(name, Code::Predicate, rule.as_ref())
    }

    fn of_parameter(name: &'static str, code: Code, rule: &str) -> Self {
        let camel = name[..1].to_ascii_lowercase() + &name[1..];
        Self::Parameter {
            name,
            code,
            message: format!("{camel} {rule}"),
        }
    }

    /// An error of a required parameter that is missing. The name is in PascalCase.
    pub(super) fn missing(name: &'static str) -> Self {
        let code = Code::NotEmpty;
        Self::of_parameter(name, code, "is required")
    }

    /// The body of this error.
    pub(super) fn response_status(&self) -> ResponseStatus {
        let (Error { code, .. }, message) = self.parts();
        let errors = self.errors();
        let index = match self {
            Self::AtItem(index, _) => Some(*index),
            Self::Invalid(errors) => standing(errors).and_then(|(index, _)| *index),
            Self::IdempotencyConflict(conflicts) => conflicts.first().and_then(|(index, _)| *index),
            _ => errors.first().and_then(|error| error.index),
        };
        ResponseStatus {
            error_code: code,
            message,
            errors,
            index,
        }
    }

    /// Its stable code, for the log.
    pub(super) fn code(&self) -> &'static str {
        self.parts().0.code
    }

    /// The cause to log, if the store failed.
    pub(super) fn cause(&self) -> Option<&StoreError> {
        match self {
            Self::Store(error) => Some(error),
            Self::AtItem(_, error) => error.cause(),
            _ => None,
        }
    }

    /// The error for a bare status that the framework returned.
    pub(super) fn from_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::NotFound,
            StatusCode::METHOD_NOT_ALLOWED => Self::MethodNotAllowed,
            _ => Self::Internal,
        }
    }
}

/// The code and message of the error that stands for all. For a single report with several errors
/// the message lists all of them. A batch may have thousands, so its message is of one error only.
fn invalid(errors: &[(Option<usize>, FieldError)]) -> (Error, String) {
    let Some((index, first)) = standing(errors) else {
        return (errors::NOT_EMPTY, String::new());
    };
    let message = match (index, errors) {
        (None, [_, _, ..]) => {
            let lines = errors
                .iter()
                .map(|(_, error)| format!("\n  - {} [{}]", error.message, error.field.pascal()));
            first.message.clone() + &lines.collect::<String>()
        }
        _ => at(*index) + &first.message,
    };
    (Error::of_field(first.code), message)
}

/// Returns the first error that another token would not fix: one that does not concern the account
/// limit. If there is none, returns the first error.
fn standing(errors: &[(Option<usize>, FieldError)]) -> Option<&(Option<usize>, FieldError)> {
    errors
        .iter()
        .find(|(_, error)| error.code != Code::Forbidden)
        .or(errors.first())
}

/// The prefix of a message that names the item it is about.
fn at(index: Option<usize>) -> String {
    index.map_or_else(String::new, |index| format!("item {index}: "))
}
