//! `GET /token`: what the caller's token may do. `/tokens`: lists, creates, rotates and revokes
//! tokens.

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;
use serde::de::DeserializeOwned;
use tracing::info;
use uuid::Uuid;

use crate::api::caller::Caller;
use crate::api::resource_id::ResourceId;
use crate::api::response_format::ResponseFormat;
use crate::api::{ApiError, App, body};
use crate::billable::Timestamp;
use crate::formats::Format;
use crate::formats::json::object;
use crate::formats::record::{Record, page};
use crate::formats::value::Value;
use crate::issuing::{
    Issued, Issuer, RotationRequest, TokenRequest, create, issued_record, readable, rights, rotate,
    token_record,
};
use crate::token::Scope;

/// The largest body, in bytes: 64 KiB.
const MAX_BODY: usize = 64 * 1024;

pub(in crate::api) async fn get_token(
    State(app): State<App>,
    caller: Caller,
    response_format: ResponseFormat,
) -> Response {
    let grant = caller.grant();
    let scopes = Scope::ALL.into_iter().filter(|scope| grant.has(*scope));
    let members = rights(
        grant.client.as_str(),
        scopes,
        grant.accounts.as_deref(),
        caller.rate(),
        caller.expires_at(),
    );
    let epoch = Value::text(Some(app.log.epoch.to_string()));
    response_format.record(Record::new("CurrentToken", members).with("epoch", epoch))
}

pub(in crate::api) async fn list_tokens(
    State(app): State<App>,
    caller: Caller,
    response_format: ResponseFormat,
) -> Result<Response, ApiError> {
    caller.require(Scope::Admin)?;
    let permit = app.reads.acquire(caller.client()).await?;
    let tokens = readable(&app.store).await?.into_iter().enumerate();
    let format = response_format.format;
    let items = tokens.map(move |(index, token)| {
        let _held = &permit;
        token_record(&token).write_item(format, index == 0)
    });
    Ok(response_format.pieces(page("Token", items, None, None, format)))
}

pub(in crate::api) async fn create_token(
    State(app): State<App>,
    caller: Caller,
    response_format: ResponseFormat,
    request: Request,
) -> Result<Response, ApiError> {
    let (caller, wanted, now) = read::<TokenRequest>(&app, caller, request).await?;
    let issued = create(&app.store, wanted.check()?, Some(issuer(&caller)), now).await?;
    info!(client = caller.client().as_str(), token.id = %issued.token.id, "created a token");
    Ok(answer(response_format, &issued))
}

pub(in crate::api) async fn rotate_token(
    State(app): State<App>,
    caller: Caller,
    response_format: ResponseFormat,
    resource_id: ResourceId,
    request: Request,
) -> Result<Response, ApiError> {
    let (caller, mut wanted, now) = read::<RotationRequest>(&app, caller, request).await?;
    let old = parse_id(&resource_id.or(wanted.id.take(), "Id")?)?;
    let issued = rotate(&app.store, old, wanted.check()?, Some(issuer(&caller)), now).await?;
    info!(client = caller.client().as_str(), token.id = %old, new = %issued.token.id, "rotated a token");
    Ok(answer(response_format, &issued))
}

/// Revokes a token, also while the clock is in doubt: a leaked token must not wait for that.
pub(in crate::api) async fn revoke_token(
    State(app): State<App>,
    caller: Caller,
    resource_id: ResourceId,
) -> Result<StatusCode, ApiError> {
    caller.require(Scope::Admin)?;
    let id = parse_id(&resource_id.or(None, "Id")?)?;
    app.tokens.reload().await?;
    let caller = caller.renewed(&app.tokens, Timestamp::now())?;
    caller.require(Scope::Admin)?;
    if !app.store.token_revoke(id, Timestamp::now()).await? {
        return Err(ApiError::NotFound);
    }
    info!(client = caller.client().as_str(), token.id = %id, "revoked a token");
    // On this server it ends at once. If that fails, it ends like on the others.
    let _ = app.tokens.reload().await;
    Ok(StatusCode::NO_CONTENT)
}

/// Reads a request of an administrator, whose token is still valid once it has arrived.
async fn read<T: DeserializeOwned>(
    app: &App,
    caller: Caller,
    request: Request,
) -> Result<(Caller, T, Timestamp), ApiError> {
    caller.require(Scope::Admin)?;
    let (head, body) = request.into_parts();
    let limit = app.request_timeout / 2;
    let (bytes, _claim) =
        body::read(&head.headers, body, &app.budget, caller.client(), limit).await?;
    let wanted = parse(&head, &bytes)?;
    // A token that was just revoked must not leave others behind.
    app.tokens.reload().await?;
    let now = app.trust.now()?;
    let caller = caller.renewed(&app.tokens, now)?;
    caller.require(Scope::Admin)?;
    Ok((caller, wanted, now))
}

fn parse<T: DeserializeOwned>(head: &Parts, bytes: &Bytes) -> Result<T, ApiError> {
    if bytes.len() > MAX_BODY {
        return Err(ApiError::TooLarge(MAX_BODY));
    }
    if !body::is_in(head, bytes, Format::Json) {
        return Err(ApiError::NotJson);
    }
    Ok(object(bytes)?)
}

fn issuer(caller: &Caller) -> Issuer<'_> {
    Issuer {
        grant: caller.grant(),
        expires_at: caller.expires_at(),
    }
}

fn parse_id(text: &str) -> Result<Uuid, ApiError> {
    text.parse().map_err(|_| ApiError::NotFound)
}

fn answer(response_format: ResponseFormat, issued: &Issued) -> Response {
    let body = response_format.record(issued_record(issued));
    (StatusCode::CREATED, body).into_response()
}
