//! The documentation: pages, DTOs, OpenAPI. It is the same for all clients, so it needs no token.

use std::convert::Infallible;

use axum::extract::{FromRequestParts, Path, RawQuery, State};
use axum::response::{Html, IntoResponse, Response};
use http::header::{CONTENT_TYPE, HOST};
use http::request::Parts;

use crate::api::handlers::health;
use crate::api::query::Query;
use crate::api::resource_id::ResourceId;
use crate::api::response_format::add_page_headers;
use crate::api::{ApiError, App};
use crate::contract::operations::LANGUAGES;
use crate::contract::{OPERATIONS, Operation};
use crate::docs::dto::{self, Language};
use crate::docs::{manual, openapi, pages};
use crate::formats::Format;
use crate::telemetry::printable;

/// The host to show if the request has no usable `Host` header.
const DEFAULT_HOST: &str = "127.0.0.1:8080";

/// The longest name that a message repeats, in characters.
const MAX_NAME: usize = 40;

/// The longest host that is shown on a page.
const MAX_HOST: usize = 255;

/// `https` if clients use TLS, with this process or with the proxy in front of it. It is in the
/// extensions of requests.
#[derive(Clone, Copy, Debug)]
pub struct Scheme(pub &'static str);

/// The URL at which the client reaches the service, without a trailing slash.
pub(in crate::api) struct BaseUrl(pub(in crate::api) String);

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
pub(in crate::api) async fn get_manual() -> Result<Response, ApiError> {
    manual_page("")
}

pub(in crate::api) async fn get_manual_page(
    Path(page): Path<String>,
) -> Result<Response, ApiError> {
    manual_page(&page)
}

pub(in crate::api) async fn get_manual_subpage(
    Path((section, page)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    manual_page(&format!("{section}/{page}"))
}

fn manual_page(path: &str) -> Result<Response, ApiError> {
    manual::page(path)
        .map(page)
        .ok_or_else(|| not_described("page", path, &manual::paths().collect::<Vec<_>>()))
}

pub(in crate::api) async fn get_metadata() -> Response {
    page(pages::index())
}

pub(in crate::api) async fn get_operation_metadata(
    resource_id: ResourceId,
    RawQuery(query): RawQuery,
    BaseUrl(base): BaseUrl,
) -> Result<Response, ApiError> {
    let format = resource_id.or(None, "Format")?;
    let mut formats = pages::FORMATS.into_iter();
    let Some(format) = formats.find(|known| known.name().eq_ignore_ascii_case(&format)) else {
        let names = pages::FORMATS.map(Format::name);
        return Err(not_described("format", &format, &names));
    };
    let query = Query::parse(query.as_deref())?;
    let name = query.get("op").unwrap_or_default();
    let Some(operation) = Operation::find(name) else {
        let names = OPERATIONS.map(|operation| operation.name);
        return Err(not_described("operation", name, &names));
    };
    let language = query
        .get("lang")
        .map(|name| (name, Language::from_name(name)));
    if let Some((name, None)) = language {
        return Err(not_described("language", name, LANGUAGES));
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

fn not_described(thing: &str, name: &str, available: &[&str]) -> ApiError {
    let names = available.join(", ");
    let name = printable(name, MAX_NAME);
    ApiError::NotDescribed(format!("there is no {thing} {name}; use one of: {names}"))
}

fn page(html: String) -> Response {
    let mut response = Html(html).into_response();
    add_page_headers(response.headers_mut());
    response
}

#[cfg(test)]
mod tests {
    use axum::extract::Request;
    use http::HeaderValue;

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
