//! `PUT /sessions`: decides whom many sessions are billed to.

use std::collections::{HashMap, HashSet};

use axum::extract::{Request, State};
use axum::response::Response;
use http::request::Parts;
use tokio::time::Instant;

use super::{ATTRIBUTION_TIMEOUT, carry_out_until};
use crate::api::caller::Caller;
use crate::api::handlers::bulk::{self, TOGETHER};
use crate::api::response_format::ResponseFormat;
use crate::api::{ApiError, App, body};
use crate::billable::{Attribution, Pair, Text};
use crate::formats::MAX_ITEMS;
use crate::formats::decisions::{WantedSession, check_sessions, read_sessions};
use crate::limits::Claim;
use crate::store::SessionFound;
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
    // Each session once, with the first pair.
    let mut seen = HashSet::new();
    let distinct = wanted.iter().filter(|one| seen.insert(&one.session_id));
    let distinct: Vec<_> = distinct.collect();
    let mut decisions = HashMap::new();
    for some in distinct.chunks(TOGETHER) {
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
        decide(&app, attributions.collect(), deadline, &mut decisions).await?;
    }
    let outcomes = wanted.into_iter().map(|one| {
        let outcome = match decisions.get_mut(&one.session_id) {
            Some(decision) if decision.pair == one.pair => {
                let outcome = decision.outcome;
                if outcome == "decided" {
                    // A further item of the same session changes nothing.
                    decision.outcome = "same";
                }
                outcome
            }
            _ => "conflict",
        };
        (one.session_id.as_str().to_owned(), outcome)
    });
    let held = (permit, claim);
    Ok(bulk::outcomes(response_format, outcomes.collect(), held))
}

/// What a session is billed to, and the outcome of an item that asks for it.
#[derive(Debug)]
struct Decision {
    pair: Pair,
    outcome: &'static str,
}

/// Stores decisions and carries them out, with those that were stored before and are not carried out
/// yet.
async fn decide(
    app: &App,
    wanted: Vec<Attribution>,
    deadline: Instant,
    decisions: &mut HashMap<Text, Decision>,
) -> Result<(), ApiError> {
    let found = app.store.sessions_decide(&wanted).await?;
    let wanted: HashMap<_, _> = wanted.iter().map(|one| (&one.session_id, one)).collect();
    let asked = |found: &SessionFound| {
        let wanted = wanted.get(&found.attribution.session_id);
        wanted.is_some_and(|wanted| wanted.pair == found.attribution.pair)
    };
    let open = found.iter().filter(|one| !one.is_complete && asked(one));
    let open: Vec<_> = open.map(|one| one.attribution.clone()).collect();
    let is_done = open.is_empty() || carry_out_until(app, open, deadline).await?;
    for SessionFound {
        attribution,
        is_complete,
    } in found
    {
        let is_new = wanted.get(&attribution.session_id) == Some(&&attribution);
        let outcome = match (is_complete || is_done, is_new) {
            (false, _) => "pending",
            (true, true) => "decided",
            (true, false) => "same",
        };
        let Attribution {
            session_id, pair, ..
        } = attribution;
        decisions.insert(session_id, Decision { pair, outcome });
    }
    Ok(())
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
