//! A stream of requests with two time limits, where hyper has only one.
//!
//! Each head has a deadline. For the first head it counts from the start of the connection,
//! including the TLS handshake; for every later head, from that head's first byte. Between two
//! requests, a connection may be idle for longer.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// The state of a connection's current head, shared by the stream and the service above it.
#[derive(Clone, Debug, Default)]
pub(super) struct Phase(Arc<Mutex<Head>>);

#[derive(Debug, Default)]
enum Head {
    /// The first head is expected, and its deadline counts from the start of the connection. No
    /// byte of it has arrived.
    #[default]
    Owed,
    /// A later head may or may not arrive.
    Awaited,
    /// Its first byte arrived at this time.
    Begun(Instant),
    /// It has been read completely; a body follows.
    Read,
}

impl Phase {
    /// Notes that the head has been read. Returns when its first byte arrived.
    pub(super) fn mark_head_read(&self) -> Instant {
        let mut head = self.lock();
        match std::mem::replace(&mut *head, Head::Read) {
            Head::Begun(at) => at,
            // The head arrived in one read with the previous request.
            Head::Owed | Head::Awaited | Head::Read => Instant::now(),
        }
    }

    /// Notes that the request was answered and another head may follow.
    pub(super) fn mark_awaiting_head(&self) {
        *self.lock() = Head::Awaited;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Head> {
        self.0.lock().expect("nothing panics under this lock")
    }
}

#[derive(Debug)]
pub(super) struct Connection<S> {
    stream: S,
    phase: Phase,
    header_timeout: Duration,
    /// Fires when the head is overdue.
    alarm: Pin<Box<Sleep>>,
    is_alarm_set: bool,
}

impl<S> Connection<S> {
    /// Wraps a new connection. Its first head is due by `deadline`.
    pub(super) fn new(
        stream: S,
        phase: Phase,
        deadline: Instant,
        header_timeout: Duration,
    ) -> Self {
        Self {
            stream,
            phase,
            header_timeout,
            alarm: Box::pin(sleep_until(deadline)),
            is_alarm_set: true,
        }
    }

    fn set_alarm(&mut self, at: Instant) {
        self.alarm.as_mut().reset(at);
        self.is_alarm_set = true;
    }

    /// Sets the alarm at a head's first byte and stops it when the head has been read.
    fn watch_head(&mut self, has_read: bool) {
        let phase = self.phase.clone();
        let mut head = phase.lock();
        match *head {
            // The alarm was set when the connection was made.
            Head::Owed if has_read => *head = Head::Begun(Instant::now()),
            Head::Awaited if has_read => {
                let now = Instant::now();
                *head = Head::Begun(now);
                self.set_alarm(now + self.header_timeout);
            }
            Head::Owed | Head::Begun(_) => {}
            // An earlier head's alarm must not fire.
            Head::Awaited | Head::Read => self.is_alarm_set = false,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf)?;
        let has_read = read.is_ready() && buf.filled().len() > before;
        self.watch_head(has_read);
        if self.is_alarm_set && self.alarm.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the request head took too long",
            )));
        }
        read.map(Ok)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
