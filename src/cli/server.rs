//! The server that a command sends requests to, with the token in a file.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::time::timeout;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::Failure;
use super::arguments::base_url;
use crate::telemetry::{chain, printable};

/// The timeout of a request. The server's own is 30 s.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest response that is read, in bytes.
const MAX_RESPONSE: usize = 8 * 1024 * 1024;

/// Makes a command work on a server instead of the database.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ServerArgs {
    /// Address of a server to use instead of the database, such as `https://billables.example.com`.
    #[arg(long, global = true, value_name = "URL", value_parser = base_url)]
    server: Option<String>,
    /// File with the token for the server, on one line.
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl ServerArgs {
    /// Returns the server, if one is named.
    ///
    /// # Errors
    /// Only one of the arguments is given, or the file has no token.
    pub(super) fn api(&self) -> Result<Option<Api>, Failure> {
        match (&self.server, &self.token_file) {
            (None, None) => Ok(None),
            (Some(server), Some(file)) => {
                let base = server.trim_end_matches('/').to_owned();
                let to = base
                    .parse()
                    .map_err(|_| Failure::Usage("--server is not a valid URL".to_owned()))?;
                let server = Server::new(&to, Some(file))?;
                Ok(Some(Api { server, base }))
            }
            _ => Err(Failure::Usage(
                "--server and --token-file must be given together".to_owned(),
            )),
        }
    }
}

/// The API of a server.
pub(super) struct Api {
    server: Server,
    base: String,
}

impl Api {
    /// Sends JSON, unless it is null. Returns the JSON of a success, or null if it has no body.
    ///
    /// # Errors
    /// There is no answer, or it is an error, which is shown.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        json: &Value,
    ) -> Result<Value, Failure> {
        let body = match json {
            Value::Null => String::new(),
            json => json.to_string(),
        };
        self.send(method, path, "application/json", body).await
    }

    /// Works like [`Self::call`], with a body of any type.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        content_type: &'static str,
        body: String,
    ) -> Result<Value, Failure> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(CONTENT_TYPE, content_type)
            .body(Full::from(body))
            .map_err(|error| Failure::Failed(chain(&error)))?;
        let answer = self.server.send(request).await.map_err(Failure::Failed)?;
        if answer.status == StatusCode::BAD_REQUEST {
            return Err(Failure::Usage(answer.shown()));
        }
        if !answer.status.is_success() {
            return Err(Failure::Failed(answer.shown()));
        }
        if answer.status == StatusCode::NO_CONTENT {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&answer.body).map_err(|_| not_the_service())
    }
}

/// The failure of an answer that is none of the service's: a proxy may answer, too.
pub(super) fn not_the_service() -> Failure {
    Failure::Failed("what answered is not the service: look at --server".to_owned())
}

type HttpClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// A server, and the token to send to it.
pub(super) struct Server {
    client: HttpClient,
    authorization: Option<HeaderValue>,
}

impl Server {
    /// # Errors
    /// The file has no token, or this machine's certificates cannot be read.
    pub(super) fn new(to: &Uri, token_file: Option<&Path>) -> Result<Self, Failure> {
        Ok(Self {
            authorization: token_file.map(authorization).transpose()?,
            client: client(to)?,
        })
    }

    /// Sends a request for an answer in JSON. An error is why there is none.
    pub(super) async fn send(&self, mut request: Request<Full<Bytes>>) -> Result<Answer, String> {
        let headers = request.headers_mut();
        headers.extend(
            self.authorization
                .clone()
                .map(|value| (AUTHORIZATION, value)),
        );
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
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

/// An answer of a server.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    /// Whether the same request may succeed later.
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
