//! What surrounds every request: its id, its canonical path, the format of its answer, its
//! deadline, its log line; and the body of every error.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use tokio::time::{Instant, timeout_at};
use tracing::{Instrument, info, info_span};
use uuid::Uuid;

use super::path::{self, Convention};
use super::{ApiError, App};
use crate::wire::Format;
use crate::wire::negotiation::{PROBLEM, Wishes, negotiate, wants_problem};
use crate::wire::parameters::Parameters;
use crate::wire::record::Record;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// When the first byte of a request came; the server puts it into the request's extensions.
#[derive(Clone, Copy, Debug)]
pub struct FirstByte(pub Instant);

/// The format of the answer, negotiated once for results and errors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    /// The format of results, and of errors.
    pub(super) format: Format,
    /// Whether errors are problem details instead.
    is_problem: bool,
}

impl Answer {
    const DEFAULT: Self = Self {
        format: Format::Json,
        is_problem: false,
    };

    /// A record as a body.
    pub(super) fn record(self, record: Record<'_>) -> Response {
        self.text(record.write(self.format))
    }

    /// A body that was written in this format.
    pub(super) fn text(self, text: String) -> Response {
        ([(CONTENT_TYPE, self.format.content_type())], text).into_response()
    }

    /// An error as a body, with its media type.
    fn error(self, error: &ApiError, status: StatusCode) -> (&'static str, String) {
        let response_status = error.response_status();
        match self.is_problem {
            true => {
                let title = status.canonical_reason().unwrap_or_default();
                let body = response_status.write_problem(status.as_u16(), title);
                (PROBLEM, body)
            }
            false => (
                self.format.content_type(),
                response_status.write(self.format),
            ),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Answer {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.get().copied().unwrap_or(Self::DEFAULT))
    }
}

/// The outermost layer.
pub(super) async fn surround(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let first_byte = request
        .extensions()
        .get()
        .map_or(started, |FirstByte(at)| *at);
    let request_id = request_id(request.headers());
    let convention = canonicalise(request.uri_mut());
    let answer = negotiated(&request, convention);
    request.extensions_mut().insert(answer);
    request.extensions_mut().insert(convention);

    let span = info_span!(
        "request",
        request.id = request_id.to_str().unwrap_or_default()
    );
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let run = async {
        let deadline = first_byte + app.request_timeout;
        let response = timeout_at(deadline, next.run(request)).await;
        let mut response = dress(
            response.unwrap_or_else(|_| ApiError::Timeout.into_response()),
            answer,
            convention,
        );
        response
            .headers_mut()
            .insert(X_REQUEST_ID, request_id.clone());
        let code = response.extensions().get::<ApiError>().map(ApiError::code);
        info!(
            http.method = %format_args!("{:.20}", method.as_str()), http.path = %format_args!("{path:.200}"), http.status = response.status().as_u16(), error.code = code,
            duration_us = as_micros(started.elapsed()), "answered"
        );
        response
    };
    run.instrument(span).await
}

/// Gives an error its body and every answer its headers.
fn dress(response: Response, answer: Answer, convention: Convention) -> Response {
    let status = response.status();
    let is_bare_error = response.extensions().get::<ApiError>().is_none()
        && (status.is_client_error() || status.is_server_error());
    let mut response = if is_bare_error {
        let (parts, _) = response.into_parts();
        let mut bare = ApiError::from_status(status).into_response();
        bare.headers_mut().extend(
            parts
                .headers
                .into_iter()
                .filter(|(name, _)| name.as_ref() == Some(&http::header::ALLOW)),
        );
        bare
    } else {
        response
    };
    if let Some(error) = response.extensions().get::<ApiError>() {
        let (content_type, body) = answer.error(error, status);
        *response.body_mut() = Body::from(body);
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        response.headers_mut().remove(http::header::CONTENT_LENGTH);
    }
    let headers = response.headers_mut();
    if answer.format == Format::Csv {
        let file = match convention {
            Convention::Operation { .. } => "attachment; filename=\"NewBillable.csv\"",
            Convention::Resource { .. } => "attachment; filename=\"billables.csv\"",
        };
        headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static(file));
    }
    headers.insert(VARY, HeaderValue::from_static("Accept"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// The client's id if it is `[A-Za-z0-9._-]{1,64}`, else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    match headers.get(X_REQUEST_ID) {
        Some(id) if (1..=64).contains(&id.len()) && id.as_bytes().iter().all(allowed) => id.clone(),
        _ => HeaderValue::from_str(&Uuid::now_v7().to_string()).expect("a UUID is visible ASCII"),
    }
}

/// Rewrites the path to the route's spelling, and returns what it says besides.
fn canonicalise(uri: &mut Uri) -> Convention {
    let rewritten = || {
        let (path, convention) = path::canonical(uri.path())?;
        if path == uri.path() {
            return Some((uri.clone(), convention));
        }
        let query = uri.query().map(|query| format!("?{query}"));
        let uri = format!("{path}{}", query.unwrap_or_default());
        Some((uri.parse().ok()?, convention))
    };
    match rewritten() {
        Some((canonical, convention)) => {
            *uri = canonical;
            convention
        }
        None => Convention::Resource { suffix: None },
    }
}

/// Resources heed suffix, query, `Accept` and the body's type; operations their own format and
/// the query.
fn negotiated(request: &Request, convention: Convention) -> Answer {
    let headers = request.headers();
    let query = Parameters::parse(request.uri().query().unwrap_or_default()).unwrap_or_default();
    let accept: Vec<_> = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    let accept = accept.join(",");
    let content_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let format = query.get("format");
    let wishes = match convention {
        Convention::Operation { format: own, .. } => Wishes {
            format,
            request: Some(own),
            ..Wishes::default()
        },
        Convention::Resource { suffix } => Wishes {
            suffix,
            format,
            accept: Some(&accept),
            request: content_type.and_then(Format::from_content_type),
        },
    };
    Answer {
        format: negotiate(wishes),
        is_problem: wants_problem(wishes),
    }
}

fn as_micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
