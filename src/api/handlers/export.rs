//! Streams everything that matches as rows, in constant memory. It holds no transaction and no
//! database connection while the client reads.
//!
//! The body ends with trailers that give the number of rows and the SHA-256 of their uncompressed
//! bytes. An export that cannot be completed is aborted: the last chunk is never sent, so that no
//! client mistakes a part for the whole.

use std::io::{self, Write};

use axum::body::{Body, Bytes};
use axum::response::Response;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::stream;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, TRAILER};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::StreamBody;
use hyper::body::Frame;
use tokio::sync::mpsc;
use tracing::{Instrument, error};

use crate::api::response_format::ResponseFormat;
use crate::api::{ApiError, App};
use crate::billable::{Billable, ClientName};
use crate::formats::Format;
use crate::formats::negotiation::accepts_gzip;
use crate::formats::record::ExportRows;
use crate::reader::List;
use crate::store::StoreError;
use crate::telemetry::chain;

/// The number of finished frames that may wait for the client.
const AHEAD: usize = 1;

const ROW_COUNT: HeaderName = HeaderName::from_static("row-count");
const CONTENT_SHA256: HeaderName = HeaderName::from_static("content-sha256");

type Sent = mpsc::Sender<io::Result<Frame<Bytes>>>;

/// Streams a list, at most `most` billables.
///
/// # Errors
/// Too many exports are in progress, or the first rows cannot be read.
pub(in crate::api) async fn stream(
    app: &App,
    client: &ClientName,
    list: List,
    most: Option<usize>,
    response_format: ResponseFormat,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let permit = app.exports.acquire(client).await?;
    let mut billables = list.read_ahead(most.unwrap_or(usize::MAX));
    // If the store is unavailable, return an error, not an export that is aborted immediately.
    let first = billables.recv().await.transpose()?.unwrap_or_default();
    let is_gzip = headers
        .get_all(ACCEPT_ENCODING)
        .iter()
        .any(|value| accepts_gzip(value.to_str().unwrap_or_default()));
    let (sender, receiver) = mpsc::channel(AHEAD);
    let format = response_format.format;
    let produce = async move {
        let _permit = permit;
        if let Err(error) = produce(first, billables, format, is_gzip, &sender).await {
            error!(error = chain(&error), "an export was aborted");
            let cut = io::Error::other("the export was aborted");
            let _ = sender.send(Err(cut)).await;
        }
    };
    tokio::spawn(produce.in_current_span());
    let frames = stream::unfold(receiver, async |mut receiver| {
        Some((receiver.recv().await?, receiver))
    });
    let mut response = Response::new(Body::new(StreamBody::new(frames)));
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
async fn produce(
    first: Vec<Billable>,
    mut others: mpsc::Receiver<Result<Vec<Billable>, StoreError>>,
    format: Format,
    is_gzip: bool,
    sender: &Sent,
) -> Result<(), StoreError> {
    let mut rows = ExportRows::new(format);
    let mut encoder = is_gzip.then(|| GzEncoder::new(Vec::new(), Compression::fast()));
    let mut next = Some(first);
    while let Some(billables) = next {
        for billable in &billables {
            rows.write(billable);
        }
        next = others.recv().await.transpose()?;
        if sender.is_closed() {
            return Ok(());
        }
        let text = rows.take();
        let frame = match &mut encoder {
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
        if !frame.is_empty() && sender.send(Ok(Frame::data(frame.into()))).await.is_err() {
            return Ok(());
        }
    }
    let mut trailers = HeaderMap::new();
    trailers.insert(ROW_COUNT, rows.count().into());
    let sha256 = HeaderValue::from_str(&rows.sha256()).expect("hexadecimal digits");
    trailers.insert(CONTENT_SHA256, sha256);
    let _ = sender.send(Ok(Frame::trailers(trailers))).await;
    Ok(())
}
