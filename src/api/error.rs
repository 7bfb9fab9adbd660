//! Every error that a client can get, with its sentence. Its status and code are those of
//! `contract/errors.rs`.

mod response;
mod sources;

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use crate::billable::{Code, Field, FieldError};
use crate::contract::errors::{self, Error};
use crate::formats::ReadError;
use crate::formats::status::{ResponseError, ResponseStatus};
use crate::store::StoreError;
use crate::token::Scope;

/// An error as the API knows it.
#[derive(Clone, Debug)]
pub(super) enum ApiError {
    /// The body or the query cannot be read.
    Malformed(String),
    /// Fields break rules, those of the token's accounts included; all of them are listed, with
    /// the index of the item in a batch.
    Invalid(Vec<(Option<usize>, FieldError)>),
    /// A parameter, or a member of a body, breaks a rule. Its name is as .NET writes it.
    Parameter {
        name: &'static str,
        code: Code,
        message: String,
    },
    /// The cursor is not one that this service gave for this.
    InvalidCursor,
    /// The cursor's log, or its part of the log, is gone.
    CursorGone,
    /// HTTP/1.0 cannot tell a whole export from a cut one.
    OldVersion,
    /// The body must be JSON here.
    NotJson,
    /// The token is limited to other accounts.
    OtherAccount,
    /// Only a token without account limit may do this.
    Limited,
    /// The session is billed to another pair, which differs in these fields.
    AttributionConflict(Vec<Field>),
    /// What is asked for comes to more than one answer holds.
    TooMuch(&'static str),
    /// The `Idempotency-Key` header is unusable.
    BadKey,
    /// No token, or one that is unknown, expired or revoked.
    Unauthorized,
    /// The token lacks a scope.
    MissingScope(Scope),
    /// A browser sent this from another site.
    CrossSite,
    /// No such path, or nothing there that the token may see.
    NotFound,
    /// The documentation has no such page; the message says which there are.
    NotDescribed(String),
    /// The path has other methods.
    MethodNotAllowed,
    /// The body did not arrive in time.
    BodyTimeout,
    /// The body is larger than the limit, in bytes.
    TooLarge(usize),
    /// The batch has too many items.
    TooManyItems,
    /// The body is in no format of ours.
    UnsupportedMediaType,
    /// The body is compressed in a way that is not understood.
    UnsupportedCoding,
    /// The key was used before, with other values in these fields, of these items in a batch.
    IdempotencyConflict(Vec<(Option<usize>, Field)>),
    /// Storing failed from this item of a batch on.
    AtItem(usize, Box<Self>),
    /// Too much is under way.
    Overloaded,
    /// The token has sent as many requests as it may; the next one may come then.
    TooManyRequests(Duration),
    /// The store is away or did not confirm in time.
    StoreUnavailable,
    /// The store failed for this reason, which is for the log.
    Store(Arc<StoreError>),
    /// The server takes nothing new.
    Stopping,
    /// The request took too long.
    Timeout,
    /// A fault of ours. The log has the cause.
    Internal,
}

impl ApiError {
    #[expect(clippy::too_many_lines, reason = "a table, a row for each error")]
    fn parts(&self) -> (Error, String) {
        let (error, message) = match self {
            Self::Malformed(reason) => (errors::MALFORMED, &**reason),
            Self::Invalid(errors) => return invalid(errors),
            Self::Parameter { code, message, .. } => {
                return (Error::of_field(*code), message.clone());
            }
            Self::InvalidCursor => (
                errors::INVALID_CURSOR,
                "the cursor must be one that this service gave for the same request",
            ),
            Self::CursorGone => (
                errors::CURSOR_GONE,
                "the log that the cursor belongs to is gone, a backup was restored; begin anew",
            ),
            Self::OldVersion => (
                errors::HTTP_VERSION_NOT_SUPPORTED,
                "an export needs HTTP/1.1, where one that is cut is seen to be (behind nginx: proxy_http_version 1.1)",
            ),
            Self::NotJson => (
                errors::UNSUPPORTED_MEDIA_TYPE,
                "the body must be JSON here, in UTF-8",
            ),
            Self::OtherAccount => (errors::FORBIDDEN, "the token is limited to other accounts"),
            Self::Limited => (
                errors::FORBIDDEN,
                "the token is limited to accounts; this takes one that is not",
            ),
            Self::AttributionConflict(fields) => {
                let names: Vec<_> = fields.iter().map(|field| field.camel()).collect();
                let message = format!(
                    "the session is billed to another {}; that was decided once",
                    names.join(", ")
                );
                return (errors::ATTRIBUTION_CONFLICT, message);
            }
            Self::TooMuch(what) => (errors::TOO_MUCH, *what),
            Self::BadKey => (
                errors::INVALID_IDEMPOTENCY_KEY,
                "Idempotency-Key must be given once and have 1 to 255 visible ASCII characters",
            ),
            Self::Unauthorized => (
                errors::UNAUTHORIZED,
                "a valid token is required, as Authorization: Bearer TOKEN or as the password of Basic",
            ),
            Self::MissingScope(scope) => {
                let message = format!("the token does not have the scope {}", scope.as_str());
                return (errors::FORBIDDEN, message);
            }
            Self::CrossSite => (
                errors::FORBIDDEN,
                "browsers may send this from the service's own pages only",
            ),
            Self::NotFound => (errors::NOT_FOUND, "there is nothing here"),
            Self::NotDescribed(message) => (errors::NOT_FOUND, &**message),
            Self::MethodNotAllowed => (
                errors::METHOD_NOT_ALLOWED,
                "this path has other methods, see the Allow header",
            ),
            Self::BodyTimeout => (errors::REQUEST_TIMEOUT, "the body did not arrive in time"),
            Self::TooLarge(limit) => {
                let message = format!("the body must have at most {limit} bytes");
                return (errors::PAYLOAD_TOO_LARGE, message);
            }
            Self::TooManyItems => (
                errors::PAYLOAD_TOO_LARGE,
                &*ReadError::TooManyItems.to_string(),
            ),
            Self::UnsupportedMediaType => (
                errors::UNSUPPORTED_MEDIA_TYPE,
                "the body must be JSON, XML, JSV, CSV, JSON lines or a form, as its Content-Type says, in UTF-8",
            ),
            Self::UnsupportedCoding => (
                errors::UNSUPPORTED_MEDIA_TYPE,
                "Content-Encoding must be gzip or deflate, once",
            ),
            Self::AtItem(_, error) => return error.parts(),
            Self::IdempotencyConflict(conflicts) => {
                let first = conflicts.first().and_then(|(index, _)| *index);
                let fields = conflicts.iter().take_while(|(index, _)| *index == first);
                let names: Vec<_> = fields.map(|(_, field)| field.camel()).collect();
                let message = format!(
                    "{}this Idempotency-Key was used with another {}",
                    at(first),
                    names.join(", ")
                );
                return (errors::IDEMPOTENCY_CONFLICT, message);
            }
            Self::Overloaded => (
                errors::OVERLOADED,
                "too much is under way, send it again later",
            ),
            Self::TooManyRequests(_) => (
                errors::TOO_MANY_REQUESTS,
                "the token has sent as many requests as it may, send it again later",
            ),
            Self::Store(error) if error.is_transient() => return Self::StoreUnavailable.parts(),
            Self::Store(_) => return Self::Internal.parts(),
            Self::StoreUnavailable => (
                errors::STORE_UNAVAILABLE,
                "the store did not confirm; nothing is certain, send it again later",
            ),
            Self::Stopping => (
                errors::STOPPING,
                "the server is stopping, ask another one or later",
            ),
            Self::Timeout => (
                errors::TIMEOUT,
                "the request took too long; nothing is certain, send it again later",
            ),
            Self::Internal => (
                errors::INTERNAL_SERVER_ERROR,
                "the server failed; its log has the reason under this answer's X-Request-Id",
            ),
        };
        (error, message.to_owned())
    }

    /// What is wrong with which field.
    fn errors(&self) -> Vec<ResponseError> {
        let of = |index: &Option<usize>, error_code, field: &Field, message| ResponseError {
            error_code,
            field_name: field.pascal(),
            message,
            index: *index,
        };
        match self {
            Self::Invalid(errors) => errors
                .iter()
                .map(|(index, error)| {
                    of(
                        index,
                        error.code.as_str(),
                        &error.field,
                        error.message.clone(),
                    )
                })
                .collect(),
            Self::IdempotencyConflict(conflicts) => {
                let differs =
                    |field: &Field| format!("{} differs from the stored one", field.camel());
                conflicts
                    .iter()
                    .map(|(index, field)| {
                        of(
                            index,
                            errors::IDEMPOTENCY_CONFLICT.code,
                            field,
                            differs(field),
                        )
                    })
                    .collect()
            }
            Self::AttributionConflict(fields) => {
                let differs =
                    |field: &Field| format!("{} differs from the decided one", field.camel());
                fields
                    .iter()
                    .map(|field| {
                        of(
                            &None,
                            errors::ATTRIBUTION_CONFLICT.code,
                            field,
                            differs(field),
                        )
                    })
                    .collect()
            }
            Self::Parameter {
                name,
                code,
                message,
            } => vec![ResponseError {
                error_code: code.as_str(),
                field_name: name,
                message: message.clone(),
                index: None,
            }],
            _ => Vec::new(),
        }
    }

    /// An error of a parameter, whose name is as .NET writes it.
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

    /// An error of a parameter that has to be given and is not. Its name is as .NET writes it.
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

    /// What the log should say of it, where it is a fault of the store.
    pub(super) fn cause(&self) -> Option<&StoreError> {
        match self {
            Self::Store(error) => Some(error),
            Self::AtItem(_, error) => error.cause(),
            _ => None,
        }
    }

    /// The error that stands for a bare status of the framework.
    pub(super) fn from_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::NotFound,
            StatusCode::METHOD_NOT_ALLOWED => Self::MethodNotAllowed,
            _ => Self::Internal,
        }
    }
}

/// One failure's code and sentence stand for it; of several, the first one's, and all sentences.
/// Those of a batch may be thousands, which are in the list of errors and not here again.
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

/// The failure that stands for all: the first one, unless some are about accounts and some are
/// not; then sending it with another token would be no use.
fn standing(errors: &[(Option<usize>, FieldError)]) -> Option<&(Option<usize>, FieldError)> {
    errors
        .iter()
        .find(|(_, error)| error.code != Code::Forbidden)
        .or(errors.first())
}

/// Which item a sentence is about.
fn at(index: Option<usize>) -> String {
    index.map_or_else(String::new, |index| format!("item {index}: "))
}
