//! `POST /billables/{id}/void` and `POST /billables/void`: exclude one or many billables from billing.

use std::collections::{BTreeSet, HashMap, HashSet};

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::request::Parts;
use serde::Deserialize;
use uuid::Uuid;

use crate::api::caller::Caller;
use crate::api::handlers::billables::find_billable;
use crate::api::handlers::bulk::{self, TOGETHER};
use crate::api::handlers::report::IDEMPOTENT_REPLAYED;
use crate::api::resource_id::ResourceId;
use crate::api::response_format::ResponseFormat;
use crate::api::{ApiError, App, body};
use crate::billable::entry::partition_of;
use crate::billable::{Text, Void};
use crate::formats::MAX_ITEMS;
use crate::formats::decisions::{WantedVoid, check_voids, distinct, read_voids, void_outcomes};
use crate::formats::record::Record;
use crate::limits::Claim;
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

/// Voids many billables. Each has an outcome; repeating the request, also after a failure in the middle
/// of it, changes nothing that was done.
pub(in crate::api) async fn void_billables(
    State(app): State<App>,
    caller: Caller,
    response_format: ResponseFormat,
    request: Request,
) -> Result<Response, ApiError> {
    caller.require(Scope::Bill)?;
    let (head, body) = request.into_parts();
    let limit = app.request_timeout / 2;
    let (bytes, mut claim) =
        body::read(&head.headers, body, &app.budget, caller.client(), limit).await?;
    let wanted = parse_voids(&head, &bytes, &mut claim)?;
    let now = app.trust.now()?;
    let mut caller = caller.renewed(&app.tokens, now)?;
    let permit = app.reads.acquire(caller.client()).await?;
    let mut replayed = HashMap::new();
    for some in distinct(&wanted, |void| &void.id).chunks(TOGETHER) {
        // The token may have been revoked since the last ones.
        caller = caller.renewed(&app.tokens, app.trust.now()?)?;
        caller.require(Scope::Bill)?;
        let own = own_of(&app, &caller, some).await?;
        let voids = some.iter().filter(|void| own.contains(&void.id));
        let voids = voids.map(|void| Void {
            billable_id: void.id,
            reason: void.reason.clone(),
            client: caller.client().clone(),
            at: now,
            accounts: caller.accounts(),
        });
        let voids: Vec<_> = voids.collect();
        for (billable, is_replayed) in app.writer.void(voids).await?.into_iter().flatten() {
            replayed.insert(billable.id(), is_replayed);
        }
    }
    let outcomes = void_outcomes(wanted, replayed);
    Ok(bulk::outcomes(response_format, outcomes, (permit, claim)))
}

/// Returns the ids that the caller may see. Others' billables are left out by the same query as those
/// that do not exist.
async fn own_of(
    app: &App,
    caller: &Caller,
    wanted: &[&WantedVoid],
) -> Result<HashSet<Uuid>, ApiError> {
    let Some(accounts) = caller.accounts() else {
        return Ok(wanted.iter().map(|void| void.id).collect());
    };
    let accounts: Vec<_> = accounts.iter().map(String::as_str).collect();
    let ids: BTreeSet<_> = wanted
        .iter()
        .map(|void| (partition_of(void.id, app.log.partitions), void.id))
        .collect();
    let ids: Vec<_> = ids.into_iter().collect();
    let own = app.store.entries_find_of(&ids, &accounts).await?;
    Ok(own
        .into_iter()
        .map(|found| found.entry.billable_id)
        .collect())
}

/// Parses ids with a reason, as JSON, or as CSV with a reason in each row.
fn parse_voids(head: &Parts, bytes: &[u8], claim: &mut Claim) -> Result<Vec<WantedVoid>, ApiError> {
    let (bytes, format) = bulk::decoded(head, bytes, claim)?;
    let voids = read_voids::<MAX_ITEMS>(&bytes, format)?;
    if voids.rows.is_empty() {
        return Err(ApiError::missing("Ids"));
    }
    check_voids(voids).map_err(ApiError::Items)
}
