//! Conversion of errors of the lower layers into API errors.

use std::sync::Arc;

use crate::api::ApiError;
use crate::billable::{Code, Field, FieldError};
use crate::formats::{BindError, ReadError};
use crate::issuing::IssueError;
use crate::limits::Overloaded;
use crate::limits::rate::RateExceeded;
use crate::senders::UrlError;
use crate::store::StoreError;
use crate::writer::WriteError;

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Malformed(reason) => Self::Malformed(reason),
            ReadError::TooManyItems => Self::TooManyItems,
            ReadError::UnsupportedType => Self::UnsupportedMediaType,
            ReadError::Unrecognised { message, index } => {
                let error = Self::NothingRecognised(message);
                match index {
                    Some(index) => Self::AtItem(index, Box::new(error)),
                    None => error,
                }
            }
        }
    }
}

impl From<BindError> for ApiError {
    fn from(error: BindError) -> Self {
        let of = |field: Field| {
            let message = format!("{} can't be a query parameter of a batch", field.camel());
            FieldError::new(field, Code::Predicate, message)
        };
        match error {
            BindError::Read(error) => error.into(),
            BindError::Fields(fields) => fields.into_iter().map(of).collect::<Vec<_>>().into(),
        }
    }
}

impl From<UrlError> for ApiError {
    fn from(error: UrlError) -> Self {
        match error {
            UrlError::Read(error) => error.into(),
            UrlError::Parameter(name, rule) => Self::parameter(name, rule),
            UrlError::Unknown(message) => Self::UnknownParameter(message),
            UrlError::Field(error) => vec![error].into(),
        }
    }
}

impl From<Vec<FieldError>> for ApiError {
    fn from(errors: Vec<FieldError>) -> Self {
        Self::Invalid(errors.into_iter().map(|error| (None, error)).collect())
    }
}

impl From<Overloaded> for ApiError {
    fn from(_: Overloaded) -> Self {
        Self::Overloaded
    }
}

impl From<RateExceeded> for ApiError {
    fn from(RateExceeded { retry_after }: RateExceeded) -> Self {
        Self::TooManyRequests(retry_after)
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
        match error {
            StoreError::TooMuch => Self::TooMuch(
                "the call has too many billables to list them; add accountId, or from and to",
            ),
            // They catch up by themselves.
            StoreError::FarBehind => Self::Overloaded,
            error => Self::Store(Arc::new(error)),
        }
    }
}

impl From<IssueError> for ApiError {
    fn from(error: IssueError) -> Self {
        let parameter = |name, code, message| Self::Parameter {
            name,
            code,
            message,
        };
        match error {
            IssueError::Invalid {
                name,
                code,
                message,
            } => parameter(name, code, message),
            IssueError::Conflict { name, message } => parameter(name, Code::Predicate, message),
            IssueError::NotFound(_) => Self::NotFound,
            IssueError::Randomness(error) => {
                tracing::error!(%error, "cannot get random bytes");
                Self::Internal
            }
            IssueError::Store(error) => error.into(),
        }
    }
}
