//! `POST /billables` and its ServiceStack routes: stores reports as billables.

mod read;
mod respond;

use std::sync::Arc;

use axum::extract::{RawQuery, Request, State};
use axum::response::{IntoResponse, Response};
use http::header::ALLOW;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tokio::task::block_in_place;

use crate::api::caller::Caller;
use crate::api::handlers::docs::BaseUrl;
use crate::api::layers::access_log::Known;
use crate::api::path::RouteStyle;
use crate::api::prefer::Return;
use crate::api::refusals::IgnoredEvent;
use crate::api::response_format::ResponseFormat;
use crate::api::{ApiError, App, body};
use crate::billable::identity::random_id;
use crate::billable::{
    Billable, Code, Entry, Field, FieldError, IdempotencyKey, Identity, Timestamp,
};
use crate::metrics::{METRICS, ReportLabels};
use crate::senders::{Event, Handshake};
use crate::token::Scope;
use crate::writer::{AppendOutcome, WriteError};
use read::{Input, Requested, Sender, read};
use respond::{ignored_response, in_order, replied, stored};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
pub(in crate::api) const IDEMPOTENT_REPLAYED: HeaderName =
    HeaderName::from_static("idempotent-replayed");
pub(in crate::api) const BILLABLE_IGNORED: HeaderName = HeaderName::from_static("billable-ignored");
const BILLABLE_DIFFERS: HeaderName = HeaderName::from_static("billable-differs");
const BILLABLE_IDENTITY: HeaderName = HeaderName::from_static("billable-identity");
const WEBHOOK_REQUEST_ORIGIN: HeaderName = HeaderName::from_static("webhook-request-origin");
const WEBHOOK_ALLOWED_ORIGIN: HeaderName = HeaderName::from_static("webhook-allowed-origin");
const WEBHOOK_ALLOWED_RATE: HeaderName = HeaderName::from_static("webhook-allowed-rate");
const X_AUTOBATCH_COMPLETED: HeaderName = HeaderName::from_static("x-autobatch-completed");

/// Longer bodies, in bytes, are parsed with `block_in_place`, because the largest body may take a
/// second.
const LARGE_BODY: usize = 64 * 1024;

/// Stores what a sender reports to its hook, like [`report_billables`].
pub(in crate::api) async fn report_to_hook(
    State(app): State<App>,
    caller: Caller,
    response_format: ResponseFormat,
    style: RouteStyle,
    base: BaseUrl,
    query: RawQuery,
    request: Request,
) -> Result<Response, ApiError> {
    let (_, profile) = caller.sender();
    let reads_query = profile.is_some_and(|profile| profile.reads_query());
    let allowed = if reads_query { "GET, POST" } else { "POST" };
    // HEAD must not store anything.
    if *request.method() == Method::HEAD || *request.method() == Method::GET && !reads_query {
        let mut refused = ApiError::MethodNotAllowed.into_response();
        let allowed = HeaderValue::from_static(allowed);
        refused.headers_mut().insert(ALLOW, allowed);
        return Ok(refused);
    }
    report_billables(
        State(app),
        caller,
        response_format,
        style,
        base,
        query,
        request,
    )
    .await
}

/// Tells a sender that its hook wants its events.
pub(in crate::api) async fn greet_hook(
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let (_, profile) = caller.sender();
    let handshake = profile.and_then(|profile| profile.handshake);
    let origin = headers.get(WEBHOOK_REQUEST_ORIGIN);
    let (Some(Handshake::CloudEvents), Some(origin)) = (handshake, origin) else {
        return Err(ApiError::MethodNotAllowed);
    };
    let allowed = [
        (WEBHOOK_ALLOWED_ORIGIN, origin.clone()),
        (WEBHOOK_ALLOWED_RATE, HeaderValue::from_static("*")),
    ];
    Ok((allowed, ()).into_response())
}

/// Stores one or more reports, and responds when all are durable.
pub(in crate::api) async fn report_billables(
    State(app): State<App>,
    caller: Caller,
    response_format: ResponseFormat,
    style: RouteStyle,
    BaseUrl(base): BaseUrl,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, ApiError> {
    caller.require(Scope::Report)?;
    let (head, body) = request.into_parts();
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
    let sender = Sender::of(&caller, &head.method, style, query)?;
    if let Some(name) = sender.name() {
        Known::set_sender(&head.extensions, name);
    }
    // With a profile nothing else is read.
    let key = match sender.profile {
        None => idempotency_key(&head.headers)?,
        Some(_) => None,
    };
    let input = Input {
        headers: &head.headers,
        query,
        body: &body,
        style,
        has_key: key.is_some(),
    };
    let requested = if body.len() > LARGE_BODY {
        block_in_place(|| read(input, &sender, &mut claim))?
    } else {
        read(input, &sender, &mut claim)?
    };
    let is_batch = requested.is_batch;
    let Accepted {
        entries,
        ignored,
        has_hashed_call,
    } = accept(&caller, &sender, key.as_ref(), requested, now)?;
    app.refusals.add_ignored(caller.client(), &ignored);
    let reply = sender.reply(&base, &head.uri);
    if let ([ignored], false) = (&*ignored, is_batch) {
        return Ok(replied(ignored_response(ignored.reason), reply));
    }
    let (entries, given): (Vec<_>, Vec<_>) = entries.into_iter().unzip();
    let kinds: Vec<_> = entries
        .iter()
        .map(|entry| entry.identity.as_str())
        .collect();

    if let ([entry], false) = (&*entries, is_batch) {
        Known::set_billable(&head.extensions, entry.billable_id);
    }
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
    let batch = BatchResult::of(
        outcomes,
        is_batch,
        |entry| index_of(entry, &ignored),
        |billable| caller.sees(billable),
    );
    let mut response = match batch.result {
        Ok(billables) => stored(
            response_format,
            style,
            Return::of(&head.headers),
            is_batch,
            in_order(billables, &ignored),
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
    headers.extend(words(kinds).map(|identities| (BILLABLE_IDENTITY, identities)));
    let reasons = ignored.iter().map(|event| event.reason.as_str());
    headers.extend(words(reasons.collect()).map(|reasons| (BILLABLE_IGNORED, reasons)));
    if is_batch && matches!(style, RouteStyle::Operation { .. }) && batch.items > 0 {
        headers.insert(X_AUTOBATCH_COMPLETED, batch.completed.into());
    }
    Ok(replied(response, reply))
}

/// The reports of a request that may be stored.
struct Accepted {
    /// Each with the `occurredAt` that the report gave.
    entries: Vec<(Entry, Option<Timestamp>)>,
    ignored: Vec<IgnoredEvent>,
    has_hashed_call: bool,
}

/// Returns the entries if all reports are valid and allowed, else all errors of all reports.
fn accept(
    caller: &Caller,
    sender: &Sender,
    key: Option<&IdempotencyKey>,
    requested: Requested,
    now: Timestamp,
) -> Result<Accepted, ApiError> {
    let is_batch = requested.is_batch;
    let mut accepted = Accepted {
        entries: Vec::with_capacity(requested.events.len()),
        ignored: Vec::new(),
        has_hashed_call: false,
    };
    let mut errors = Vec::new();
    for (index, event) in requested.events.into_iter().enumerate() {
        let mapped = match event {
            Event::Report(mapped) => mapped,
            Event::Ignored { reason, call_sid } => {
                accepted.ignored.push(IgnoredEvent {
                    index,
                    reason,
                    call_sid,
                });
                continue;
            }
        };
        let item = is_batch.then_some(index);
        accepted.has_hashed_call |= mapped.is_hashed;
        match caller.accept(mapped.report, mapped.errors, now) {
            Ok(report) => {
                let index = item.map(|index| u32::try_from(index).expect("a batch is bounded"));
                let identity = Identity::of(key.cloned(), index, &report.reported);
                if identity == Identity::None && sender.requires_identity() {
                    errors.push((item, identity_required()));
                    continue;
                }
                let id = identity.id(caller.client(), &report.reported, || random_id(now));
                let client = caller.client().clone();
                let given = report.occurred_at;
                let entry = Entry::recorded(id, report, identity, client, now);
                accepted.entries.push((entry, given));
            }
            Err(found) => errors.extend(found.into_iter().map(|error| (item, error))),
        }
    }
    if errors.is_empty() {
        Ok(accepted)
    } else {
        Err(ApiError::Invalid(errors))
    }
}

fn identity_required() -> FieldError {
    let message =
        "callSid or an Idempotency-Key is required, because the token requires an identity";
    FieldError::new(Field::CallSid, Code::NotEmpty, message)
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

/// Returns each of these words once, or `None` if there are none.
fn words(mut kinds: Vec<&str>) -> Option<HeaderValue> {
    kinds.sort_unstable();
    kinds.dedup();
    let kinds = (!kinds.is_empty()).then(|| kinds.join(", "))?;
    Some(HeaderValue::from_str(&kinds).expect("words are visible ASCII"))
}

/// Returns the index in the request of the entry with this index among those that are not ignored.
fn index_of(entry: usize, ignored: &[IgnoredEvent]) -> usize {
    // Their indices ascend.
    ignored.iter().fold(entry, |index, event| {
        index + usize::from(event.index <= index)
    })
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
        index_of: impl Fn(usize) -> usize,
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
        for (entry, outcome) in outcomes.into_iter().enumerate() {
            let index = index_of(entry);
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
    use crate::billable::{ClientName, Field, RawReport, RawValue, Report};

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
        let batch = BatchResult::of(outcomes(), true, |entry| entry, |_| true);
        assert_eq!((batch.items, batch.completed), (4, 1));
        let error = batch.result.expect_err("an unknown outcome");
        assert_eq!(error.code(), "StoreUnavailable");
        assert_eq!(error.response_status().index, Some(1));

        let code = |outcomes| {
            let batch = BatchResult::of(outcomes, true, |entry| entry, |_| true);
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
        let batch = BatchResult::of(certain, true, |entry| entry, |_| true);
        assert_eq!(batch.completed, 1);
        let status = batch.result.expect_err("a conflict").response_status();
        assert_eq!(
            (status.error_code, status.index),
            ("IdempotencyConflict", Some(1))
        );
    }
}
