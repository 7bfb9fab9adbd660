//! What surrounds every request: its id, its canonical path, the format of its answer, its
//! deadline, its log line; and the body of every error.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, VARY, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use tokio::time::{Instant, timeout_at};
use tracing::{Instrument, info, info_span};
use uuid::Uuid;

use super::{ApiError, App, path};
use crate::wire::bind::Query;
use crate::wire::record::Record;
use crate::wire::{self, Format, Wishes};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// When the first byte of a request came; the server puts it into the request's extensions.
#[derive(Clone, Copy, Debug)]
pub struct FirstByte(pub Instant);

/// The format of the answer, negotiated once for results and errors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer(pub(super) Format);

impl Answer {
    /// A record as a body.
    pub(super) fn body(self, record: &Record<'_>) -> impl IntoResponse + use<> {
        (
            [(CONTENT_TYPE, self.0.content_type())],
            record.write(self.0),
        )
    }
}

impl<S: Sync> FromRequestParts<S> for Answer {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(parts
            .extensions
            .get()
            .copied()
            .unwrap_or(Self(Format::Json)))
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
    let suffix = canonicalise(request.uri_mut());
    let format = negotiated(&request, suffix);
    request.extensions_mut().insert(Answer(format));

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
            format,
        );
        response
            .headers_mut()
            .insert(X_REQUEST_ID, request_id.clone());
        let code = response
            .extensions()
            .get::<ApiError>()
            .map(|error| error.response_status().error_code);
        info!(
            http.method = %method, http.path = %format_args!("{path:.200}"), http.status = response.status().as_u16(), error.code = code,
            duration_us = as_micros(started.elapsed()), "answered"
        );
        response
    };
    run.instrument(span).await
}

/// Gives an error its body and every answer its headers.
fn dress(response: Response, format: Format) -> Response {
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
        let body = error.response_status().write(format);
        *response.body_mut() = Body::from(body);
        response.headers_mut().insert(
            CONTENT_TYPE,
            HeaderValue::from_static(format.content_type()),
        );
        response.headers_mut().remove(http::header::CONTENT_LENGTH);
    }
    let headers = response.headers_mut();
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

/// Rewrites the path to the route's spelling, and returns its format suffix.
fn canonicalise(uri: &mut Uri) -> Option<Format> {
    let (path, suffix) = path::canonical(uri.path())?;
    if path != uri.path() {
        let query = uri
            .query()
            .map(|query| format!("?{query}"))
            .unwrap_or_default();
        *uri = format!("{path}{query}").parse().ok()?;
    }
    suffix
}

fn negotiated(request: &Request, suffix: Option<Format>) -> Format {
    let query = Query::parse(request.uri().query().unwrap_or_default()).unwrap_or_default();
    let accept: Vec<_> = request
        .headers()
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    let accept = accept.join(",");
    let content_type = request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    wire::negotiate(Wishes {
        suffix,
        format: query.get("format"),
        accept: Some(&accept),
        request: content_type.and_then(Format::from_content_type),
    })
}

fn as_micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
