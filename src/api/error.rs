//! Every error that a client can get, and the one place where errors become statuses, codes and
//! sentences.

mod sources;

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT_ENCODING, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};

use crate::billable::{Field, FieldError};
use crate::token::Scope;
use crate::wire::ReadError;
use crate::wire::status::{ResponseError, ResponseStatus};

/// The code of a refused account, whose status is 403.
pub(super) const FORBIDDEN: &str = "Forbidden";

/// An error as the API knows it.
#[derive(Clone, Debug)]
pub(super) enum ApiError {
    /// The body or the query cannot be read.
    Malformed(String),
    /// Fields break rules, those of the token's accounts included; all of them are listed, with
    /// the place of the item in a batch.
    Invalid(Vec<(Option<usize>, FieldError)>),
    /// A parameter, or a member of a body, breaks a rule. Its name is as .NET writes it.
    Parameter {
        /// Its name.
        name: &'static str,
        /// A stable code.
        code: &'static str,
        /// A sentence.
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
    /// The server takes nothing new.
    Stopping,
    /// The request took too long.
    Timeout,
    /// A fault of ours. The log has the cause.
    Internal,
}

impl ApiError {
    #[expect(clippy::too_many_lines, reason = "a table, a row for each error")]
    fn parts(&self) -> (StatusCode, &'static str, String) {
        let (status, code, message) = match self {
            Self::Malformed(reason) => {
                (StatusCode::BAD_REQUEST, "SerializationException", &**reason)
            }
            Self::Invalid(errors) => return invalid(errors),
            Self::Parameter { code, message, .. } => {
                return (StatusCode::BAD_REQUEST, code, message.clone());
            }
            Self::InvalidCursor => (
                StatusCode::BAD_REQUEST,
                "InvalidCursor",
                "the cursor must be one that this service gave for the same request",
            ),
            Self::CursorGone => (
                StatusCode::GONE,
                "CursorGone",
                "the log that the cursor belongs to is gone, a backup was restored; begin anew",
            ),
            Self::OldVersion => (
                StatusCode::HTTP_VERSION_NOT_SUPPORTED,
                "HttpVersionNotSupported",
                "an export needs HTTP/1.1, where one that is cut is seen to be (behind nginx: proxy_http_version 1.1)",
            ),
            Self::NotJson => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "UnsupportedMediaType",
                "the body must be JSON here, in UTF-8",
            ),
            Self::OtherAccount => (
                StatusCode::FORBIDDEN,
                FORBIDDEN,
                "the token is limited to other accounts",
            ),
            Self::Limited => (
                StatusCode::FORBIDDEN,
                FORBIDDEN,
                "the token is limited to accounts; this takes one that is not",
            ),
            Self::AttributionConflict(fields) => {
                let names: Vec<_> = fields.iter().map(|field| field.camel()).collect();
                let message = format!(
                    "the session is billed to another {}; that was decided once",
                    names.join(", ")
                );
                return (StatusCode::CONFLICT, "AttributionConflict", message);
            }
            Self::TooMuch(what) => (StatusCode::UNPROCESSABLE_ENTITY, "TooMuch", *what),
            Self::BadKey => (
                StatusCode::BAD_REQUEST,
                "InvalidIdempotencyKey",
                "Idempotency-Key must be given once and have 1 to 255 visible ASCII characters",
            ),
            Self::Unauthorized => (
                StatusCode::UNAUTHORIZED,
                "Unauthorized",
                "a valid token is required, as Authorization: Bearer TOKEN or as the password of Basic",
            ),
            Self::MissingScope(scope) => {
                let message = format!("the token does not have the scope {}", scope.as_str());
                return (StatusCode::FORBIDDEN, FORBIDDEN, message);
            }
            Self::CrossSite => (
                StatusCode::FORBIDDEN,
                FORBIDDEN,
                "browsers may send this from the service's own pages only",
            ),
            Self::NotFound => (StatusCode::NOT_FOUND, "NotFound", "there is nothing here"),
            Self::NotDescribed(message) => (StatusCode::NOT_FOUND, "NotFound", &**message),
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "MethodNotAllowed",
                "this path has other methods, see the Allow header",
            ),
            Self::BodyTimeout => (
                StatusCode::REQUEST_TIMEOUT,
                "RequestTimeout",
                "the body did not arrive in time",
            ),
            Self::TooLarge(limit) => {
                let message = format!("the body must have at most {limit} bytes");
                return (StatusCode::PAYLOAD_TOO_LARGE, "PayloadTooLarge", message);
            }
            Self::TooManyItems => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "PayloadTooLarge",
                &*ReadError::TooManyItems.to_string(),
            ),
            Self::UnsupportedMediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "UnsupportedMediaType",
                "the body must be JSON, XML, JSV, CSV, JSON lines or a form, as its Content-Type says, in UTF-8",
            ),
            Self::UnsupportedCoding => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "UnsupportedMediaType",
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
                return (
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "IdempotencyConflict",
                    message,
                );
            }
            Self::Overloaded => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Overloaded",
                "too much is under way, send it again later",
            ),
            Self::TooManyRequests(_) => (
                StatusCode::TOO_MANY_REQUESTS,
                "TooManyRequests",
                "the token has sent as many requests as it may, send it again later",
            ),
            Self::StoreUnavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "StoreUnavailable",
                "the store did not confirm; nothing is certain, send it again later",
            ),
            Self::Stopping => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Stopping",
                "the server is stopping, ask another one or later",
            ),
            Self::Timeout => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Timeout",
                "the request took too long; nothing is certain, send it again later",
            ),
            Self::Internal => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "InternalServerError",
                "the server failed; its log has the reason under this answer's X-Request-Id",
            ),
        };
        (status, code, message.to_owned())
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
                .map(|(index, error)| of(index, error.code, &error.field, error.message.clone()))
                .collect(),
            Self::IdempotencyConflict(conflicts) => {
                let differs =
                    |field: &Field| format!("{} differs from the stored one", field.camel());
                conflicts
                    .iter()
                    .map(|(index, field)| of(index, "IdempotencyConflict", field, differs(field)))
                    .collect()
            }
            Self::AttributionConflict(fields) => {
                let differs =
                    |field: &Field| format!("{} differs from the decided one", field.camel());
                fields
                    .iter()
                    .map(|field| of(&None, "AttributionConflict", field, differs(field)))
                    .collect()
            }
            Self::Parameter {
                name,
                code,
                message,
            } => vec![ResponseError {
                error_code: code,
                field_name: name,
                message: message.clone(),
                index: None,
            }],
            _ => Vec::new(),
        }
    }

    /// An error of a parameter, whose name is as .NET writes it.
    pub(super) fn parameter(name: &'static str, rule: impl AsRef<str>) -> Self {
        let camel = name[..1].to_ascii_lowercase() + &name[1..];
        Self::Parameter {
            name,
            code: "Predicate",
            message: format!("{camel} {}", rule.as_ref()),
        }
    }

    /// The body of this error.
    pub(super) fn response_status(&self) -> ResponseStatus {
        let (_, error_code, message) = self.parts();
        let errors = self.errors();
        let index = match self {
            Self::AtItem(index, _) => Some(*index),
            _ => errors.first().and_then(|error| error.index),
        };
        ResponseStatus {
            error_code,
            message,
            errors,
            index,
        }
    }

    /// Its stable code, for the log.
    pub(super) fn code(&self) -> &'static str {
        self.parts().1
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
fn invalid(errors: &[(Option<usize>, FieldError)]) -> (StatusCode, &'static str, String) {
    let is_forbidden = errors.iter().all(|(_, error)| error.code == FORBIDDEN);
    let status = match is_forbidden && !errors.is_empty() {
        true => StatusCode::FORBIDDEN,
        false => StatusCode::BAD_REQUEST,
    };
    let (code, message) = match errors {
        [] => ("Invalid", String::new()),
        [(None, only)] => (only.code, only.message.clone()),
        [(None, first), ..] => {
            let lines = errors
                .iter()
                .map(|(_, error)| format!("\n  - {} [{}]", error.message, error.field.pascal()));
            (
                first.code,
                first.message.clone() + &lines.collect::<String>(),
            )
        }
        [(index, first), ..] => (first.code, at(*index) + &first.message),
    };
    (status, code, message)
}

/// Which item a sentence is about.
fn at(index: Option<usize>) -> String {
    index.map_or_else(String::new, |index| format!("item {index}: "))
}

/// The status and headers; the body is written where the format is known, from the error itself,
/// which travels in the extensions.
impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.parts().0;
        let mut response = status.into_response();
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            headers.append(
                WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"billables\""),
            );
            headers.append(
                WWW_AUTHENTICATE,
                HeaderValue::from_static("Basic realm=\"billables\", charset=\"UTF-8\""),
            );
        }
        if let Self::UnsupportedCoding = self {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip, deflate"));
        }
        if let Self::TooManyRequests(wait) = self {
            // Whole seconds, which are enough.
            headers.insert(RETRY_AFTER, (wait.as_secs() + 1).into());
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response.extensions_mut().insert(self);
        response
    }
}
