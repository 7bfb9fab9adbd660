//! Long bodies that are written while the client reads, in constant memory. They hold no
//! transaction and no database connection while the client reads.
//!
//! A body that cannot be completed is cut: its end is never sent, so that no client mistakes a part
//! for the whole. So is one whose token was revoked, and one whose client reads so slowly that it
//! keeps another from its place.

use std::io;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use futures_util::{Stream, stream};
use http::HeaderMap;
use http_body_util::StreamBody;
use hyper::body::Frame;
use tokio::sync::mpsc;
use tracing::{Instrument, error, warn};

use crate::api::caller::Caller;
use crate::api::{App, Cut};
use crate::limits::streams::Place;
use crate::store::StoreError;
use crate::telemetry::chain;

/// The number of finished frames that may wait for the client.
const AHEAD: usize = 1;

/// The largest frame, in bytes. A client that reads a frame is not slow.
const FRAME: usize = 256 * 1024;

/// A part of the body.
enum Part {
    Frame(Frame<Bytes>),
    /// The end, which is sent explicitly: a body is cut if the task that writes it is lost.
    End,
}

/// The client has disconnected.
#[derive(Clone, Copy, Debug)]
pub(super) struct Disconnected;

/// Where a body is written to.
pub(super) struct Output {
    sender: mpsc::Sender<Part>,
    place: Place,
}

impl Output {
    /// Sends a part of the body, when the client has read what came before.
    pub(super) async fn send(&self, bytes: impl Into<Bytes>) -> Result<(), Disconnected> {
        let mut bytes = bytes.into();
        while !bytes.is_empty() {
            let frame = bytes.split_to(bytes.len().min(FRAME));
            self.send_part(Part::Frame(Frame::data(frame))).await?;
        }
        Ok(())
    }

    /// Whether the client has disconnected.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Ends the body.
    pub(super) async fn end(&self, trailers: Option<HeaderMap>) {
        let trailers = trailers.map(|trailers| Part::Frame(Frame::trailers(trailers)));
        for part in trailers.into_iter().chain([Part::End]) {
            if self.send_part(part).await.is_err() {
                return;
            }
        }
    }

    async fn send_part(&self, part: Part) -> Result<(), Disconnected> {
        let sent = self.place.wait(self.sender.send(part));
        sent.await.map_err(|_| Disconnected)
    }
}

/// Returns a body that `write` writes in a task of its own. It is cut unless `write` ends it.
pub(super) fn body<W>(
    app: &App,
    caller: Caller,
    cut: Option<Cut>,
    place: Place,
    write: impl FnOnce(Arc<Output>) -> W,
) -> Body
where
    W: Future<Output = Result<(), StoreError>> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(AHEAD);
    let output = Arc::new(Output { sender, place });
    let written = write(output.clone());
    let tokens = app.tokens.clone();
    let write = async move {
        let reason = tokio::select! {
            written = written => {
                if let Err(error) = written {
                    error!(error = chain(&error), "a response was cut off");
                }
                return;
            }
            () = output.place.taken() => "its client reads slowly, and another needed its place",
            () = caller.until_changed(&tokens) => "its token was revoked or changed, or the tokens cannot be read",
        };
        warn!(reason, "a response was cut off");
        // The client may be reading slowly what was sent before.
        if let Some(Cut(cut)) = cut {
            cut.cancel();
        }
    };
    tokio::spawn(write.in_current_span());
    Body::new(StreamBody::new(frames(receiver)))
}

/// Returns the frames up to the explicit end, or an error if it does not come.
fn frames(receiver: mpsc::Receiver<Part>) -> impl Stream<Item = io::Result<Frame<Bytes>>> {
    stream::unfold(Some(receiver), async |receiver| {
        let mut receiver = receiver?;
        match receiver.recv().await {
            Some(Part::Frame(frame)) => Some((Ok(frame), Some(receiver))),
            Some(Part::End) => None,
            None => Some((Err(io::Error::other("the response was cut off")), None)),
        }
    })
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;

    #[tokio::test]
    async fn case_27_a_lost_task_is_a_cut_body() {
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
