//! `PUT` and `GET /sessions/{sessionId}`: the account and customer that a session is billed to; and
//! `GET /sessions`: the sessions with something that bills nobody. `bulk.rs` decides many at once.

mod bulk;

use std::time::Duration;

use axum::extract::{RawQuery, Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use tokio::time::{Instant, timeout_at};
use tracing::Instrument;

use crate::api::caller::Caller;
use crate::api::handlers::list::{of_ids, page_of};
use crate::api::query::Query;
use crate::api::resource_id::ResourceId;
use crate::api::response_format::ResponseFormat;
use crate::api::{ApiError, App, body};
use crate::billable::{Attribution, Field, Text, Timestamp};
use crate::formats::decisions::{SessionIn, WantedSession};
use crate::formats::record::Record;
use crate::formats::value::Value;
use crate::store::{DerivedPage, SessionFound, UndecidedRow};
use crate::token::Scope;

/// How long a request waits for its attribution. After that the response is 202, and the
/// attribution continues.
const ATTRIBUTION_TIMEOUT: Duration = Duration::from_secs(10);

/// Sets the account and customer of a session, which is possible only once, and attributes its
/// billables.
pub(in crate::api) async fn attribute_session(
    State(app): State<App>,
    caller: Caller,
    response_format: ResponseFormat,
    resource_id: ResourceId,
    request: Request,
) -> Result<Response, ApiError> {
    caller.require(Scope::Bill)?;
    let (head, body) = request.into_parts();
    let limit = app.request_timeout / 2;
    let (mut wanted, _claim): (SessionIn, _) =
        body::read_json(&head, body, &app.budget, caller.client(), limit).await?;
    let now = app.trust.now()?;
    let caller = caller.renewed(&app.tokens, now)?;
    // An attribution may affect the billables of any account.
    if caller.accounts().is_some() {
        return Err(ApiError::Limited);
    }
    wanted.session_id = Some(resource_id.or(wanted.session_id.take(), "SessionId")?);
    let WantedSession { session_id, pair } = wanted.check()?;
    let wanted = Attribution {
        session_id,
        pair,
        client: caller.client().clone(),
        decided_at: now,
    };
    let decided = match app.store.session_find(wanted.session_id.as_str()).await? {
        Some(decided) => decided,
        None => {
            let decided = app
                .store
                .sessions_decide(std::slice::from_ref(&wanted))
                .await?;
            decided.into_iter().next().ok_or(ApiError::Internal)?
        }
    };
    let differing = decided.attribution.pair.differing(&wanted.pair);
    if !differing.is_empty() {
        return Err(ApiError::AttributionConflict(differing));
    }
    if decided.is_complete {
        return Ok(shown(response_format, &decided));
    }
    let deadline = Instant::now() + ATTRIBUTION_TIMEOUT;
    let attribution = decided.attribution.clone();
    if carry_out_until(&app, vec![attribution], deadline).await? {
        let done = SessionFound {
            is_complete: true,
            ..decided
        };
        Ok(shown(response_format, &done))
    } else {
        Ok((StatusCode::ACCEPTED, shown(response_format, &decided)).into_response())
    }
}

/// Carries out decisions, and returns whether that is done. It continues after the deadline, and if the
/// client does not wait for it.
async fn carry_out_until(
    app: &App,
    attributions: Vec<Attribution>,
    deadline: Instant,
) -> Result<bool, ApiError> {
    if Instant::now() >= deadline {
        return Ok(false);
    }
    let carrying = {
        let app = app.clone();
        async move { app.carrier.carry_out(attributions).await }
    };
    let carrying = tokio::spawn(carrying.in_current_span());
    match timeout_at(deadline, carrying).await {
        Ok(Ok(Ok(()))) => Ok(true),
        Ok(Ok(Err(error))) => {
            tracing::warn!(
                error = crate::telemetry::chain(&error),
                "an attribution failed and will be retried"
            );
            Err(ApiError::StoreUnavailable)
        }
        Ok(Err(_)) => Err(ApiError::Internal),
        Err(_) => Ok(false),
    }
}

/// Returns the account and customer that a session is billed to.
pub(in crate::api) async fn get_session(
    State(app): State<App>,
    caller: Caller,
    response_format: ResponseFormat,
    resource_id: ResourceId,
) -> Result<Response, ApiError> {
    caller.require(Scope::Read)?;
    let id = session_id(resource_id.or(None, "SessionId")?)?;
    let found = app.store.session_find(id.as_str()).await?;
    let found = found.filter(|found| {
        let account = &found.attribution.pair.account_id;
        caller.require_account(Some(account)).is_ok()
    });
    Ok(shown(response_format, &found.ok_or(ApiError::NotFound)?))
}

pub(in crate::api) use bulk::attribute_sessions;

/// Tells the cursors of undecided sessions from those of other lists.
const LIST: &[u8] = b"sessions";

/// Returns the sessions that have unattributed billables, each with the reason.
pub(in crate::api) async fn list_sessions(
    State(app): State<App>,
    caller: Caller,
    response_format: ResponseFormat,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    caller.require(Scope::Read)?;
    let query = Query::parse(query.as_deref())?;
    if query.get("state") != Some("undecided") {
        return Err(ApiError::parameter("State", "must be undecided"));
    }
    let (limit, after) = of_ids(&app, &query, LIST)?;
    let permit = app.reads.acquire(caller.client()).await?;
    let page = DerivedPage {
        after: &after,
        accounts: caller.accounts(),
        limit,
    };
    let (sessions, next) = app.store.undecided_page(app.log, &page).await?;
    let next = next.map(|id| app.cursors.seal_id(LIST, &id)).transpose()?;
    let format = response_format.format;
    let items = sessions
        .into_iter()
        .enumerate()
        .map(move |(index, session)| {
            let _held = &permit;
            let UndecidedRow {
                session_id,
                billable_count,
                first_at,
                decided_account,
            } = session;
            // A limited caller learns nothing of a decision for another account.
            let is_decided = decided_account.is_some_and(|account| caller.grant().covers(&account));
            let reason = if is_decided {
                "contradicted"
            } else {
                "notDecided"
            };
            let first = Timestamp::from_micros(first_at).map(|first| first.to_string());
            let members = vec![
                ("sessionId", Value::text(Some(session_id))),
                ("count", Value::Number(billable_count)),
                ("first", Value::text(first)),
                ("reason", Value::text(Some(reason))),
            ];
            Record::new("UndecidedSession", members).write_item(format, index == 0)
        });
    let name = "UndecidedSession";
    Ok(page_of(response_format, name, items, next.as_deref()))
}

fn shown(response_format: ResponseFormat, found: &SessionFound) -> Response {
    let Attribution {
        session_id,
        pair,
        decided_at,
        ..
    } = &found.attribution;
    let members = vec![
        ("sessionId", Value::text(Some(session_id.as_str()))),
        ("accountId", Value::text(Some(pair.account_id.as_str()))),
        ("customerId", Value::text(Some(pair.customer_id.as_str()))),
        ("decidedAt", Value::text(Some(decided_at.to_string()))),
        ("isComplete", Value::Bool(found.is_complete)),
    ];
    response_format.record(Record::new("Session", members))
}

fn session_id(id: String) -> Result<Text, ApiError> {
    // No report has a blank session, because that counts as none.
    if id.trim().is_empty() {
        return Err(ApiError::missing("SessionId"));
    }
    Text::parse(Field::SessionId, id).map_err(|error| vec![error].into())
}
