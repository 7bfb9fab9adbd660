//! Every error that a client can get, and the one place where errors become statuses, codes and
//! sentences.

use axum::response::{IntoResponse, Response};
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};

use crate::billable::{Field, FieldError};
use crate::store::StoreError;
use crate::telemetry::chain;
use crate::token::Scope;
use crate::wire::Malformed;
use crate::wire::status::{ResponseError, ResponseStatus};
use crate::writer::WriteError;

/// An error as the API knows it.
#[derive(Clone, Debug)]
pub(super) enum ApiError {
    /// The body or the query cannot be read.
    Malformed(Malformed),
    /// Fields break rules; all of them are listed.
    Invalid(Vec<FieldError>),
    /// The `Idempotency-Key` header is unusable.
    BadKey,
    /// No token, or one that is unknown, expired or revoked.
    Unauthorized,
    /// The token lacks a scope.
    MissingScope(Scope),
    /// The token is limited to other accounts.
    ForeignAccount,
    /// A browser sent this from another site.
    CrossSite,
    /// No such path, or nothing there that the token may see.
    NotFound,
    /// The path has other methods.
    MethodNotAllowed,
    /// The body did not arrive in time.
    BodyTimeout,
    /// The body is larger than the limit, in bytes.
    TooLarge(usize),
    /// The body is in no format of ours.
    UnsupportedMediaType,
    /// The key was used before, with other values in these fields.
    IdempotencyConflict(Vec<Field>),
    /// Too much is under way.
    Overloaded,
    /// The store is away or did not confirm in time.
    StoreUnavailable,
    /// The request took too long.
    Timeout,
    /// A fault of ours. The log has the cause.
    Internal,
}

impl ApiError {
    fn parts(&self) -> (StatusCode, &'static str, String) {
        let (status, code, message) = match self {
            Self::Malformed(reason) => (
                StatusCode::BAD_REQUEST,
                "SerializationException",
                &*reason.0,
            ),
            Self::Invalid(errors) => return invalid(errors),
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
                return (StatusCode::FORBIDDEN, "Forbidden", message);
            }
            Self::ForeignAccount => (
                StatusCode::FORBIDDEN,
                "Forbidden",
                "the token is limited to other accounts",
            ),
            Self::CrossSite => (
                StatusCode::FORBIDDEN,
                "Forbidden",
                "browsers may send this from the service's own pages only",
            ),
            Self::NotFound => (StatusCode::NOT_FOUND, "NotFound", "there is nothing here"),
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
            Self::UnsupportedMediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "UnsupportedMediaType",
                "the body must be application/json or application/xml, in UTF-8, without Content-Encoding",
            ),
            Self::IdempotencyConflict(fields) => {
                let names: Vec<_> = fields.iter().map(|field| field.camel()).collect();
                let message = format!(
                    "this Idempotency-Key was used with another {}",
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
                "too much is under way; nothing was stored, send it again later",
            ),
            Self::StoreUnavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "StoreUnavailable",
                "the store did not confirm; nothing is certain, send it again later",
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
        let of = |error_code, field: Field, message| ResponseError {
            error_code,
            field_name: field.pascal(),
            message,
        };
        match self {
            Self::Invalid(errors) => errors
                .iter()
                .map(|error| of(error.code, error.field, error.message.clone()))
                .collect(),
            Self::ForeignAccount => vec![of("Forbidden", Field::AccountId, self.parts().2)],
            Self::IdempotencyConflict(fields) => {
                let differs =
                    |field: &Field| format!("{} differs from the stored one", field.camel());
                fields
                    .iter()
                    .map(|field| of("IdempotencyConflict", *field, differs(field)))
                    .collect()
            }
            _ => Vec::new(),
        }
    }

    /// The body of this error.
    pub(super) fn response_status(&self) -> ResponseStatus {
        let (_, error_code, message) = self.parts();
        ResponseStatus {
            error_code,
            message,
            errors: self.errors(),
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
fn invalid(errors: &[FieldError]) -> (StatusCode, &'static str, String) {
    let (code, message) = match errors {
        [] => ("Invalid", String::new()),
        [only] => (only.code, only.message.clone()),
        [first, ..] => {
            let lines = errors
                .iter()
                .map(|error| format!("\n  - {} [{}]", error.message, error.field.pascal()));
            (
                first.code,
                first.message.clone() + &lines.collect::<String>(),
            )
        }
    };
    (StatusCode::BAD_REQUEST, code, message)
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
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Malformed> for ApiError {
    fn from(reason: Malformed) -> Self {
        Self::Malformed(reason)
    }
}

impl From<Vec<FieldError>> for ApiError {
    fn from(errors: Vec<FieldError>) -> Self {
        Self::Invalid(errors)
    }
}

impl From<WriteError> for ApiError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Full => Self::Overloaded,
            WriteError::Unavailable => Self::StoreUnavailable,
            WriteError::Refused => Self::Internal,
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        tracing::error!(error = chain(&error), "a read failed");
        match error {
            StoreError::Unavailable(_) | StoreError::TimedOut => Self::StoreUnavailable,
            StoreError::Refused(_) | StoreError::NotStored(_) | StoreError::Corrupt { .. } => {
                Self::Internal
            }
        }
    }
}
