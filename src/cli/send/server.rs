//! The server that files are posted to, as `--to` and `--token-file` name it.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::time::timeout;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::{Args, Sent};
use crate::cli::Failure;
use crate::contract::routes;
use crate::telemetry::{chain, printable};

/// The timeout of a request. The server's own is 30 s.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest response that is read, in bytes.
const MAX_RESPONSE: usize = 64 * 1024;

type HttpClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

pub(super) struct Server {
    client: HttpClient,
    to: Uri,
    authorization: Option<HeaderValue>,
    content_type: Option<HeaderValue>,
}

impl Server {
    pub(super) fn new(args: &Args) -> Result<Self, Failure> {
        let to = target(args)?;
        let is_hook = to.path().starts_with(&format!("{}/", routes::HOOKS));
        let authorization = match (&args.token_file, is_hook) {
            (None, true) => None,
            (Some(file), false) => Some(authorization(file)?),
            (None, false) => {
                return Err(Failure::Usage(
                    "--token-file is required, unless --to is the URL of a hook".to_owned(),
                ));
            }
            (Some(_), true) => {
                return Err(Failure::Usage(
                    "--token-file must not be given for a hook, whose URL has its secret"
                        .to_owned(),
                ));
            }
        };
        Ok(Self {
            client: client(&to)?,
            to,
            authorization,
            content_type: args.content_type.clone(),
        })
    }

    /// Posts a file. An error is why there is no answer.
    pub(super) async fn post(&self, path: &Path, body: Bytes) -> Result<Answer, String> {
        let mut request = Request::post(self.to.clone()).body(Full::new(body));
        if let Ok(request) = &mut request {
            let headers = request.headers_mut();
            headers.extend(
                self.authorization
                    .clone()
                    .map(|value| (AUTHORIZATION, value)),
            );
            let of_name = || content_type_of(path).map(HeaderValue::from_static);
            let content_type = self.content_type.clone().or_else(of_name);
            headers.extend(content_type.map(|value| (CONTENT_TYPE, value)));
            headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        }
        let request = request.map_err(|error| chain(&error))?;
        let answering = async {
            let response = self.client.request(request).await;
            let response = response.map_err(|error| chain(&error))?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, MAX_RESPONSE).collect().await;
            let body = body.map(|body| body.to_bytes()).unwrap_or_default();
            Ok(Answer {
                status: head.status,
                headers: head.headers,
                body,
            })
        };
        match timeout(REQUEST_TIMEOUT, answering).await {
            Ok(answer) => answer,
            Err(_) => Err("the server does not answer".to_owned()),
        }
    }
}

/// The answer to a file.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    /// Returns what a success means, or `None` if it is none of the service's: a proxy may answer, too.
    pub(super) fn sent(&self) -> Option<Sent> {
        if self.headers.contains_key("billable-identity") {
            return Some(Sent::Stored);
        }
        let is_ignored = self.headers.contains_key("billable-ignored");
        is_ignored.then_some(Sent::Ignored)
    }

    /// Whether the same file may be stored later.
    pub(super) fn may_repeat(&self) -> bool {
        self.status.is_server_error()
            || matches!(
                self.status,
                StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS
            )
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        let seconds = self.headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
        Some(Duration::from_secs(seconds))
    }

    /// The status, the code and the message on one line.
    pub(super) fn shown(&self) -> String {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let said = &body["responseStatus"];
        let part = |name: &str| said[name].as_str().unwrap_or_default().to_owned();
        let text = format!(
            "{} {} {}",
            self.status.as_u16(),
            part("errorCode"),
            part("message")
        );
        printable(text.trim(), 500)
    }
}

/// Returns the URL that the files are posted to.
fn target(args: &Args) -> Result<Uri, Failure> {
    let refused = |reason: &str| Err(Failure::Usage(format!("--to {reason}")));
    let to = &args.to;
    if !matches!(to.scheme_str(), Some("http" | "https")) || to.authority().is_none() {
        return refused("must begin with http:// or https://");
    }
    let path = match to.path() {
        "" | "/" => routes::BILLABLES,
        path => path,
    };
    let mut query: Vec<_> = to.query().map(str::to_owned).into_iter().collect();
    query.extend(args.sender.as_ref().map(|name| format!("sender={name}")));
    query.extend(args.answered.then(|| "answered=true".to_owned()));
    let separator = if query.is_empty() { "" } else { "?" };
    let target = format!("{path}{separator}{}", query.join("&"));
    let mut parts = to.clone().into_parts();
    parts.path_and_query = target.parse().ok();
    Uri::from_parts(parts).or_else(|_| refused("is not a valid URL"))
}

/// Reads a token's file as the password of Basic authentication: it may then have any characters.
fn authorization(file: &Path) -> Result<HeaderValue, Failure> {
    let text = fs::read_to_string(file)
        .map_err(|error| Failure::Failed(format!("cannot read {}: {error}", file.display())))?;
    let token = text.trim();
    if token.is_empty() || token.contains(char::is_whitespace) {
        let reason = format!("{} must have a token on one line", file.display());
        return Err(Failure::Usage(reason));
    }
    let credentials = STANDARD.encode(format!("send:{token}"));
    let mut value = HeaderValue::from_str(&format!("Basic {credentials}"))
        .map_err(|_| Failure::Usage("the token is not valid".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

fn client(to: &Uri) -> Result<HttpClient, Failure> {
    let mut http = HttpConnector::new();
    http.set_connect_timeout(Some(CONNECT_TIMEOUT));
    http.enforce_http(false);
    let provider = ring::default_provider();
    let builder = HttpsConnectorBuilder::new();
    let builder = if to.scheme_str() == Some("https") {
        builder
            .with_provider_and_native_roots(provider)
            .map_err(|error| {
                Failure::Failed(format!(
                    "this machine's certificates cannot be read: {error}"
                ))
            })?
    } else {
        // No server is trusted, because none is asked by TLS.
        let config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| Failure::Failed(chain(&error)))?
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        builder.with_tls_config(config)
    };
    let connector = builder.https_or_http().enable_http1().wrap_connector(http);
    Ok(Client::builder(TokioExecutor::new()).build(connector))
}

/// Returns the Content-Type that a file's name says.
fn content_type_of(path: &Path) -> Option<&'static str> {
    match path.extension()?.to_str()? {
        "json" => Some("application/json"),
        "jsonl" | "ndjson" => Some("application/x-ndjson"),
        "xml" => Some("application/xml"),
        "csv" => Some("text/csv"),
        "form" => Some("application/x-www-form-urlencoded"),
        _ => None,
    }
}
