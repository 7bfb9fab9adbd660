//! The outermost layer. Gives each request its id, canonical path, response format, deadline and
//! log line, and writes the body of each error.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRAILER,
    TRANSFER_ENCODING, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Uri, Version};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, info_span};

use crate::api::layers::access_log::{AccessLog, Known};
use crate::api::layers::trace::TraceParent;
use crate::api::path::{self, Canonical, RouteStyle};
use crate::api::peer::peer;
use crate::api::query::Query;
use crate::api::response_format::{ResponseFormat, add_page_headers};
use crate::api::{ApiError, App};
use crate::billable::identity::random_id;
use crate::billable::{ClientName, Timestamp};
use crate::contract::operations::HTML;
use crate::contract::routes;
use crate::formats::parameters::Parameters;
use crate::limits::{Budget, Claim};
use crate::telemetry::chain;

/// The longest error that is not charged to the budget, in bytes.
const SHORT_ERROR: usize = 64 * 1024;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// When the first byte of a request arrived. The server puts it into the request's extensions.
#[derive(Clone, Copy, Debug)]
pub struct FirstByte(pub Instant);

/// Cuts the connection of a request. The server puts it into the request's extensions.
#[derive(Clone, Debug)]
pub struct Cut(pub CancellationToken);

/// The outermost layer: around every request, whatever its route.
pub(in crate::api) async fn middleware(
    State(app): State<App>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let first_byte = request
        .extensions()
        .get()
        .map_or(started, |FirstByte(at)| *at);
    let request_id = request_id(request.headers());
    let canonical = canonicalise(request.uri_mut());
    let unknown = ("other", RouteStyle::Resource { suffix: None });
    let (route, style) = canonical.unwrap_or(unknown);
    let response_format = ResponseFormat::negotiate(&request, style);
    let known = Known::default();
    let extensions = request.extensions_mut();
    extensions.insert(response_format);
    extensions.insert(style);
    extensions.insert(known.clone());

    let headers = request.headers().clone();
    let access_log = AccessLog {
        request_id: request_id.to_str().unwrap_or_default(),
        trace: TraceParent::of(&headers),
        method: request.method().clone(),
        route,
        path: match route {
            // The path of a hook is a secret.
            routes::HOOK => route.to_owned(),
            _ => request.uri().path().to_owned(),
        },
        known,
        peer: peer(request.extensions(), &headers),
        refusals: &app.refusals,
        started,
        is_answered: false,
    };
    let span = info_span!(
        "request",
        request.id = access_log.request_id,
        trace_id = access_log.trace.map(|trace| trace.trace_id)
    );
    let deadline = first_byte + app.request_timeout + wait(&request);
    let file = if response_format.format.is_rows() {
        file_name(route, request.uri().query().unwrap_or_default())
    } else {
        String::new()
    };
    let run = async {
        if let Some(violation) = violation(&request) {
            return ApiError::BadRequest(violation).into_response();
        }
        if canonical.is_none() {
            let path = request.uri().path().trim_end_matches('/');
            let mut aliases = routes::MANUAL_ALIASES.into_iter();
            return if aliases.any(|alias| alias.eq_ignore_ascii_case(path)) {
                Redirect::temporary(routes::MANUAL).into_response()
            } else {
                ApiError::NotFound.into_response()
            };
        }
        let response = timeout_at(deadline, next.run(request)).await;
        let response = response.unwrap_or_else(|_| ApiError::Timeout.into_response());
        if let Some(cause) = response.extensions().get().and_then(ApiError::cause) {
            error!(error = chain(cause), "a request failed");
        }
        response
    };
    let response = run.instrument(span).await;
    let client = access_log.known.client();
    let (mut response, error) = finish(response, response_format, &file, &app.budget, client);
    access_log.answered(&response, error.as_ref());
    response.headers_mut().insert(X_REQUEST_ID, request_id);
    response
}

/// Adds the body to an error and the headers to every response. Also returns the error.
fn finish(
    response: Response,
    response_format: ResponseFormat,
    file: &str,
    budget: &Budget,
    client: Option<&ClientName>,
) -> (Response, Option<ApiError>) {
    let (mut response, error) = match error_of(response) {
        (response, Some(error)) => {
            let (response, error) = with_body(response, error, response_format, budget, client);
            (response, Some(error))
        }
        (response, None) => (response, None),
    };
    let headers = response.headers_mut();
    let content_type = headers.get(CONTENT_TYPE);
    if error.is_none()
        && response_format.format.is_rows()
        && content_type
            .is_none_or(|content_type| content_type == response_format.format.content_type())
    {
        let file = format!(
            "attachment; filename=\"{file}.{}\"",
            response_format.format.name()
        );
        let file = HeaderValue::from_str(&file).expect("names are visible ASCII");
        headers.insert(CONTENT_DISPOSITION, file);
    }
    let vary = if headers.contains_key(TRAILER) {
        "Accept, Accept-Encoding"
    } else {
        "Accept"
    };
    headers.insert(VARY, HeaderValue::from_static(vary));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    (response, error)
}

/// The longest part of a file name that a query gives, in characters.
const MAX_NAME: usize = 64;

/// Returns the file name, without extension, under which a browser saves a response of rows: what is in
/// it, whose it is, and of when.
fn file_name(route: &'static str, query: &str) -> String {
    let what = match route {
        routes::ACCOUNTS => "accounts",
        routes::BILLING => "billing",
        routes::CHECK => "check",
        routes::HISTORY => "history",
        routes::LOG => "log",
        routes::REFUSALS => "refusals",
        routes::SESSION => "session",
        routes::SESSIONS => "sessions",
        routes::TOKEN => "token",
        routes::TOKENS | routes::ROTATION | routes::REVOCATION => "tokens",
        routes::VOIDS => "voids",
        // By name it is the operation's, as in ServiceStack.
        other => match other.strip_prefix("/api/") {
            Some(name) => name.trim_end_matches("[]"),
            None => "billables",
        },
    };
    let query = Parameters::parse(query).unwrap_or_default();
    let given = |name| query.get(name).filter(|text| !text.is_empty());
    // A timestamp's day is enough.
    let day = |one, other| given(one).or(given(other)).and_then(|text| text.get(..10));
    let (first, last) = (day("startDate", "from"), day("endDate", "to"));
    let open = match (first, last) {
        (Some(_), None) => Some("from"),
        (None, Some(_)) => Some("until"),
        _ => None,
    };
    let whose = [given("accountId"), given("customerId")];
    let parts = whose.into_iter().chain([open, first, last]);
    let mut name = what.to_owned();
    for part in parts.flatten() {
        // Ids may have any character, and a file name and a header only these.
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let shown = part.chars().take(MAX_NAME);
        let shown: String = shown.map(|c| if is_plain(c) { c } else { '_' }).collect();
        name.push('-');
        name.push_str(&shown);
    }
    name
}

/// Returns how a request violates HTTP/1.1, if it does in a way that hyper accepts. Another server
/// in front of this one could read such a request differently.
fn violation(request: &Request) -> Option<&'static str> {
    let headers = request.headers();
    let mut hosts = headers.get_all(HOST).iter();
    let is_valid =
        |host: &HeaderValue| host.is_empty() || Authority::try_from(host.as_bytes()).is_ok();
    match (hosts.next(), hosts.next()) {
        (None, _) if request.version() < Version::HTTP_11 => {}
        (Some(host), None) if is_valid(host) => {}
        _ => return Some("an HTTP/1.1 request must have one Host header, with a valid host"),
    }
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let is_chunked = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"chunked");
    match (codings.next(), codings.next()) {
        (None, _) => None,
        (Some(coding), None) if is_chunked(coding) => None,
        _ => Some("the only Transfer-Encoding that is supported is chunked, once"),
    }
}

/// Returns the extra time that a request may take because it asks to wait.
fn wait(request: &Request) -> Duration {
    if !matches!(request.uri().path(), routes::LOG | routes::READ_LOG) {
        return Duration::ZERO;
    }
    let wait = Query::parse(request.uri().query()).and_then(|query| query.wait());
    Duration::from_secs(wait.unwrap_or_default())
}

/// Takes the error out of a response. A bare error status, set by the framework, becomes an error.
fn error_of(mut response: Response) -> (Response, Option<ApiError>) {
    if let Some(error) = response.extensions_mut().remove::<ApiError>() {
        return (response, Some(error));
    }
    let status = response.status();
    let is_success = !status.is_client_error() && !status.is_server_error();
    if is_success {
        return (response, None);
    }
    let error = ApiError::from_status(status);
    let mut bare = error.clone().into_response();
    if let Some(methods) = response.headers_mut().remove(ALLOW) {
        bare.headers_mut().insert(ALLOW, methods);
    }
    bare.extensions_mut().remove::<ApiError>();
    (bare, Some(error))
}

/// Writes an error, and charges a long one to the client's budget.
///
/// The errors of a batch can be long. The budget prevents a client from requesting many of them
/// without reading them. Unauthenticated requests never reach batch parsing, so theirs are short.
fn with_body(
    mut response: Response,
    mut error: ApiError,
    response_format: ResponseFormat,
    budget: &Budget,
    client: Option<&ClientName>,
) -> (Response, ApiError) {
    let (mut content_type, mut text) = response_format.error(&error, response.status());
    let mut claim = None;
    if text.len() > SHORT_ERROR {
        let held = client.and_then(|client| {
            let mut held = budget.claim(client).ok()?;
            held.grow(text.len()).ok()?;
            Some(held)
        });
        match held {
            Some(held) => claim = Some(held),
            // The errors may be conflicts of a batch of which a part is stored, so the outcome is
            // reported as unknown.
            None => {
                error = ApiError::StoreUnavailable;
                response = error.clone().into_response();
                response.extensions_mut().remove::<ApiError>();
                (content_type, text) = response_format.error(&error, response.status());
            }
        }
    }
    *response.body_mut() = Body::from(Bytes::from_owner(Held {
        text,
        _claim: claim,
    }));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.remove(CONTENT_LENGTH);
    if content_type == HTML {
        add_page_headers(headers);
    }
    (response, error)
}

/// A text that holds its claim on the budget until it is sent.
struct Held {
    text: String,
    _claim: Option<Claim>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

/// Returns the client's request id if it matches `[A-Za-z0-9._-]{1,64}`, else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    match headers.get(X_REQUEST_ID) {
        Some(id) if (1..=64).contains(&id.len()) && id.as_bytes().iter().all(allowed) => id.clone(),
        _ => HeaderValue::from_str(&random_id(Timestamp::now()).to_string())
            .expect("a UUID is visible ASCII"),
    }
}

/// Rewrites the path to the route's spelling, and returns the route and its style. Returns `None`
/// if no operation of the contract has this path.
fn canonicalise(uri: &mut Uri) -> Option<(&'static str, RouteStyle)> {
    let rewritten = || {
        let Canonical { route, path, style } = path::canonical(uri.path())?;
        if path == uri.path() {
            return Some((uri.clone(), route, style));
        }
        let query = uri.query().map(|query| format!("?{query}"));
        let uri = format!("{path}{}", query.unwrap_or_default());
        Some((uri.parse().ok()?, route, style))
    };
    let (canonical, route, style) = rewritten()?;
    *uri = canonical;
    Some((route, style))
}
