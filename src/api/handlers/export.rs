//! Streams everything that matches as rows, in constant memory.
//!
//! The body ends with trailers that give the number of rows and the SHA-256 of their uncompressed
//! bytes.

use std::io::Write;

use axum::response::Response;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, TRAILER};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::api::caller::Caller;
use crate::api::handlers::stream::{self, Output};
use crate::api::response_format::ResponseFormat;
use crate::api::{ApiError, App, Cut};
use crate::billable::Billable;
use crate::formats::negotiation::accepts_gzip;
use crate::formats::record::ExportRows;
use crate::reader::{List, ReadAhead};
use crate::store::StoreError;

const ROW_COUNT: HeaderName = HeaderName::from_static("row-count");
const CONTENT_SHA256: HeaderName = HeaderName::from_static("content-sha256");

/// Streams a list, at most `most` billables.
///
/// # Errors
/// Too many exports are in progress, or the first rows cannot be read.
#[expect(
    clippy::too_many_arguments,
    reason = "one for each part of the request"
)]
pub(in crate::api) async fn stream(
    app: &App,
    caller: Caller,
    cut: Option<Cut>,
    list: List,
    most: Option<usize>,
    response_format: ResponseFormat,
    is_excel: bool,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let place = app.exports.acquire(caller.client()).await?;
    let mut billables = list.read_ahead(most.unwrap_or(usize::MAX));
    // If the store is unavailable, return an error, not an export that is cut immediately.
    let first = billables.next().await?;
    let is_gzip = headers
        .get_all(ACCEPT_ENCODING)
        .iter()
        .any(|value| accepts_gzip(value.to_str().unwrap_or_default()));
    let format = response_format.format;
    let body = stream::body(app, caller, cut, place, |output| async move {
        let rows = ExportRows::new(format, is_excel);
        write(first, billables, rows, is_gzip, &output).await
    });
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static(format.content_type()),
    );
    headers.insert(
        TRAILER,
        HeaderValue::from_static("row-count, content-sha256"),
    );
    if is_gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(response)
}

/// Writes the rows until the end, or until the client disconnects.
async fn write(
    first: Option<Vec<Billable>>,
    mut others: ReadAhead,
    mut rows: ExportRows,
    is_gzip: bool,
    output: &Output,
) -> Result<(), StoreError> {
    let mut encoder = is_gzip.then(|| GzEncoder::new(Vec::new(), Compression::fast()));
    let mut next = Some(first.unwrap_or_default());
    while let Some(billables) = next {
        for billable in &billables {
            rows.write(billable);
        }
        next = others.next().await?;
        if output.is_closed() {
            return Ok(());
        }
        let text = rows.take();
        let bytes = match &mut encoder {
            None => text.into_bytes(),
            Some(encoder) => {
                let written = encoder.write_all(text.as_bytes());
                let ended = written.and_then(|()| match next {
                    None => encoder.try_finish(),
                    Some(_) => Ok(()),
                });
                ended.expect("writing to a Vec cannot fail");
                std::mem::take(encoder.get_mut())
            }
        };
        if output.send(bytes).await.is_err() {
            return Ok(());
        }
    }
    let mut trailers = HeaderMap::new();
    trailers.insert(ROW_COUNT, rows.count().into());
    let sha256 = HeaderValue::from_str(&rows.sha256()).expect("hexadecimal digits");
    trailers.insert(CONTENT_SHA256, sha256);
    output.end(Some(trailers)).await;
    Ok(())
}
