//! `GET /refusals`: the last refused requests, newest first.

use axum::extract::State;
use axum::response::Response;

use crate::api::caller::Caller;
use crate::api::refusals::Refusal;
use crate::api::response_format::ResponseFormat;
use crate::api::{ApiError, App};
use crate::formats::record::{Record, page};
use crate::formats::value::Value;
use crate::token::Scope;

pub(in crate::api) async fn list_refusals(
    State(app): State<App>,
    caller: Caller,
    response_format: ResponseFormat,
) -> Result<Response, ApiError> {
    caller.require(Scope::Admin)?;
    let format = response_format.format;
    let refusals = app.refusals.list().into_iter().enumerate();
    let items = refusals.map(move |(index, refusal)| {
        let is_first = index == 0;
        Record::new("Refusal", members(&refusal)).write_item(format, is_first)
    });
    Ok(response_format.pieces(page("Refusal", items, None, None, format)))
}

fn members(refusal: &Refusal) -> Vec<(&'static str, Value<'_>)> {
    let Refusal {
        at,
        peer,
        client,
        sender,
        request_id,
        route,
        status,
        code,
        field,
        message,
    } = refusal;
    vec![
        ("time", Value::text(Some(at.to_string()))),
        ("peer", Value::text(peer.map(|peer| peer.to_string()))),
        (
            "client",
            Value::text(client.as_ref().map(|client| client.as_str())),
        ),
        ("sender", Value::text(sender.as_deref())),
        ("route", Value::text(Some(*route))),
        ("status", Value::Number(i64::from(*status))),
        ("code", Value::text(Some(*code))),
        ("field", Value::text(*field)),
        ("message", Value::text(Some(&**message))),
        ("requestId", Value::text(Some(&**request_id))),
    ]
}
