//! Builds the responses to reports.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderValue, StatusCode};

use super::{BILLABLE_IGNORED, IDEMPOTENT_REPLAYED};
use crate::api::layers::access_log;
use crate::api::path::RouteStyle;
use crate::api::prefer::Return;
use crate::api::refusals::IgnoredEvent;
use crate::api::response_format::ResponseFormat;
use crate::billable::Billable;
use crate::formats::record::{Record, list, write_nulls};
use crate::formats::value::Value;
use crate::limits::Claim;
use crate::senders::Ignored;

/// The response to an event that is not stored.
pub(super) fn ignored_response(reason: Ignored) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let value = HeaderValue::from_static(reason.as_str());
    response.headers_mut().insert(BILLABLE_IGNORED, value);
    let outcome = access_log::RequestOutcome("ignored");
    response.extensions_mut().insert(outcome);
    response
}

/// Gives a success the status and the body that the sender needs.
pub(super) fn replied(
    response: Response,
    reply: Option<(StatusCode, HeaderValue, String)>,
) -> Response {
    let Some((status, content_type, body)) = reply.filter(|_| response.status().is_success())
    else {
        return response;
    };
    let (mut head, _) = response.into_parts();
    head.status = status;
    head.headers.insert(CONTENT_TYPE, content_type);
    Response::from_parts(head, body.into())
}

/// An item of a batch in its response.
#[expect(clippy::large_enum_variant, reason = "most items are billables")]
pub(super) enum Item {
    /// A billable, and whether it was stored before.
    Stored(Billable, bool),
    Ignored(Ignored),
}

/// Returns the items of a request in its order.
pub(super) fn in_order(billables: Vec<(Billable, bool)>, ignored: &[IgnoredEvent]) -> Vec<Item> {
    let mut items = Vec::with_capacity(billables.len() + ignored.len());
    let (mut billables, mut ignored) = (billables.into_iter(), ignored.iter().peekable());
    loop {
        let index = items.len();
        if let Some(event) = ignored.next_if(|event| event.index == index) {
            items.push(Item::Ignored(event.reason));
        } else if let Some((billable, is_replayed)) = billables.next() {
            items.push(Item::Stored(billable, is_replayed));
        } else {
            return items;
        }
    }
}

/// Builds the response to success. By default resource routes return the stored billables, and
/// ServiceStack routes do not. `Prefer` overrides the default.
pub(super) fn stored(
    response_format: ResponseFormat,
    style: RouteStyle,
    preferred: Option<Return>,
    is_batch: bool,
    items: Vec<Item>,
    claim: Arc<Claim>,
) -> Response {
    let is_any_new = items
        .iter()
        .any(|item| matches!(item, Item::Stored(_, false)));
    let is_any_stored = items.iter().any(|item| matches!(item, Item::Stored(..)));
    let status = if is_any_new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let is_operation = matches!(style, RouteStyle::Operation { .. });
    let shown = preferred.unwrap_or(if is_operation {
        Return::Minimal
    } else {
        Return::Representation
    });
    let location = match &*items {
        [Item::Stored(billable, _)] if !is_batch => Some(format!("/billables/{}", billable.id())),
        _ => None,
    };
    let is_replayed = !is_any_new && is_any_stored;
    let outcome = if is_replayed { "replayed" } else { "stored" };
    let format = response_format.format;
    let mut response = match (shown, &*items) {
        // ServiceStack clients count the nulls.
        (Return::Minimal, _) if is_batch && preferred.is_none() => {
            response_format.text(write_nulls(items.len(), format))
        }
        (Return::Minimal, _) => StatusCode::NO_CONTENT.into_response(),
        (Return::Representation, [Item::Stored(billable, _)]) if !is_batch => {
            (status, response_format.record(Record::billable(billable))).into_response()
        }
        (Return::Representation, _) => {
            let items = items.into_iter().enumerate().map(move |(index, item)| {
                let _held = &claim;
                let record = match &item {
                    Item::Stored(billable, is_replayed) => {
                        Record::billable(billable).with("replayed", Value::Bool(*is_replayed))
                    }
                    Item::Ignored(reason) => Record::ignored(reason.as_str(), format),
                };
                record.write_item(format, index == 0)
            });
            let list = list("Billable", items, format);
            (status, response_format.pieces(list)).into_response()
        }
    };
    let headers = response.headers_mut();
    headers.extend(preferred.map(Return::applied));
    headers.extend(location.map(|location| {
        let location = HeaderValue::from_str(&location).expect("a path is visible ASCII");
        (LOCATION, location)
    }));
    if is_replayed {
        headers.insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    response
        .extensions_mut()
        .insert(access_log::RequestOutcome(outcome));
    response
}
