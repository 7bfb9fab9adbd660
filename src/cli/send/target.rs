//! Where files are posted to, as `--to` and `--token-file` name it.

use std::path::Path;

use axum::body::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Uri};
use http_body_util::Full;

use super::{Args, Sent};
use crate::cli::Failure;
use crate::cli::server::{Answer, Server};
use crate::contract::routes;
use crate::telemetry::chain;

pub(super) struct Target {
    server: Server,
    to: Uri,
    content_type: Option<HeaderValue>,
}

impl Target {
    pub(super) fn new(args: &Args) -> Result<Self, Failure> {
        let to = url(args)?;
        let is_hook = to.path().starts_with(&format!("{}/", routes::HOOKS));
        if args.token_file.is_some() == is_hook {
            let reason = if is_hook {
                "--token-file must not be given for a hook, whose URL has its secret"
            } else {
                "--token-file is required, unless --to is the URL of a hook"
            };
            return Err(Failure::Usage(reason.to_owned()));
        }
        Ok(Self {
            server: Server::new(&to, args.token_file.as_deref())?,
            to,
            content_type: args.content_type.clone(),
        })
    }

    /// Posts a file. An error is why there is no answer.
    pub(super) async fn post(&self, path: &Path, body: Bytes) -> Result<Answer, String> {
        let request = Request::post(self.to.clone()).body(Full::new(body));
        let mut request = request.map_err(|error| chain(&error))?;
        let of_name = || content_type_of(path).map(HeaderValue::from_static);
        let content_type = self.content_type.clone().or_else(of_name);
        let headers = request.headers_mut();
        headers.extend(content_type.map(|value| (CONTENT_TYPE, value)));
        self.server.send(request).await
    }
}

/// Returns what a success means, or `None` if it is none of the service's: a proxy may answer, too.
pub(super) fn sent(answer: &Answer) -> Option<Sent> {
    if answer.headers.contains_key("billable-identity") {
        return Some(Sent::Stored);
    }
    let is_ignored = answer.headers.contains_key("billable-ignored");
    is_ignored.then_some(Sent::Ignored)
}

/// Returns the URL that the files are posted to.
fn url(args: &Args) -> Result<Uri, Failure> {
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
