//! `GET /metrics`: the metrics of the process, for Prometheus.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;

use crate::api::caller::Caller;
use crate::api::{ApiError, App};
use crate::billable::Timestamp;
use crate::contract::operations::METRICS_TYPE;
use crate::metrics::{METRICS, Pool, Pooled, as_i64};
use crate::token::Scope;

/// Returns the metrics. They count the reports of all accounts, so an account-limited token is
/// refused.
pub(in crate::api) async fn get_metrics(
    app: State<App>,
    caller: Caller,
) -> Result<Response, ApiError> {
    caller.require(Scope::Read)?;
    if caller.accounts().is_some() {
        return Err(ApiError::Limited);
    }
    Ok(get_metrics_without_token(app).await)
}

/// Returns the metrics on the separate address for probes, which needs no token.
pub(in crate::api) async fn get_metrics_without_token(State(app): State<App>) -> Response {
    app.in_flight.measure();
    app.writer.measure();
    app.budget.measure();
    METRICS
        .tokens_age_seconds
        .set(app.tokens.age().as_secs_f64());
    for pool in app.store.pools() {
        let name = pool.name;
        for (state, count) in [("used", pool.used), ("idle", pool.idle)] {
            let pooled = Pooled { pool: name, state };
            METRICS
                .pool_connections
                .get_or_create(&pooled)
                .set(as_i64(count));
        }
        METRICS
            .pool_connections_limit
            .get_or_create(&Pool { pool: name })
            .set(pool.limit.into());
    }
    let text = METRICS.encode(Timestamp::now().as_micros());
    ([(CONTENT_TYPE, METRICS_TYPE)], text).into_response()
}
