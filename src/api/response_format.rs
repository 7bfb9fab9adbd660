//! Negotiates the format of a response, once for results and errors, and writes bodies in it.

use axum::body::Body;
use axum::extract::{FromRequestParts, Request};
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCEPT, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName, REFERRER_POLICY,
};
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode};

use super::ApiError;
use super::path::RouteStyle;
use crate::contract::operations::HTML;
use crate::docs::pages;
use crate::formats::Format;
use crate::formats::negotiation::{PAGE, PROBLEM, Wishes, accepts, negotiate, wants_error_in};
use crate::formats::parameters::Parameters;
use crate::formats::record::Record;

/// The size of a frame of a long body, in bytes.
const FRAME: usize = 16 * 1024;

const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// Adds the headers of a page, which may load nothing from other sites and sends no `Referer`.
pub(in crate::api) fn add_page_headers(headers: &mut HeaderMap) {
    let policy = HeaderValue::from_static(pages::content_security_policy());
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(OPENER_POLICY, HeaderValue::from_static("same-origin"));
}

/// The format of a response.
#[derive(Clone, Copy, Debug)]
pub(in crate::api) struct ResponseFormat {
    /// The format of results, and of errors.
    pub(in crate::api) format: Format,
    /// Whether errors are written as problem details instead.
    is_problem: bool,
    /// Whether errors are written as pages instead, because a browser asked.
    is_page: bool,
}

impl ResponseFormat {
    const DEFAULT: Self = Self {
        format: Format::Json,
        is_problem: false,
        is_page: false,
    };

    /// Negotiates the format of the response to `request`. A resource route uses the suffix, the
    /// query, `Accept` and the body's type, in this order; a ServiceStack route uses the query,
    /// then its own format.
    pub(super) fn negotiate(request: &Request, style: RouteStyle) -> Self {
        let headers = request.headers();
        let query =
            Parameters::parse(request.uri().query().unwrap_or_default()).unwrap_or_default();
        let accept = headers
            .get_all(ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .collect::<Vec<_>>()
            .join(",");
        let content_type = headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let format = query.get("format");
        let wishes = match style {
            RouteStyle::Operation { format: own, .. } => Wishes {
                format,
                request: Some(own),
                ..Wishes::default()
            },
            RouteStyle::Resource { suffix } => Wishes {
                suffix,
                format,
                accept: Some(&accept),
                request: content_type.and_then(Format::from_content_type),
            },
        };
        let format = negotiate(wishes);
        // A browser would save an error as a file of rows.
        let is_page = wants_error_in(wishes, PAGE)
            || format.is_rows() && accepts(wishes.accept.unwrap_or_default(), PAGE);
        Self {
            format,
            is_problem: wants_error_in(wishes, PROBLEM),
            is_page: is_page && *request.method() == Method::GET,
        }
    }

    /// Writes a record as a body.
    pub(in crate::api) fn record(self, record: Record<'_>) -> Response {
        self.text(record.write(self.format))
    }

    /// Returns a response with a body that is already written in this format.
    pub(in crate::api) fn text(self, text: impl Into<Body>) -> Response {
        ([(CONTENT_TYPE, self.format.content_type())], text.into()).into_response()
    }

    /// Returns a response with a body of pieces, which are produced as the client reads. A body of
    /// one frame has a Content-Length.
    pub(in crate::api) fn pieces(
        self,
        pieces: impl Iterator<Item = String> + Send + 'static,
    ) -> Response {
        let mut pieces = pieces.fuse();
        let mut frames = std::iter::from_fn(move || {
            let mut frame = String::new();
            while frame.len() < FRAME {
                let Some(piece) = pieces.next() else { break };
                frame.push_str(&piece);
            }
            (!frame.is_empty()).then_some(frame)
        });
        let first = frames.next().unwrap_or_default();
        let Some(second) = frames.next() else {
            return self.text(first);
        };
        let frames = [first, second]
            .into_iter()
            .chain(frames)
            .map(Ok::<_, std::convert::Infallible>);
        self.text(Body::from_stream(futures_util::stream::iter(frames)))
    }

    /// Writes an error. Returns its media type and its body.
    pub(super) fn error(self, error: &ApiError, status: StatusCode) -> (&'static str, String) {
        let response_status = error.response_status();
        if self.is_page {
            let title = status.canonical_reason().unwrap_or_default();
            let page = pages::error(status.as_u16(), title, &response_status);
            (HTML, page)
        } else if self.is_problem {
            let title = status.canonical_reason().unwrap_or_default();
            let body = response_status.write_problem(status.as_u16(), title);
            (PROBLEM, body)
        } else {
            (
                self.format.content_type(),
                response_status.write(self.format),
            )
        }
    }
}

impl<S: Sync> FromRequestParts<S> for ResponseFormat {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.get().copied().unwrap_or(Self::DEFAULT))
    }
}
