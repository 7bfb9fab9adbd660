//! `POST /billables`: a report becomes a billable.

use axum::extract::{RawQuery, Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use uuid::{NoContext, Timestamp, Uuid};

use super::access::Caller;
use super::context::Answer;
use super::{ApiError, App, body};
use crate::billable::{Billable, Entry, IdempotencyKey, Identity, Instant};
use crate::token::Scope;
use crate::wire;
use crate::wire::bind::Query;
use crate::wire::record::Record;
use crate::writer::Outcome;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const BILLABLE_IDENTITY: HeaderName = HeaderName::from_static("billable-identity");

/// Stores one report, and answers when it is durable: 201 new, 200 stored before.
pub(super) async fn report_billable(
    State(app): State<App>,
    caller: Caller,
    answer: Answer,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, ApiError> {
    caller.require(Scope::Report)?;
    let (head, body) = request.into_parts();
    let key = idempotency_key(&head.headers)?;
    let query = Query::parse(query.as_deref().unwrap_or_default())?;
    let (body, claim) = body::read(
        &head.headers,
        body,
        app.writer.budget(),
        app.request_timeout / 2,
    )
    .await?;

    let text = wire::text(&body)?;
    let label = head
        .headers
        .get(CONTENT_TYPE)
        .map(|value| value.to_str().unwrap_or_default());
    let format = wire::body_format(label, text)
        .map_err(|wire::Unsupported| ApiError::UnsupportedMediaType)?;
    let mut raw = format.read_report(text)?;
    query.bind_over(&mut raw);

    let now = Instant::now();
    let report = caller.accept(raw, now)?;
    let identity = Identity::of(key, None, &report.reported);
    let id = identity.id(caller.client(), &report.reported, || random_id(now));
    let entry = Entry::recorded(id, report, identity.clone(), caller.client().clone(), now);
    let mut response = match app.writer.append(entry, claim).await {
        Ok(Outcome::Stored(billable)) => stored(answer, StatusCode::CREATED, &billable),
        Ok(Outcome::Replayed(billable)) => {
            let mut response = stored(answer, StatusCode::OK, &billable);
            response
                .headers_mut()
                .insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
            response
        }
        Ok(Outcome::Conflict(fields)) => ApiError::IdempotencyConflict(fields).into_response(),
        Err(error) => ApiError::from(error).into_response(),
    };
    response.headers_mut().insert(
        BILLABLE_IDENTITY,
        HeaderValue::from_static(identity.as_str()),
    );
    Ok(response)
}

fn stored(answer: Answer, status: StatusCode, billable: &Billable) -> Response {
    let location = format!("/billables/{}", billable.recorded.id);
    (
        status,
        [(LOCATION, location)],
        answer.body(&Record::billable(billable)),
    )
        .into_response()
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, ApiError> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => IdempotencyKey::parse(value.as_bytes())
            .map(Some)
            .ok_or(ApiError::BadKey),
        (Some(_), Some(_)) => Err(ApiError::BadKey),
    }
}

/// The id of a report that nothing can recognise: version 7, the time and 74 random bits.
fn random_id(now: Instant) -> Uuid {
    let micros = now.as_micros();
    let seconds = u64::try_from(micros.div_euclid(1_000_000)).unwrap_or_default();
    let nanos = u32::try_from(micros.rem_euclid(1_000_000) * 1_000).unwrap_or_default();
    Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, nanos))
}
