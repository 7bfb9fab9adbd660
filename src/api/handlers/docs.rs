//! The documentation: pages, DTOs, OpenAPI. It is the same for all clients, so it needs no token.

use std::convert::Infallible;

use axum::extract::{FromRequestParts, Path, RawQuery, State};
use axum::response::{Html, IntoResponse, Response};
use http::header::{
    ACCEPT, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderMap, HeaderName, REFERRER_POLICY,
};
use http::request::Parts;
use http::{HeaderValue, StatusCode};

use crate::api::handlers::health;
use crate::api::layers::access_log::RequestOutcome;
use crate::api::layers::context::RawBody;
use crate::api::query::Query;
use crate::api::resource_id::ResourceId;
use crate::api::{ApiError, App};
use crate::contract::operations::LANGUAGES;
use crate::contract::{OPERATIONS, Operation, errors};
use crate::docs::dto::{self, Language};
use crate::docs::{manual, openapi, pages};
use crate::formats::Format;
use crate::formats::negotiation::accepts;

/// The host to show if the request has no usable `Host` header.
const DEFAULT_HOST: &str = "127.0.0.1:8080";

/// The media type of pages.
const PAGE: &str = "text/html";

/// The longest host that is shown on a page.
const MAX_HOST: usize = 255;

const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// `https` if clients use TLS, with this process or with the proxy in front of it. It is in the
/// extensions of requests.
#[derive(Clone, Copy, Debug)]
pub struct Scheme(pub &'static str);

/// The URL at which the client reaches the service, without a trailing slash.
pub(in crate::api) struct BaseUrl(String);

impl<S: Sync> FromRequestParts<S> for BaseUrl {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let Scheme(scheme) = parts.extensions.get().copied().unwrap_or(Scheme("http"));
        let is_sane = |byte: u8| byte.is_ascii_alphanumeric() || b".:-[]".contains(&byte);
        let host = parts
            .headers
            .get(HOST)
            .and_then(|host| host.to_str().ok())
            .filter(|host| (1..=MAX_HOST).contains(&host.len()) && host.bytes().all(is_sane));
        Ok(Self(format!("{scheme}://{}", host.unwrap_or(DEFAULT_HOST))))
    }
}

/// Returns the front page: what the service is, whether it is ready, and where to start.
pub(in crate::api) async fn get_front_page(
    State(app): State<App>,
    BaseUrl(base): BaseUrl,
) -> Response {
    let is_ready = !app.stop.is_cancelled() && health::readiness(&app).await.is_ready();
    page(pages::front(is_ready, &base))
}

/// The manual's first page.
pub(in crate::api) async fn get_manual(headers: HeaderMap) -> Result<Response, ApiError> {
    manual_page("", &headers)
}

pub(in crate::api) async fn get_manual_page(
    Path(page): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    manual_page(&page, &headers)
}

pub(in crate::api) async fn get_manual_subpage(
    Path((section, page)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    manual_page(&format!("{section}/{page}"), &headers)
}

fn manual_page(path: &str, headers: &HeaderMap) -> Result<Response, ApiError> {
    match manual::page(path) {
        Some(html) => Ok(page(html)),
        None => missing(headers, "page", path, &manual::paths().collect::<Vec<_>>()),
    }
}

pub(in crate::api) async fn get_metadata() -> Response {
    page(pages::index())
}

pub(in crate::api) async fn get_operation_metadata(
    resource_id: ResourceId,
    RawQuery(query): RawQuery,
    BaseUrl(base): BaseUrl,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let format = resource_id.or(None, "Format")?;
    let mut formats = pages::FORMATS.into_iter();
    let Some(format) = formats.find(|known| known.name().eq_ignore_ascii_case(&format)) else {
        return missing(
            &headers,
            "format",
            &format,
            &pages::FORMATS.map(Format::name),
        );
    };
    let query = Query::parse(query.as_deref())?;
    let name = query.get("op").unwrap_or_default();
    let Some(operation) = Operation::find(name) else {
        let names = OPERATIONS.map(|operation| operation.name);
        return missing(&headers, "operation", name, &names);
    };
    let language = query
        .get("lang")
        .map(|name| (name, Language::from_name(name)));
    if let Some((name, None)) = language {
        return missing(&headers, "language", name, LANGUAGES);
    }
    let language = language.and_then(|(_, language)| language);
    Ok(page(pages::operation(operation, format, language, &base)))
}

/// Returns the DTOs of the operations in a language.
pub(in crate::api) async fn get_types(
    resource_id: ResourceId,
    RawQuery(query): RawQuery,
    BaseUrl(base): BaseUrl,
) -> Result<Response, ApiError> {
    let name = resource_id.or(None, "Lang")?;
    let language =
        Language::from_name(&name).ok_or_else(|| not_described("language", &name, LANGUAGES))?;
    let query = Query::parse(query.as_deref())?;
    let included = query.get("IncludeTypes").unwrap_or_default();
    let operations = dto::included(included).map_err(ApiError::NotDescribed)?;
    let source = dto::source(language, &operations, &base);
    Ok(([(CONTENT_TYPE, language.media_type())], source).into_response())
}

/// Returns the OpenAPI description.
pub(in crate::api) async fn get_openapi() -> Response {
    let media_type = Format::Json.content_type();
    ([(CONTENT_TYPE, media_type)], openapi::text()).into_response()
}

/// Returns a 404: a page with all operations if the client accepts HTML, else an error that lists
/// `available`.
fn missing(
    headers: &HeaderMap,
    thing: &str,
    name: &str,
    available: &[&str],
) -> Result<Response, ApiError> {
    let mut accepted = headers.get_all(ACCEPT).iter();
    let is_browser = accepted.any(|ranges| accepts(ranges.to_str().unwrap_or_default(), PAGE));
    if !is_browser {
        return Err(not_described(thing, name, available));
    }
    let mut response = page(pages::missing(&format!("There is no {thing} {name}")));
    *response.status_mut() = StatusCode::NOT_FOUND;
    let extensions = response.extensions_mut();
    extensions.insert(RawBody);
    extensions.insert(RequestOutcome(errors::NOT_FOUND.code));
    Ok(response)
}

fn not_described(thing: &str, name: &str, available: &[&str]) -> ApiError {
    let names = available.join(", ");
    ApiError::NotDescribed(format!("there is no {thing} {name}; use one of: {names}"))
}

/// Returns a page that may load nothing from other sites and sends no `Referer`.
fn page(html: String) -> Response {
    let policy = HeaderValue::from_static(pages::content_security_policy());
    let headers = [
        (CONTENT_SECURITY_POLICY, policy),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (OPENER_POLICY, HeaderValue::from_static("same-origin")),
    ];
    (headers, Html(html)).into_response()
}

#[cfg(test)]
mod tests {
    use axum::extract::Request;

    use super::*;

    async fn base(host: Option<&[u8]>, scheme: Option<Scheme>) -> String {
        let mut request = Request::new(());
        if let Some(host) = host {
            let host = HeaderValue::from_bytes(host).expect("a value");
            request.headers_mut().insert(HOST, host);
        }
        if let Some(scheme) = scheme {
            request.extensions_mut().insert(scheme);
        }
        let (mut parts, ()) = request.into_parts();
        let BaseUrl(base) = BaseUrl::from_request_parts(&mut parts, &())
            .await
            .expect("infallible");
        base
    }

    #[tokio::test]
    async fn a_page_shows_only_a_valid_host() {
        let https = Some(Scheme("https"));
        assert_eq!(base(Some(b"a.example"), https).await, "https://a.example");
        assert_eq!(base(Some(b"[::1]:80"), None).await, "http://[::1]:80");
        let default = "http://127.0.0.1:8080";
        for host in [&b""[..], b"a b", b"a'b", b"a/b", b"\xe9", &[b'a'; 256]] {
            assert_eq!(base(Some(host), None).await, default);
        }
        assert_eq!(base(None, None).await, default);
    }
}
