//! The access log: one line per request, and its metrics.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::response::Response;
use http::{Extensions, Method, StatusCode};
use tokio::time::Instant;
use tracing::info;

use crate::api::layers::trace::TraceParent;
use crate::billable::ClientName;
use crate::metrics::{Answered, METRICS, Route};

/// The outcome of a request that has no `ApiError`, in the extensions of its response.
#[derive(Clone, Copy, Debug)]
pub(in crate::api) struct RequestOutcome(pub(in crate::api) &'static str);

/// The client of a request, once it is authenticated; in the extensions of the request.
#[derive(Clone, Debug, Default)]
pub(in crate::api) struct KnownClient(Arc<OnceLock<ClientName>>);

impl KnownClient {
    pub(in crate::api) fn set(extensions: &Extensions, client: &ClientName) {
        if let Some(Self(known)) = extensions.get() {
            let _ = known.set(client.clone());
        }
    }

    /// The client, once it is authenticated.
    pub(in crate::api) fn get(&self) -> Option<&ClientName> {
        self.0.get()
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
    pub(in crate::api) client: KnownClient,
    pub(in crate::api) started: Instant,
    pub(in crate::api) is_answered: bool,
}

impl AccessLog<'_> {
    /// Logs and counts the response. `error` is its error code.
    pub(in crate::api) fn answered(mut self, response: &Response, error: Option<&'static str>) {
        let said = response
            .extensions()
            .get()
            .map(|RequestOutcome(said)| *said);
        self.end(response.status(), error.or(said).unwrap_or("ok"));
        self.is_answered = true;
    }

    fn end(&self, status: StatusCode, outcome: &'static str) {
        let took = self.started.elapsed();
        let Self {
            request_id, route, ..
        } = *self;
        let method = match self.method {
            Method::GET => "GET",
            Method::HEAD => "HEAD",
            Method::POST => "POST",
            Method::PUT => "PUT",
            _ => "other",
        };
        info!(
            request.id = request_id,
            trace_id = self.trace.map(|trace| trace.trace_id),
            parent_id = self.trace.map(|trace| trace.parent_id),
            client = self.client.get().map(ClientName::as_str),
            http.method = %format_args!("{:.20}", self.method.as_str()),
            http.route = route,
            http.path = %self.path.chars().take(200).collect::<String>().escape_default(),
            http.status = status.as_u16(),
            outcome,
            duration_us = as_micros(took),
            "answered"
        );
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

impl Drop for AccessLog<'_> {
    fn drop(&mut self) {
        if !self.is_answered {
            // The client has disconnected; 499 is the usual status for that.
            let status = StatusCode::from_u16(499).expect("a status");
            self.end(status, "Abandoned");
        }
    }
}

fn as_micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
