//! Reads a request's body: at most [`MAX_BODY`], out of the budget of bytes in flight, in time.

use std::time::Duration;

use axum::body::{Body, Bytes};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http_body_util::BodyExt;
use tokio::time::timeout;

use super::ApiError;
use crate::wire::Malformed;
use crate::writer::{Budget, Claim};

/// The largest body, in bytes: 8 MiB.
pub(super) const MAX_BODY: usize = 8 * 1024 * 1024;

/// Reads a body whole. The claim on the budget grows with the bytes that really came, so a
/// length that is only announced holds nothing.
pub(super) async fn read(
    headers: &HeaderMap,
    body: Body,
    budget: &Budget,
    limit: Duration,
) -> Result<(Bytes, Claim), ApiError> {
    if headers.contains_key(CONTENT_ENCODING) {
        return Err(ApiError::UnsupportedMediaType);
    }
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > MAX_BODY) {
        return Err(ApiError::TooLarge(MAX_BODY));
    }
    timeout(limit, read_frames(body, budget))
        .await
        .map_err(|_| ApiError::BodyTimeout)?
}

async fn read_frames(mut body: Body, budget: &Budget) -> Result<(Bytes, Claim), ApiError> {
    let mut claim = budget.claim()?;
    let mut collected = Vec::new();
    let mut first = Bytes::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Malformed("the body was cut short".to_owned()))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if first.len() + collected.len() + data.len() > MAX_BODY {
            return Err(ApiError::TooLarge(MAX_BODY));
        }
        claim.grow(data.len())?;
        // Most bodies are one frame, which needs no copy.
        if first.is_empty() && collected.is_empty() {
            first = data;
        } else {
            if collected.is_empty() {
                collected.extend_from_slice(&std::mem::take(&mut first));
            }
            collected.extend_from_slice(&data);
        }
    }
    Ok((
        if collected.is_empty() {
            first
        } else {
            collected.into()
        },
        claim,
    ))
}
