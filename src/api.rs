//! The HTTP interface: the route table, what handlers share, and the order of the layers.

mod access;
mod billables;
mod body;
mod context;
mod error;
mod health;
mod path;
mod prefer;
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
        let routes = Router::new()
            .route(path::BILLABLES, post(report::report_billables))
            .route(path::NEW_BILLABLE, post(report::report_billables))
            .route(path::NEW_BILLABLES, post(report::report_billables))
            .route(path::BILLABLE, get(billables::get_billable))
            .route(path::LIVEZ, get(health::get_livez))
            .route(path::READYZ, get(health::get_readyz));
        self.surround(routes)
    }

    fn surround(self, routes: Router<Self>) -> Router {
        let routes = routes
            .fallback(async || ApiError::NotFound)
            .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
            // Before any handler, so that a browser's cross-site request touches nothing.
            .layer(
                CsrfLayer::new().with_rejection_response(|_| ApiError::CrossSite.into_response()),
            )
            .layer(CatchPanicLayer::custom(panicked))
            .with_state(self.clone());
        // A layer of a router runs after its routing; the surround rewrites paths, so it goes
        // around a router whose only route is the inner one. Inside of it errors need no body.
        Router::new()
            .fallback_service(routes)
            .layer(from_fn_with_state(self, context::surround))
    }
}

/// A panic is a fault of ours: the hook has logged it, the client gets an ordinary error.
fn panicked(_: Box<dyn std::any::Any + Send>) -> axum::response::Response {
    ApiError::Internal.into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::extract::Request;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;
    use crate::billable::Instant;

    /// What `handler` becomes behind the layers: status, `Retry-After`, body.
    async fn surrounded<H, T>(handler: H) -> (u16, bool, String)
    where
        H: axum::handler::Handler<T, App>,
        T: 'static,
    {
        let directory = tempfile::tempdir().expect("a directory");
        let url = format!("sqlite://{}", directory.path().join("test.db").display());
        let store = Store::open(&url, 1).await.expect("a store");
        store.migrate().await.expect("a schema");
        let log = store
            .log_prepare(None, Instant::now())
            .await
            .expect("a log");
        let tokens = Tokens::load(&store, None).await.expect("tokens");
        let (writer, _writing) = Writer::start(&store, log, 1);
        let app = App::new(store, log, writer, tokens, Duration::from_millis(50));
        let router = app.surround(Router::new().route("/odd", get(handler)));
        let request = Request::get("/odd")
            .header("accept", "application/xml")
            .body(Body::empty());
        let response = router
            .oneshot(request.expect("a request"))
            .await
            .expect("infallible");
        let has_retry_after = response.headers().contains_key("retry-after");
        let status = response.status().as_u16();
        let body = response
            .into_body()
            .collect()
            .await
            .expect("a body")
            .to_bytes();
        (
            status,
            has_retry_after,
            String::from_utf8(body.into()).expect("UTF-8"),
        )
    }

    #[tokio::test]
    async fn a_panic_is_a_500_in_the_negotiated_format() {
        let (status, _, body) = surrounded(async || -> String { panic!("on purpose") }).await;
        assert_eq!(status, 500);
        assert!(
            body.contains("<ErrorCode>InternalServerError</ErrorCode>")
                && !body.contains("on purpose")
        );
    }

    #[tokio::test]
    async fn a_request_that_takes_too_long_is_a_503_in_the_negotiated_format() {
        let (status, has_retry_after, body) = surrounded(std::future::pending::<String>).await;
        assert_eq!((status, has_retry_after), (503, true));
        assert!(body.contains("<ErrorCode>Timeout</ErrorCode>"));
    }

    #[tokio::test]
    async fn an_error_that_a_library_makes_gets_a_body_as_well() {
        let (status, _, body) = surrounded(async || http::StatusCode::IM_A_TEAPOT).await;
        assert_eq!(status, 500);
        assert!(body.contains("<ErrorCode>InternalServerError</ErrorCode>"));
    }
}
