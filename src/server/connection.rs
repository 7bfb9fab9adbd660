//! A TCP stream with the two kinds of patience that HTTP/1 needs and hyper does not have.
//!
//! Reading a head has a deadline that counts from its first byte, while a connection between two
//! requests may idle for longer. Closing waits a moment for what the client is still sending:
//! closing at once would reset the connection, and the client would lose the answer that says
//! why its body was refused.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

/// How long a closing connection goes on reading, and throwing away.
const LINGER: Duration = Duration::from_secs(2);

/// How long a client may take nothing of what is sent to it.
const STALL: Duration = Duration::from_secs(30);

/// Where a connection is between the requests, shared by the stream and the service above it.
#[derive(Clone, Debug, Default)]
pub(super) struct Phase(Arc<Mutex<Head>>);

#[derive(Debug, Default)]
enum Head {
    /// The first head is owed since the connection was made; no byte of it has come.
    #[default]
    Owed,
    /// A later head may come, or not.
    Awaited,
    /// Its first byte came then.
    Begun(Instant),
    /// It was read whole; what comes now is a body.
    Read,
}

impl Phase {
    /// The head has been read; returns when its first byte came.
    pub(super) fn head_is_read(&self) -> Instant {
        let mut head = self.lock();
        match std::mem::replace(&mut *head, Head::Read) {
            Head::Begun(at) => at,
            // The head came in one read with the request before it.
            Head::Owed | Head::Awaited | Head::Read => Instant::now(),
        }
    }

    /// The request was answered; what comes next is another head.
    pub(super) fn awaits_head(&self) {
        *self.lock() = Head::Awaited;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Head> {
        self.0.lock().expect("nothing panics under this lock")
    }
}

/// The stream.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    phase: Phase,
    header_timeout: Duration,
    /// Rings when the head is overdue, or the lingering has lasted long enough.
    alarm: Pin<Box<Sleep>>,
    is_alarm_set: bool,
    is_closing: bool,
    /// Rings when the client has taken nothing for too long.
    stall: Option<Pin<Box<Sleep>>>,
}

impl Connection {
    /// A new connection owes its first head at once.
    pub(super) fn new(stream: TcpStream, phase: Phase, header_timeout: Duration) -> Self {
        let alarm = Box::pin(sleep_until(Instant::now() + header_timeout));
        Self {
            stream,
            phase,
            header_timeout,
            alarm,
            is_alarm_set: true,
            is_closing: false,
            stall: None,
        }
    }

    fn set_alarm(&mut self, at: Instant) {
        self.alarm.as_mut().reset(at);
        self.is_alarm_set = true;
    }

    /// Passes a write's progress on, and gives up on a client that makes none.
    fn watch_write<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stall = None;
            return written;
        }
        let stall = self
            .stall
            .get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + STALL)));
        ready!(stall.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client takes nothing",
        )))
    }

    /// Sets the alarm at a head's first byte, stops it when the head was read.
    fn watch_head(&mut self, has_read: bool) {
        let phase = self.phase.clone();
        let mut head = phase.lock();
        match *head {
            // The alarm has been set when the connection was made.
            Head::Owed if has_read => *head = Head::Begun(Instant::now()),
            Head::Awaited if has_read => {
                let now = Instant::now();
                *head = Head::Begun(now);
                self.set_alarm(now + self.header_timeout);
            }
            Head::Owed | Head::Begun(_) => {}
            // What is left of the alarm of an earlier head must not ring.
            Head::Awaited | Head::Read => self.is_alarm_set = false,
        }
    }
}

impl AsyncRead for Connection {
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
                "the head took too long",
            )));
        }
        read.map(Ok)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watch_write(cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.watch_write(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Ends the sending side, then reads until the client ends its own or the time is up.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_closing {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            self.is_closing = true;
            self.set_alarm(Instant::now() + LINGER);
        }
        let mut space = [0; 8 * 1024];
        loop {
            if self.alarm.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let mut buf = ReadBuf::new(&mut space);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => {}
                Ok(()) | Err(_) => return Poll::Ready(Ok(())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    /// The clock jumps ahead whenever everything waits.
    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (stream, _) = accepted.expect("a connection");
        let mut connection = Connection::new(stream, Phase::default(), Duration::from_secs(10));
        let begun = Instant::now();
        // More than the sockets can hold.
        let written = connection.write_all(&vec![0; 64 * 1024 * 1024]).await;
        assert_eq!(written.expect_err("no end").kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() >= STALL);
        drop(client);
    }
}
