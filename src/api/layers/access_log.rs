//! The access log: one line per request, and its metrics. The line of a refused request is a
//! warning and says why; probes are logged at the level `debug`.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::response::Response;
use http::{Extensions, Method, StatusCode};
use tokio::time::Instant;
use uuid::Uuid;

use crate::api::ApiError;
use crate::api::layers::trace::TraceParent;
use crate::api::refusals::{Refusal, Refusals};
use crate::billable::{ClientName, Timestamp};
use crate::contract::routes;
use crate::metrics::{Answered, METRICS, Route};
use crate::telemetry::without_secrets;

/// The outcome of a request that has no `ApiError`, in the extensions of its response.
#[derive(Clone, Copy, Debug)]
pub(in crate::api) struct RequestOutcome(pub(in crate::api) &'static str);

/// What is known of a request as it is handled; in its extensions.
#[derive(Clone, Debug, Default)]
pub(in crate::api) struct Known(Arc<KnownParts>);

#[derive(Debug, Default)]
struct KnownParts {
    client: OnceLock<ClientName>,
    sender: OnceLock<String>,
    billable: OnceLock<Uuid>,
}

impl Known {
    pub(in crate::api) fn set_client(extensions: &Extensions, client: &ClientName) {
        if let Some(Self(known)) = extensions.get() {
            let _ = known.client.set(client.clone());
        }
    }

    /// Notes the sender's profile that a report is read with.
    pub(in crate::api) fn set_sender(extensions: &Extensions, sender: &str) {
        if let Some(Self(known)) = extensions.get() {
            let _ = known.sender.set(sender.to_owned());
        }
    }

    /// Notes the one billable that a request is about.
    pub(in crate::api) fn set_billable(extensions: &Extensions, id: Uuid) {
        if let Some(Self(known)) = extensions.get() {
            let _ = known.billable.set(id);
        }
    }

    /// The client, once it is authenticated.
    pub(in crate::api) fn client(&self) -> Option<&ClientName> {
        self.0.client.get()
    }
}

/// A request in progress. It is logged and counted once: when it is answered, or when the client
/// disconnects before that. An abandoned request, too, is logged with the message `answered`.
#[derive(Debug)]
pub(in crate::api) struct AccessLog<'a> {
    pub(in crate::api) request_id: &'a str,
    pub(in crate::api) trace: Option<TraceParent<'a>>,
    pub(in crate::api) method: Method,
    /// The route's template, or `other` if no route matched.
    pub(in crate::api) route: &'static str,
    pub(in crate::api) path: String,
    pub(in crate::api) known: Known,
    pub(in crate::api) peer: Option<IpAddr>,
    pub(in crate::api) refusals: &'a Refusals,
    pub(in crate::api) started: Instant,
    pub(in crate::api) is_answered: bool,
}

impl AccessLog<'_> {
    /// Logs and counts the response, and keeps a refusal. `error` is the error that it carries.
    pub(in crate::api) fn answered(mut self, response: &Response, error: Option<&ApiError>) {
        let said = response
            .extensions()
            .get()
            .map(|RequestOutcome(said)| *said);
        let code = error.map(ApiError::code);
        let identity = response.headers().get("billable-identity");
        let identity = identity.and_then(|identity| identity.to_str().ok());
        let outcome = code.or(said).unwrap_or("ok");
        self.end(response.status(), outcome, identity, error);
        self.is_answered = true;
    }

    fn end(
        &self,
        status: StatusCode,
        outcome: &'static str,
        identity: Option<&str>,
        error: Option<&ApiError>,
    ) {
        let took = self.started.elapsed();
        let route = self.route;
        let method = match self.method {
            Method::GET => "GET",
            Method::HEAD => "HEAD",
            Method::POST => "POST",
            Method::PUT => "PUT",
            Method::DELETE => "DELETE",
            _ => "other",
        };
        // The macro needs its level at compile time.
        macro_rules! log {
            ($level:ident $(, $name:ident = $value:expr)*) => {
                tracing::$level!(
                    request.id = self.request_id,
                    trace_id = self.trace.map(|trace| trace.trace_id),
                    parent_id = self.trace.map(|trace| trace.parent_id),
                    client = self.known.client().map(ClientName::as_str),
                    http.method = %format_args!("{:.20}", self.method.as_str()),
                    http.route = route,
                    http.path = %without_secrets(&self.path.chars().take(200).collect::<String>()).escape_default(),
                    http.status = status.as_u16(),
                    outcome,
                    identity,
                    billable = self.known.0.billable.get().map(tracing::field::display),
                    $($name = $value,)*
                    duration_us = as_micros(took),
                    "answered"
                )
            };
        }
        match error.filter(|_| !is_probe(route)) {
            Some(error) => {
                let (field, message) = Refusal::message_of(error);
                let peer = self.peer.map(tracing::field::display);
                let is_warned = self.refusals.add(Refusal {
                    at: Timestamp::now(),
                    peer: self.peer,
                    client: self.known.client().cloned(),
                    sender: self.known.0.sender.get().cloned(),
                    request_id: self.request_id.to_owned(),
                    route,
                    status: status.as_u16(),
                    code: outcome,
                    field,
                    message: message.clone(),
                });
                if is_warned {
                    log!(warn, peer = peer, field = field, error = message);
                } else {
                    log!(info, peer = peer, field = field, error = message);
                }
            }
            None if is_probe(route) || route == routes::METRICS => log!(debug),
            None => log!(info),
        }
        let answered = Answered {
            route,
            method,
            status: status.as_u16(),
            outcome,
        };
        METRICS.http_requests.get_or_create(&answered).inc();
        METRICS
            .http_request_duration_seconds
            .get_or_create(&Route { route })
            .observe(took.as_secs_f64());
    }
}

/// Whether a route is asked all the time, and not by clients.
fn is_probe(route: &str) -> bool {
    matches!(route, routes::LIVEZ | routes::READYZ)
}

impl Drop for AccessLog<'_> {
    fn drop(&mut self) {
        if !self.is_answered {
            // The client has disconnected; 499 is the usual status for that.
            let status = StatusCode::from_u16(499).expect("a status");
            self.end(status, "Abandoned", None, None);
        }
    }
}

fn as_micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
