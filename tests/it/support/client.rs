//! The HTTP client of the tests. It checks every reply before the test sees it.

use std::net::SocketAddr;

use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use uuid::Uuid;

use super::description;

/// An HTTP client with a token.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    secret: String,
}

/// A reply with its complete body.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Client {
    pub(super) fn new(address: SocketAddr, secret: &str) -> Self {
        Self {
            http: reqwest::Client::new(),
            base: format!("http://{address}"),
            secret: secret.to_owned(),
        }
    }

    /// A request without credentials.
    pub(crate) fn bare(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    /// A request with the token.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.bare(method, path).bearer_auth(&self.secret)
    }

    pub(crate) fn post(&self, path: &str) -> RequestBuilder {
        self.request(Method::POST, path)
    }

    /// Sends a report as JSON.
    pub(crate) async fn report(&self, report: &Value) -> Reply {
        send(self.post("/billables").json(report)).await
    }

    /// Sends a report as JSON with an `Idempotency-Key`.
    pub(crate) async fn report_keyed(&self, key: &str, report: &Value) -> Reply {
        send(
            self.post("/billables")
                .header("Idempotency-Key", key)
                .json(report),
        )
        .await
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        send(self.request(Method::GET, path)).await
    }
}

/// Sends a request and checks the reply.
pub(crate) async fn send(request: RequestBuilder) -> Reply {
    try_send(request).await.unwrap()
}

/// Like [`send`], but returns an error if the connection breaks.
pub(crate) async fn try_send(request: RequestBuilder) -> reqwest::Result<Reply> {
    let (client, request) = request.build_split();
    let request = request?;
    let (method, path) = (request.method().clone(), request.url().path().to_owned());
    let response = client.execute(request).await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let reply = Reply {
        status,
        headers,
        body: response.text().await?,
    };
    reply.check();
    description::check(&method, &path, &reply);
    Ok(reply)
}

impl Reply {
    fn check(&self) {
        let id = self
            .header("x-request-id")
            .expect("every reply has a request id");
        assert!((1..=64).contains(&id.len()));
        assert_eq!(self.header("cache-control"), Some("no-store"));
        // An export may be compressed. Only exports have trailers.
        let vary = match self.header("trailer") {
            Some(_) => "Accept, Accept-Encoding",
            None => "Accept",
        };
        assert_eq!(self.header("vary"), Some(vary));
        assert!(self.header("server").is_none() && self.header("x-powered-by").is_none());
        if self.status >= 400 {
            assert!(
                !self.error_code().is_empty(),
                "an error without a code: {self:?}"
            );
            let may_repeat = matches!(self.status, 429 | 503);
            assert_eq!(may_repeat, self.header("retry-after").is_some());
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    /// The billable's id; the body and `Location` must have the same one.
    pub(crate) fn id(&self) -> Uuid {
        let id: Uuid = self.json()["id"]
            .as_str()
            .unwrap_or_else(|| panic!("no id: {self:?}"))
            .parse()
            .unwrap();
        assert_eq!(self.header("location"), Some(&*format!("/billables/{id}")));
        id
    }

    /// The code in `responseStatus`, in any format.
    pub(crate) fn error_code(&self) -> String {
        match self.header("content-type").unwrap() {
            "application/xml" => {
                let (_, rest) = self.body.split_once("<ResponseStatus><ErrorCode>").unwrap();
                rest.split('<').next().unwrap().to_owned()
            }
            "text/html; charset=utf-8" => {
                let (_, rest) = self.body.split_once("Error code: <code>").unwrap();
                rest.split('<').next().unwrap().to_owned()
            }
            "application/jsv" | "text/csv" => {
                let (_, rest) = self.body.split_once("{errorCode:").unwrap();
                rest.split(',').next().unwrap().to_owned()
            }
            _ => self.json()["responseStatus"]["errorCode"]
                .as_str()
                .unwrap()
                .to_owned(),
        }
    }

    /// The (`fieldName`, `errorCode`) of every listed error.
    pub(crate) fn field_errors(&self) -> Vec<(String, String)> {
        let status = &self.json()["responseStatus"];
        let errors = status["errors"].as_array().unwrap().iter();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        errors
            .map(|error| (text(&error["fieldName"]), text(&error["errorCode"])))
            .collect()
    }
}
