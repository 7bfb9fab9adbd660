//! A TCP stream with a write timeout and a lingering close, below TLS and HTTP.
//!
//! A client that reads nothing is disconnected. Closing waits briefly for data that the client is
//! still sending: closing immediately would reset the connection, and the client would lose the
//! response that says why its body was refused.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

/// How long a closing connection continues to read and discard data.
const LINGER: Duration = Duration::from_secs(2);

/// How long a client may read nothing of the data sent to it.
const STALL: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    /// Fires when the client has read nothing for too long.
    stall: Option<Pin<Box<Sleep>>>,
    /// Fires when lingering is over; `None` before the close.
    linger: Option<Pin<Box<Sleep>>>,
}

impl Socket {
    pub(super) fn new(stream: TcpStream) -> Self {
        // Responses are small; waiting to fill a packet only delays them.
        let _ = stream.set_nodelay(true);
        Self {
            stream,
            stall: None,
            linger: None,
        }
    }

    /// Returns a write's progress, or an error if the client makes none for too long.
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
            "the client is not reading",
        )))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
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

    /// Shuts down the sending side, then reads until the client shuts down its side or time is up.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, linger, .. } = &mut *self;
        let mut stream = Pin::new(stream);
        let linger = match linger {
            Some(linger) => linger,
            None => {
                ready!(stream.as_mut().poll_shutdown(cx))?;
                linger.insert(Box::pin(sleep_until(Instant::now() + LINGER)))
            }
        };
        let mut space = [0; 8 * 1024];
        loop {
            if linger.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let mut buf = ReadBuf::new(&mut space);
            match ready!(stream.as_mut().poll_read(cx, &mut buf)) {
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

    /// With the paused clock, time advances whenever all tasks wait.
    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_nothing_is_disconnected() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (stream, _) = accepted.expect("a connection");
        let mut socket = Socket::new(stream);
        let begun = Instant::now();
        // More than the socket buffers can hold.
        let written = socket.write_all(&vec![0; 64 * 1024 * 1024]).await;
        assert_eq!(written.expect_err("no end").kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() >= STALL);
        drop(client);
    }
}
