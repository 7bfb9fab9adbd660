//! Conversion of an error into a response with its status and headers.

use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT_ENCODING, CONNECTION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};

use crate::api::ApiError;

/// Sets the status and headers. The response's extensions carry the error, from which
/// `layers/context.rs` writes the body.
impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.parts().0.status).expect("a status");
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
        if let Self::BadRequest(_) = self {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if let Self::UnsupportedCoding = self {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip, deflate"));
        }
        if let Self::TooManyRequests(wait) = self {
            // The wait in whole seconds plus one, so that the client never retries too early.
            headers.insert(RETRY_AFTER, (wait.as_secs() + 1).into());
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response.extensions_mut().insert(self);
        response
    }
}
