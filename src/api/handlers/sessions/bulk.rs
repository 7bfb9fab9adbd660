//! `PUT /sessions`: decides whom many sessions are billed to.

use std::collections::HashMap;

use axum::extract::{Request, State};
use axum::response::Response;
use http::request::Parts;
use tokio::time::Instant;

use super::{ATTRIBUTION_TIMEOUT, carry_out_until};
use crate::api::caller::Caller;
use crate::api::handlers::bulk::{self, TOGETHER};
use crate::api::response_format::ResponseFormat;
use crate::api::{ApiError, App, body};
use crate::attribution::decide;
use crate::billable::Attribution;
use crate::formats::MAX_ITEMS;
use crate::formats::decisions::{
    WantedSession, check_sessions, distinct, read_sessions, session_outcomes,
};
use crate::limits::Claim;
use crate::token::Scope;

/// Decides about many sessions. Each has an outcome; repeating the request, also after a failure in the
/// middle of it, changes nothing that was done.
pub(in crate::api) async fn attribute_sessions(
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
    let wanted = parse(&head, &bytes, &mut claim)?;
    let now = app.trust.now()?;
    let mut caller = caller.renewed(&app.tokens, now)?;
    // An attribution may affect the billables of any account.
    if caller.accounts().is_some() {
        return Err(ApiError::Limited);
    }
    let permit = app.reads.acquire(caller.client()).await?;
    let deadline = Instant::now() + ATTRIBUTION_TIMEOUT;
    let mut decisions = HashMap::new();
    for some in distinct(&wanted, |one| &one.session_id).chunks(TOGETHER) {
        // The token may have been revoked, or limited to accounts, since the last ones.
        let at = app.trust.now()?;
        caller = caller.renewed(&app.tokens, at)?;
        caller.require(Scope::Bill)?;
        if caller.accounts().is_some() {
            return Err(ApiError::Limited);
        }
        let attributions = some.iter().map(|one| Attribution {
            session_id: one.session_id.clone(),
            pair: one.pair.clone(),
            client: caller.client().clone(),
            decided_at: at,
        });
        let attributions: Vec<_> = attributions.collect();
        let (mut decided, open) = decide(&app.store, &attributions).await?;
        let sessions: Vec<_> = open.iter().map(|one| one.session_id.clone()).collect();
        if !open.is_empty() && !carry_out_until(&app, open, deadline).await? {
            for session in &sessions {
                let decision = decided.get_mut(session);
                decision.expect("it was decided").outcome = "pending";
            }
        }
        decisions.extend(decided);
    }
    let outcomes = session_outcomes(wanted, decisions);
    Ok(bulk::outcomes(response_format, outcomes, (permit, claim)))
}

/// Parses decisions, as JSON (an array, or an object with one) or CSV.
fn parse(head: &Parts, bytes: &[u8], claim: &mut Claim) -> Result<Vec<WantedSession>, ApiError> {
    let (bytes, format) = bulk::decoded(head, bytes, claim)?;
    let rows = read_sessions::<MAX_ITEMS>(&bytes, format)?;
    if rows.is_empty() {
        return Err(ApiError::missing("Sessions"));
    }
    check_sessions(rows).map_err(ApiError::Items)
}
