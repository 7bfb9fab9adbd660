//! `POST /billables` and its ServiceStack routes: stores reports as billables.

use std::sync::Arc;

use axum::extract::{RawQuery, Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::task::block_in_place;

use crate::api::caller::Caller;
use crate::api::layers::access_log;
use crate::api::path::RouteStyle;
use crate::api::prefer::Return;
use crate::api::response_format::ResponseFormat;
use crate::api::{ApiError, App, body};
use crate::billable::identity::random_id;
use crate::billable::{Billable, Entry, IdempotencyKey, Identity, RawReport, Timestamp};
use crate::formats::charset::{self, Charset};
use crate::formats::record::{Record, list, write_nulls};
use crate::formats::value::Value;
use crate::formats::{Binding, BodyFormat, Document};
use crate::limits::Claim;
use crate::metrics::{METRICS, ReportLabels};
use crate::token::Scope;
use crate::writer::{AppendOutcome, WriteError};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
pub(in crate::api) const IDEMPOTENT_REPLAYED: HeaderName =
    HeaderName::from_static("idempotent-replayed");
const BILLABLE_DIFFERS: HeaderName = HeaderName::from_static("billable-differs");
const BILLABLE_IDENTITY: HeaderName = HeaderName::from_static("billable-identity");
const X_AUTOBATCH_COMPLETED: HeaderName = HeaderName::from_static("x-autobatch-completed");

/// The memory of a batch item apart from its share of the body, in bytes: the entry, its outcome
/// and its part of the response.
const ITEM: usize = 2 * 1024;

/// Longer bodies, in bytes, are parsed with `block_in_place`, because the largest body may take a
/// second.
const LARGE_BODY: usize = 64 * 1024;

/// Stores one or more reports, and responds when all are durable.
pub(in crate::api) async fn report_billables(
    State(app): State<App>,
    caller: Caller,
    response_format: ResponseFormat,
    style: RouteStyle,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, ApiError> {
    caller.require(Scope::Report)?;
    let (head, body) = request.into_parts();
    let key = idempotency_key(&head.headers)?;
    let (body, mut claim) = body::read(
        &head.headers,
        body,
        &app.budget,
        caller.client(),
        app.request_timeout / 2,
    )
    .await?;
    let _permit = app.in_flight.enter_report()?;
    let now = app.trust.now()?;
    let caller = caller.renewed(&app.tokens, now)?;
    let query = query.as_deref().unwrap_or_default();
    let mut read = || read(&head.headers, &body, query, style, &mut claim);
    let document = if body.len() > LARGE_BODY {
        block_in_place(read)?
    } else {
        read()?
    };
    if key.is_none() && !document.unrecognised().is_empty() {
        let members = document.unrecognised().to_vec();
        return Err(ApiError::NothingRecognised(members));
    }
    let is_batch = document.is_batch();
    let has_hashed_call = document.has_hashed_call();
    let reports = document.into_reports();
    if is_batch {
        claim.grow(reports.len() * ITEM)?;
    }
    let entries = entries(&caller, key.as_ref(), reports, is_batch, now)?;
    let (entries, given): (Vec<_>, Vec<_>) = entries.into_iter().unzip();
    let kinds: Vec<_> = entries
        .iter()
        .map(|entry| entry.identity.as_str())
        .collect();

    let claim = Arc::new(claim);
    let outcomes = app.writer.append(entries, Some(&claim)).await;
    assert_eq!(kinds.len(), outcomes.len(), "an outcome for each report");
    let mut is_any_different = false;
    for ((identity, given), outcome) in kinds.iter().zip(given).zip(&outcomes) {
        count(identity, outcome);
        if differs(given, outcome) {
            METRICS.replays_differing.inc();
            is_any_different = true;
        }
    }
    let batch = BatchResult::of(outcomes, is_batch, |billable| caller.sees(billable));
    let mut response = match batch.result {
        Ok(billables) => stored(
            response_format,
            style,
            Return::of(&head.headers),
            is_batch,
            billables,
            claim,
        ),
        Err(error) => error.into_response(),
    };
    let headers = response.headers_mut();
    let differing = match (has_hashed_call, is_any_different) {
        (true, true) => Some("callSid, occurredAt"),
        (true, false) => Some("callSid"),
        (false, true) => Some("occurredAt"),
        (false, false) => None,
    };
    let differing = differing.map(HeaderValue::from_static);
    headers.extend(differing.map(|fields| (BILLABLE_DIFFERS, fields)));
    headers.extend(identities(kinds).map(|identities| (BILLABLE_IDENTITY, identities)));
    if is_batch && matches!(style, RouteStyle::Operation { .. }) && batch.items > 0 {
        headers.insert(X_AUTOBATCH_COMPLETED, batch.completed.into());
    }
    Ok(response)
}

/// Parses the reports of a request, from its body and its query.
fn read(
    headers: &HeaderMap,
    body: &[u8],
    query: &str,
    style: RouteStyle,
    claim: &mut Claim,
) -> Result<Document, ApiError> {
    // A Content-Type that is not ASCII is unsupported; a missing one is sniffed.
    let content_type = headers
        .get(CONTENT_TYPE)
        .map(|value| value.to_str().unwrap_or("?"));
    let is_operation = matches!(style, RouteStyle::Operation { .. });
    let charset = match Charset::of(content_type) {
        // Routes by name ignore a charset that is not known, and an empty body has none.
        Err(_) if is_operation || body.is_empty() => Charset::Utf8,
        charset => charset?,
    };
    claim.grow(charset.memory(body))?;
    let body = &*charset.decode(body)?;
    let malformed = |reason: &str| Err(ApiError::Malformed(reason.to_owned()));
    let mut document;
    let binding = match style {
        RouteStyle::Resource { .. } => {
            let format = BodyFormat::of(content_type, body)?;
            document = format.read(body)?;
            Binding {
                query_wins: !format.is_form(),
                takes_hints: true,
            }
        }
        RouteStyle::Operation { format, is_batch } => {
            if is_batch && body.is_empty() {
                return malformed("the body of a batch must not be empty");
            }
            document = BodyFormat::of_route(format, content_type, body).read(body)?;
            document = match is_batch {
                true => document.into_batch(),
                false if document.is_batch() => {
                    return malformed("a batch of reports must be sent to NewBillable[]");
                }
                false => document,
            };
            Binding {
                query_wins: false,
                takes_hints: false,
            }
        }
    };
    if charset == Charset::Windows1252 {
        document.decode_fields(charset::windows_1252);
    }
    document.bind(query, binding)?;
    Ok(document)
}

/// Returns the entries, each with the `occurredAt` that the report gave, if all reports are valid
/// and allowed, else all errors of all reports.
fn entries(
    caller: &Caller,
    key: Option<&IdempotencyKey>,
    reports: Vec<RawReport>,
    is_batch: bool,
    now: Timestamp,
) -> Result<Vec<(Entry, Option<Timestamp>)>, ApiError> {
    let mut entries = Vec::with_capacity(reports.len());
    let mut errors = Vec::new();
    for (index, raw) in reports.into_iter().enumerate() {
        let index = is_batch.then_some(index);
        match caller.accept(raw, now) {
            Ok(report) => {
                let index = index.map(|index| u32::try_from(index).expect("a batch is bounded"));
                let identity = Identity::of(key.cloned(), index, &report.reported);
                let id = identity.id(caller.client(), &report.reported, || random_id(now));
                let client = caller.client().clone();
                let given = report.occurred_at;
                entries.push((Entry::recorded(id, report, identity, client, now), given));
            }
            Err(found) => errors.extend(found.into_iter().map(|error| (index, error))),
        }
    }
    if errors.is_empty() {
        Ok(entries)
    } else {
        Err(ApiError::Invalid(errors))
    }
}

/// Whether a report that was already stored gave another time of the call than the stored one.
fn differs(given: Option<Timestamp>, outcome: &Result<AppendOutcome, WriteError>) -> bool {
    match (given, outcome) {
        (Some(given), Ok(AppendOutcome::Replayed(stored))) => stored.recorded.occurred_at != given,
        _ => false,
    }
}

/// Counts a report if its outcome is known.
fn count(identity: &'static str, outcome: &Result<AppendOutcome, WriteError>) {
    let outcome = match outcome {
        Ok(AppendOutcome::Stored(_)) => "stored",
        Ok(AppendOutcome::Replayed(_)) => "replayed",
        Ok(AppendOutcome::Conflict(..)) => "conflict",
        Err(_) => return,
    };
    let labels = ReportLabels { identity, outcome };
    METRICS.reports.get_or_create(&labels).inc();
}

/// Returns each kind of identity that the reports have, once, or `None` if there are no reports.
fn identities(mut kinds: Vec<&str>) -> Option<HeaderValue> {
    kinds.sort_unstable();
    kinds.dedup();
    let kinds = (!kinds.is_empty()).then(|| kinds.join(", "))?;
    Some(HeaderValue::from_str(&kinds).expect("words are visible ASCII"))
}

/// The combined result of all items.
struct BatchResult {
    items: usize,
    /// The number of stored items before the first one that is not stored.
    completed: usize,
    /// The billables, each with whether it was stored before.
    result: Result<Vec<(Billable, bool)>, ApiError>,
}

impl BatchResult {
    /// An unknown outcome takes precedence over conflicts of other items, because it needs a retry.
    /// The differing fields of a billable that the caller does not see are left out.
    fn of(
        outcomes: Vec<Result<AppendOutcome, WriteError>>,
        is_batch: bool,
        sees: impl Fn(&Billable) -> bool,
    ) -> Self {
        let items = outcomes.len();
        // `Full` tells the client that nothing was stored, so it is returned only if every item got
        // it. Otherwise another partition may have stored its part.
        let is_all_full = outcomes
            .iter()
            .all(|outcome| matches!(outcome, Err(WriteError::Full)));
        let mut billables = Vec::with_capacity(items);
        let mut conflicts = Vec::new();
        let mut failure = None;
        let mut completed = None;
        for (index, outcome) in outcomes.into_iter().enumerate() {
            match outcome {
                Ok(AppendOutcome::Stored(billable)) => billables.push((billable, false)),
                Ok(AppendOutcome::Replayed(billable)) => billables.push((billable, true)),
                Ok(AppendOutcome::Conflict(fields, stored)) => {
                    let item = is_batch.then_some(index);
                    let shown = if sees(&stored) { fields } else { Vec::new() };
                    conflicts.push((item, shown));
                    completed.get_or_insert(index);
                }
                Err(error) => {
                    failure.get_or_insert(match error {
                        WriteError::Full if !is_all_full => WriteError::Unavailable,
                        error => error,
                    });
                    completed.get_or_insert(index);
                }
            }
        }
        let result = match failure {
            // The index of the first item that is not stored, even if a later one failed.
            Some(error) if is_batch => {
                let index = completed.unwrap_or_default();
                Err(ApiError::AtItem(index, Box::new(error.into())))
            }
            Some(error) => Err(error.into()),
            None if conflicts.is_empty() => Ok(billables),
            None => Err(ApiError::IdempotencyConflict(conflicts)),
        };
        Self {
            items,
            completed: completed.unwrap_or(items),
            result,
        }
    }
}

/// Builds the response to success. By default resource routes return the stored billables, and
/// ServiceStack routes do not. `Prefer` overrides the default.
fn stored(
    response_format: ResponseFormat,
    style: RouteStyle,
    preferred: Option<Return>,
    is_batch: bool,
    billables: Vec<(Billable, bool)>,
    claim: Arc<Claim>,
) -> Response {
    let is_any_new = billables.iter().any(|(_, is_replayed)| !is_replayed);
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
    let location = match &*billables {
        [(billable, _)] if !is_batch => Some(format!("/billables/{}", billable.id())),
        _ => None,
    };
    let is_replayed = !is_any_new && !billables.is_empty();
    let outcome = if is_replayed { "replayed" } else { "stored" };
    let format = response_format.format;
    let mut response =
        match (shown, &*billables) {
            // ServiceStack clients count the nulls.
            (Return::Minimal, _) if is_batch && preferred.is_none() => {
                response_format.text(write_nulls(billables.len(), format))
            }
            (Return::Minimal, _) => StatusCode::NO_CONTENT.into_response(),
            (Return::Representation, [(billable, _)]) if !is_batch => {
                (status, response_format.record(Record::billable(billable))).into_response()
            }
            (Return::Representation, _) => {
                let items = billables.into_iter().enumerate().map(
                    move |(index, (billable, is_replayed))| {
                        let _held = &claim;
                        Record::billable(&billable)
                            .with("replayed", Value::Bool(is_replayed))
                            .write_item(format, index == 0)
                    },
                );
                (
                    status,
                    response_format.pieces(list("Billable", items, format)),
                )
                    .into_response()
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

fn idempotency_key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, ApiError> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => IdempotencyKey::parse_header(value.as_bytes())
            .map(Some)
            .ok_or(ApiError::BadKey),
        (Some(_), Some(_)) => Err(ApiError::BadKey),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::billable::{ClientName, Field, RawValue, Report};

    fn billable() -> Billable {
        let mut raw = RawReport::default();
        raw.set(Field::SessionId, Some(RawValue::Text("S".to_owned())));
        let now = Timestamp::now();
        let report = Report::parse(raw, now).expect("a report");
        let client = ClientName::parse("c").expect("a name");
        Billable::new(Entry::recorded(
            random_id(now),
            report,
            Identity::None,
            client,
            now,
        ))
    }

    /// An unknown outcome after a conflict, which is possible with several partitions.
    #[test]
    fn the_index_of_a_failure_is_the_first_item_that_is_not_stored() {
        let outcomes = || {
            vec![
                Ok(AppendOutcome::Replayed(billable())),
                Ok(AppendOutcome::Conflict(
                    vec![Field::CallSid],
                    Box::new(billable()),
                )),
                Ok(AppendOutcome::Stored(billable())),
                Err(WriteError::Unavailable),
            ]
        };
        let batch = BatchResult::of(outcomes(), true, |_| true);
        assert_eq!((batch.items, batch.completed), (4, 1));
        let error = batch.result.expect_err("an unknown outcome");
        assert_eq!(error.code(), "StoreUnavailable");
        assert_eq!(error.response_status().index, Some(1));

        let code = |outcomes| {
            let batch = BatchResult::of(outcomes, true, |_| true);
            batch.result.expect_err("a failure").code()
        };
        let full = || Err(WriteError::Full);
        let part = || Ok(AppendOutcome::Stored(billable()));
        assert_eq!(code(vec![full(), full()]), "Overloaded");
        assert_eq!(code(vec![full(), part()]), "StoreUnavailable");
        assert_eq!(
            code(vec![full(), Err(WriteError::Unavailable)]),
            "StoreUnavailable"
        );

        let certain = outcomes().into_iter().take(3).collect();
        let batch = BatchResult::of(certain, true, |_| true);
        assert_eq!(batch.completed, 1);
        let status = batch.result.expect_err("a conflict").response_status();
        assert_eq!(
            (status.error_code, status.index),
            ("IdempotencyConflict", Some(1))
        );
    }
}
