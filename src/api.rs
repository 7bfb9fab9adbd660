//! The HTTP API: the route table, the state that handlers share, and the order of the layers.

mod app;
mod body;
mod caller;
mod cursor;
mod error;
mod handlers;
mod layers;
mod path;
mod peer;
mod prefer;
mod query;
mod refusals;
mod resource_id;
mod response_format;
mod tokens;
mod trust;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, delete, get, post, put};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::csrf::CsrfLayer;

use crate::contract::routes;

pub use app::{App, RequestLimits, Settings};
pub use cursor::Cursors;
use error::ApiError;
pub use handlers::docs::Scheme;
use handlers::refusals::list_refusals;
use handlers::{
    accounts, billables, billing, check, docs, feed, health, list, metrics, report, sessions,
    tokens as token_handlers, void,
};
use layers::context;
pub use layers::context::{Cut, FirstByte};
pub use peer::{BehindProxy, Peer};
pub use refusals::Refusals;
pub use tokens::Tokens;
pub use trust::{Trust, check_clock, is_after_commit, warn_of_memory};

impl App {
    /// Returns a router with all routes, for a single address.
    pub fn into_router(self) -> Router {
        let metrics = get(metrics::get_metrics);
        self.with_layers(Self::service().merge(Self::probes(metrics)))
    }

    /// Returns two routers, for two addresses: the service, and the probes and metrics, which need
    /// no token there.
    pub fn into_routers(self) -> (Router, Router) {
        let metrics = get(metrics::get_metrics_without_token);
        let admin = self.clone().with_layers(Self::probes(metrics));
        (self.with_layers(Self::service()), admin)
    }

    fn service() -> Router<Self> {
        let resources = Router::new()
            .route(
                routes::BILLABLES,
                post(report::report_billables).get(list::list_billables),
            )
            .route(
                routes::HOOK,
                post(report::report_to_hook)
                    .get(report::report_to_hook)
                    .options(report::greet_hook),
            )
            .route(routes::BILLABLE, get(billables::get_billable))
            .route(routes::HISTORY, get(billables::get_history))
            .route(routes::VOIDS, post(void::void_billables))
            .route(routes::VOID, post(void::void_billable))
            .route(routes::CHECK, post(check::check_billables))
            .route(
                routes::SESSION,
                get(sessions::get_session).put(sessions::attribute_session),
            )
            .route(
                routes::SESSIONS,
                get(sessions::list_sessions).put(sessions::attribute_sessions),
            )
            .route(routes::ACCOUNTS, get(accounts::list_accounts))
            .route(routes::BILLING, get(billing::get_billing))
            .route(routes::LOG, get(feed::read_log))
            .route(routes::REFUSALS, get(list_refusals))
            .route(routes::TOKEN, get(token_handlers::get_token))
            .route(
                routes::TOKENS,
                get(token_handlers::list_tokens).post(token_handlers::create_token),
            )
            .route(routes::REVOCATION, delete(token_handlers::revoke_token))
            .route(routes::ROTATION, post(token_handlers::rotate_token));
        let by_name = Router::new()
            .route(routes::NEW_BILLABLE, post(report::report_billables))
            .route(routes::NEW_BILLABLES, post(report::report_billables))
            .route(routes::LIST_BILLABLES, get(list::list_billables))
            .route(routes::GET_BILLABLE, get(billables::get_billable))
            .route(routes::GET_BILLABLE_HISTORY, get(billables::get_history))
            .route(routes::VOID_BILLABLES, post(void::void_billables))
            .route(routes::VOID_BILLABLE, post(void::void_billable))
            .route(routes::CHECK_BILLABLES, post(check::check_billables))
            .route(
                routes::ATTRIBUTE_SESSIONS,
                put(sessions::attribute_sessions),
            )
            .route(routes::ATTRIBUTE_SESSION, put(sessions::attribute_session))
            .route(routes::GET_SESSION, get(sessions::get_session))
            .route(routes::LIST_SESSIONS, get(sessions::list_sessions))
            .route(routes::LIST_ACCOUNTS, get(accounts::list_accounts))
            .route(routes::GET_BILLING, get(billing::get_billing))
            .route(routes::READ_LOG, get(feed::read_log))
            .route(routes::LIST_REFUSALS, get(list_refusals))
            .route(routes::GET_TOKEN, get(token_handlers::get_token))
            .route(routes::LIST_TOKENS, get(token_handlers::list_tokens))
            .route(routes::CREATE_TOKEN, post(token_handlers::create_token))
            .route(routes::ROTATE_TOKEN, post(token_handlers::rotate_token))
            .route(routes::REVOKE_TOKEN, delete(token_handlers::revoke_token));
        resources.merge(by_name).merge(Self::documentation())
    }

    fn documentation() -> Router<Self> {
        Router::new()
            .route(routes::FRONT, get(docs::get_front_page))
            .route(routes::MANUAL, get(docs::get_manual))
            .route(routes::MANUAL_PAGE, get(docs::get_manual_page))
            .route(routes::MANUAL_SUBPAGE, get(docs::get_manual_subpage))
            .route(routes::METADATA, get(docs::get_metadata))
            .route(routes::TYPES, get(docs::get_types))
            .route(routes::OPENAPI, get(docs::get_openapi))
            .route(
                routes::OPERATION_METADATA,
                get(docs::get_operation_metadata),
            )
    }

    /// The routes for orchestrators, load balancers and monitoring.
    fn probes(metrics: MethodRouter<Self>) -> Router<Self> {
        Router::new()
            .route(routes::LIVEZ, get(health::get_livez))
            .route(routes::READYZ, get(health::get_readyz))
            .route(routes::METRICS, metrics)
    }

    fn with_layers(self, routes: Router<Self>) -> Router {
        let routes = routes
            .fallback(async || ApiError::NotFound)
            .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
            // Runs before any handler, so that a browser's cross-site request changes nothing.
            .layer(
                CsrfLayer::new().with_rejection_response(|_| ApiError::CrossSite.into_response()),
            )
            .layer(CatchPanicLayer::custom(panicked))
            .with_state(self.clone());
        // A router's layers run after its routing, and this middleware rewrites paths. The
        // middleware therefore wraps an outer router whose only route is a fallback to the inner
        // one. It also writes error bodies, so handlers and inner layers return errors without a
        // body.
        Router::new()
            .fallback_service(routes)
            .layer(from_fn_with_state(self, context::middleware))
    }
}

/// Turns a panic into an ordinary 500. The panic hook has already logged it.
fn panicked(_: Box<dyn std::any::Any + Send>) -> axum::response::Response {
    ApiError::Internal.into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::extract::Request;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use std::time::Duration;

    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::billable::Timestamp;
    use crate::calendar::Zone;
    use crate::store::{Origin, Store};
    use crate::writer::Writer;

    /// Calls `handler` through the layers. Returns the status, whether there is a `Retry-After`,
    /// and the body.
    async fn call_through_layers<H, T>(handler: H) -> (u16, bool, String)
    where
        H: axum::handler::Handler<T, App>,
        T: 'static,
    {
        let directory = tempfile::tempdir().expect("a directory");
        let url = format!("sqlite://{}", directory.path().join("test.db").display());
        let store = Store::open(&url, 1).await.expect("a store");
        store.migrate().await.expect("a schema");
        let log = store
            .log_prepare(None, Timestamp::now())
            .await
            .expect("a log");
        let tokens = Tokens::load(&store, log, None).await.expect("tokens");
        let (writer, _writing) = Writer::start(&store, log, 1, Origin::Server);
        let cursors = Cursors::load(&store, log).await.expect("a key");
        let settings = Settings {
            limits: RequestLimits {
                requests: 1,
                timeout: Duration::from_millis(50),
            },
            zone: Zone::utc(),
        };
        let stop = CancellationToken::new();
        let trust = Trust::load(&store).await;
        let app = App::new(store, log, writer, tokens, trust, cursors, settings, stop);
        let router = app.with_layers(Router::new().route(routes::LIVEZ, get(handler)));
        let request = Request::get(routes::LIVEZ)
            .header("host", "x")
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
        let (status, _, body) =
            call_through_layers(async || -> String { panic!("on purpose") }).await;
        assert_eq!(status, 500);
        assert!(
            body.contains("<ErrorCode>InternalServerError</ErrorCode>")
                && !body.contains("on purpose")
        );
    }

    #[tokio::test]
    async fn a_request_that_takes_too_long_is_a_503_in_the_negotiated_format() {
        let (status, has_retry_after, body) =
            call_through_layers(std::future::pending::<String>).await;
        assert_eq!((status, has_retry_after), (503, true));
        assert!(body.contains("<ErrorCode>Timeout</ErrorCode>"));
    }

    #[tokio::test]
    async fn an_error_that_a_library_makes_gets_a_body_as_well() {
        let (status, _, body) = call_through_layers(async || http::StatusCode::IM_A_TEAPOT).await;
        assert_eq!(status, 500);
        assert!(body.contains("<ErrorCode>InternalServerError</ErrorCode>"));
    }
}
