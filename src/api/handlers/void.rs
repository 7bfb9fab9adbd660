//! `POST /billables/{id}/void`: excludes a billable from billing.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use serde::Deserialize;

use crate::api::caller::Caller;
use crate::api::handlers::billables::find_billable;
use crate::api::handlers::report::IDEMPOTENT_REPLAYED;
use crate::api::resource_id::ResourceId;
use crate::api::response_format::ResponseFormat;
use crate::api::{ApiError, App, body};
use crate::billable::{Text, Void};
use crate::formats::record::Record;
use crate::token::Scope;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct VoidIn {
    id: Option<String>,
    reason: Option<String>,
}

/// Voids a billable. A billable of any age can be voided, and a void cannot be undone; repeating it
/// changes nothing and keeps the first reason.
pub(in crate::api) async fn void_billable(
    State(app): State<App>,
    caller: Caller,
    response_format: ResponseFormat,
    resource_id: ResourceId,
    request: Request,
) -> Result<Response, ApiError> {
    caller.require(Scope::Bill)?;
    let (head, body) = request.into_parts();
    let limit = app.request_timeout / 2;
    let (VoidIn { id, reason }, _claim) =
        body::read_json(&head, body, &app.budget, caller.client(), limit).await?;
    let reason = reason
        .filter(|reason| !reason.trim().is_empty())
        .map(|reason| Text::named("reason", reason))
        .transpose()
        .map_err(|(code, message)| ApiError::Parameter {
            name: "Reason",
            code,
            message,
        })?;
    let now = app.trust.now()?;
    let caller = caller.renewed(&app.tokens, now)?;
    let (billable, _) = find_billable(&app, &caller, &resource_id.or(id, "Id")?).await?;
    let void = Void {
        billable_id: billable.id(),
        reason,
        client: caller.client().clone(),
        at: now,
        accounts: caller.accounts(),
    };
    let voided = app.writer.void(vec![void]).await?.pop().flatten();
    let (billable, is_replayed) = voided.ok_or(ApiError::NotFound)?;
    let mut response = response_format
        .record(Record::billable(&billable))
        .into_response();
    if is_replayed {
        response
            .headers_mut()
            .insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}
