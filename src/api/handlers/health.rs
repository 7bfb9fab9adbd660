//! `GET /livez` and `GET /readyz`: liveness for the orchestrator, readiness for the load balancer.

use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use tokio::time::{Instant, timeout};

use crate::api::response_format::ResponseFormat;
use crate::api::{ApiError, App};
use crate::formats::record::Record;
use crate::formats::value::Value;

/// How long a result is reused: however many probes arrive, the store is asked once a second.
const CACHED: Duration = Duration::from_secs(1);

/// How long the store may take to answer.
const READY_TIMEOUT: Duration = Duration::from_secs(2);

pub(in crate::api) async fn get_livez(response_format: ResponseFormat) -> Response {
    healthy(response_format)
}

/// Succeeds if the store answers, the tokens are fresh, the clock is plausible and the server is not
/// stopping.
pub(in crate::api) async fn get_readyz(
    State(app): State<App>,
    response_format: ResponseFormat,
) -> Result<Response, ApiError> {
    if app.stop.is_cancelled() {
        return Err(ApiError::Stopping);
    }
    app.trust.now()?;
    if is_ready(&app).await {
        Ok(healthy(response_format))
    } else {
        Err(ApiError::StoreUnavailable)
    }
}

/// Whether the store answers with this server's log, and the tokens are fresh.
pub(in crate::api) async fn is_ready(app: &App) -> bool {
    let mut last = app.readiness.lock().await;
    match *last {
        Some((at, is_ready)) if at.elapsed() < CACHED => is_ready,
        _ => {
            let asked = timeout(READY_TIMEOUT, app.store.log_check(app.log)).await;
            let is_ready = matches!(asked, Ok(Ok(_))) && app.tokens.are_fresh();
            *last = Some((Instant::now(), is_ready));
            is_ready
        }
    }
}

fn healthy(response_format: ResponseFormat) -> Response {
    response_format
        .record(Record::new(
            "Health",
            vec![("status", Value::text(Some("ok")))],
        ))
        .into_response()
}
