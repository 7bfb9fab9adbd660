//! The HTTP interface: the route table, what handlers share, and the order of the layers.

mod access;
mod billables;
mod body;
mod context;
mod error;
mod health;
mod path;
mod report;

use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::csrf::CsrfLayer;

use crate::store::{LogInfo, Store};
use crate::writer::Writer;

pub use access::Tokens;
pub use context::FirstByte;
use error::ApiError;

/// What handlers share. A clone is a handle.
#[derive(Clone, Debug)]
pub struct App {
    store: Store,
    log: LogInfo,
    writer: Writer,
    tokens: Tokens,
    request_timeout: Duration,
    readiness: health::Readiness,
}

impl App {
    /// Puts together what handlers share. `request_timeout` counts from a request's first byte.
    pub fn new(
        store: Store,
        log: LogInfo,
        writer: Writer,
        tokens: Tokens,
        request_timeout: Duration,
    ) -> Self {
        Self {
            store,
            log,
            writer,
            tokens,
            request_timeout,
            readiness: health::Readiness::default(),
        }
    }

    /// The service as a router that takes every request.
    pub fn into_router(self) -> Router {
        // Inside the surround, so that it sees canonical paths and its errors get bodies.
        let routes = Router::new()
            .route(path::BILLABLES, post(report::report_billable))
            .route(path::BILLABLE, get(billables::get_billable))
            .route(path::LIVEZ, get(health::get_livez))
            .route(path::READYZ, get(health::get_readyz))
            .fallback(async || ApiError::NotFound)
            .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
            // Before any handler, so that a browser's cross-site request touches nothing.
            .layer(
                CsrfLayer::new().with_rejection_response(|_| ApiError::CrossSite.into_response()),
            )
            .layer(CatchPanicLayer::custom(panicked))
            .with_state(self.clone());
        // A layer of a router runs after its routing; the surround rewrites paths, so it goes
        // around a router whose only route is the inner one.
        Router::new()
            .fallback_service(routes)
            .layer(from_fn_with_state(self, context::surround))
    }
}

/// A panic is a fault of ours: the hook has logged it, the client gets an ordinary error.
fn panicked(_: Box<dyn std::any::Any + Send>) -> axum::response::Response {
    ApiError::Internal.into_response()
}
