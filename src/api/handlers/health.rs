//! `GET /livez` and `GET /readyz`: liveness for the orchestrator, readiness for the load balancer.
//!
//! Readiness is asked of the writers. A writer that has not committed anything in the last second
//! commits a transaction that changes nothing, so a full disk and a read-only database are noticed,
//! and so is their end, without any report.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use tokio::time::{Instant, timeout};

use crate::api::app::Readiness;
use crate::api::response_format::ResponseFormat;
use crate::api::{ApiError, App};
use crate::formats::record::Record;
use crate::formats::value::Value;
use crate::metrics::as_i64;

/// How long a result is reused: however many probes arrive, the store is asked once a second.
const CACHED: Duration = Duration::from_secs(1);

/// How long the store may take to answer. An orchestrator waits a second by default.
const READY_TIMEOUT: Duration = Duration::from_millis(800);

pub(in crate::api) async fn get_livez(response_format: ResponseFormat) -> Response {
    let members = vec![("status", Value::text(Some("ok")))];
    response_format.record(Record::new("Health", members))
}

/// Succeeds if a report could be stored now, in one partition at least.
pub(in crate::api) async fn get_readyz(
    State(app): State<App>,
    response_format: ResponseFormat,
) -> Result<Response, ApiError> {
    if app.stop.is_cancelled() {
        return Err(ApiError::Stopping);
    }
    app.trust.now()?;
    let readiness = readiness(&app).await;
    let Readiness {
        is_available,
        writable_partitions,
        partitions,
    } = readiness;
    if readiness.is_ready() {
        let number = |count| Value::Number(as_i64(count));
        let members = vec![
            ("status", Value::text(Some("ok"))),
            ("writablePartitions", number(writable_partitions)),
            ("partitions", number(partitions)),
        ];
        return Ok(response_format.record(Record::new("Readiness", members)));
    }
    if is_available {
        return Err(ApiError::NoWritablePartition(partitions));
    }
    Err(ApiError::StoreUnavailable)
}

/// Returns what a report would meet now.
pub(in crate::api) async fn readiness(app: &App) -> Readiness {
    let mut last = app.readiness.lock().await;
    match *last {
        Some((at, readiness)) if at.elapsed() < CACHED => readiness,
        _ => {
            let asked = timeout(READY_TIMEOUT, app.store.log_check(app.log));
            let (asked, (writable_partitions, partitions)) =
                tokio::join!(asked, app.writer.writable());
            let readiness = Readiness {
                is_available: matches!(asked, Ok(Ok(_))) && app.tokens.are_fresh(),
                writable_partitions,
                partitions,
            };
            *last = Some((Instant::now(), readiness));
            readiness
        }
    }
}
