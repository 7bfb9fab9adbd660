//! Streams everything that matches as rows, in constant memory. It holds no transaction and no
//! database connection while the client reads.
//!
//! The body ends with trailers that give the number of rows and the SHA-256 of their uncompressed
//! bytes. An export that cannot be completed is cut: the last chunk is never sent, so that no client
//! mistakes a part for the whole. So is one whose token was revoked, and one whose client reads so
//! slowly that it keeps another from its place.

use std::io::{self, Write};

use axum::body::{Body, Bytes};
use axum::response::Response;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::{Stream, stream};
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, TRAILER};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::StreamBody;
use hyper::body::Frame;
use tokio::sync::mpsc;
use tracing::{Instrument, error, warn};

use crate::api::caller::Caller;
use crate::api::response_format::ResponseFormat;
use crate::api::{ApiError, App, Cut};
use crate::billable::Billable;
use crate::formats::Format;
use crate::formats::negotiation::accepts_gzip;
use crate::formats::record::ExportRows;
use crate::limits::streams::Place;
use crate::reader::{List, ReadAhead};
use crate::store::StoreError;
use crate::telemetry::chain;

/// The number of finished frames that may wait for the client.
const AHEAD: usize = 1;

/// The largest frame, in bytes. A client that reads a frame is not slow.
const FRAME: usize = 256 * 1024;

const ROW_COUNT: HeaderName = HeaderName::from_static("row-count");
const CONTENT_SHA256: HeaderName = HeaderName::from_static("content-sha256");

/// A part of the body.
enum Part {
    Frame(Frame<Bytes>),
    /// The end, which is sent explicitly: a body is cut if the task that writes it is lost.
    End,
}

/// Streams a list, at most `most` billables.
///
/// # Errors
/// Too many exports are in progress, or the first rows cannot be read.
pub(in crate::api) async fn stream(
    app: &App,
    caller: Caller,
    cut: Option<Cut>,
    list: List,
    most: Option<usize>,
    response_format: ResponseFormat,
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
    let (sender, receiver) = mpsc::channel(AHEAD);
    let format = response_format.format;
    let tokens = app.tokens.clone();
    let write = async move {
        let reason = tokio::select! {
            written = write(first, billables, format, is_gzip, &sender, &place) => {
                if let Err(error) = written {
                    error!(error = chain(&error), "an export was cut off");
                }
                return;
            }
            () = place.taken() => "its client reads slowly, and another needed its place",
            () = caller.until_changed(&tokens) => "its token was revoked or changed, or the tokens cannot be read",
        };
        warn!(reason, "an export was cut off");
        // The client may be reading slowly what was sent before.
        if let Some(Cut(cut)) = cut {
            cut.cancel();
        }
    };
    tokio::spawn(write.in_current_span());
    let mut response = Response::new(Body::new(StreamBody::new(frames(receiver))));
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

/// Returns the frames up to the explicit end, or an error if it does not come.
fn frames(receiver: mpsc::Receiver<Part>) -> impl Stream<Item = io::Result<Frame<Bytes>>> {
    stream::unfold(Some(receiver), async |receiver| {
        let mut receiver = receiver?;
        match receiver.recv().await {
            Some(Part::Frame(frame)) => Some((Ok(frame), Some(receiver))),
            Some(Part::End) => None,
            None => Some((Err(io::Error::other("the export was cut off")), None)),
        }
    })
}

/// Writes the rows until the end, or until the client disconnects.
async fn write(
    first: Option<Vec<Billable>>,
    mut others: ReadAhead,
    format: Format,
    is_gzip: bool,
    sender: &mpsc::Sender<Part>,
    place: &Place,
) -> Result<(), StoreError> {
    let mut rows = ExportRows::new(format);
    let mut encoder = is_gzip.then(|| GzEncoder::new(Vec::new(), Compression::fast()));
    let mut next = Some(first.unwrap_or_default());
    while let Some(billables) = next {
        for billable in &billables {
            rows.write(billable);
        }
        next = others.next().await?;
        if sender.is_closed() {
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
        let mut bytes = Bytes::from(bytes);
        while !bytes.is_empty() {
            let frame = bytes.split_to(bytes.len().min(FRAME));
            let sent = place.wait(sender.send(Part::Frame(Frame::data(frame))));
            if sent.await.is_err() {
                return Ok(());
            }
        }
    }
    let mut trailers = HeaderMap::new();
    trailers.insert(ROW_COUNT, rows.count().into());
    let sha256 = HeaderValue::from_str(&rows.sha256()).expect("hexadecimal digits");
    trailers.insert(CONTENT_SHA256, sha256);
    for part in [Part::Frame(Frame::trailers(trailers)), Part::End] {
        let _ = place.wait(sender.send(part)).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;

    #[tokio::test]
    async fn case_27_a_lost_task_is_a_cut_export() {
        for is_lost in [false, true] {
            let (sender, receiver) = mpsc::channel(AHEAD);
            let task = tokio::spawn(async move {
                let frame = Frame::data(Bytes::from_static(b"a row\n"));
                let _ = sender.send(Part::Frame(frame)).await;
                assert!(!is_lost, "a fault");
                let _ = sender.send(Part::End).await;
            });
            let read: Vec<_> = frames(receiver).collect().await;
            assert_eq!(task.await.is_err(), is_lost);
            assert_eq!(read.len(), if is_lost { 2 } else { 1 });
            assert_eq!(read.last().is_some_and(Result::is_err), is_lost);
        }
    }
}
