//! Raw bytes on a socket, for requests that an HTTP client does not send.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::{ALL_VERSIONS, SupportedProtocolVersion};

use super::Certificate;

/// The timeout of every wait. A test that reaches it fails.
const TIMEOUT: Duration = Duration::from_secs(60);

/// An open connection, plain or with TLS.
#[derive(Debug)]
pub(crate) struct Raw<S = TcpStream>(S);

impl Raw {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.unwrap())
    }

    /// Connects with a small receive buffer: the server can send little before the test reads.
    pub(crate) async fn connect_narrow(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        Self(socket.connect(address).await.unwrap())
    }

    /// Returns when there is something to read.
    pub(crate) async fn until_readable(&self) {
        timeout(TIMEOUT, self.0.readable())
            .await
            .expect("a reply")
            .unwrap();
    }
}

impl Raw<TlsStream<TcpStream>> {
    pub(crate) async fn connect_tls(address: SocketAddr, certificate: &Certificate) -> Self {
        Self::connect_versions(address, certificate, ALL_VERSIONS).await
    }

    /// Like [`Self::connect_tls`], with these versions of TLS.
    pub(crate) async fn connect_versions(
        address: SocketAddr,
        certificate: &Certificate,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let host = "localhost".try_into().unwrap();
        let connecting = certificate.connector(versions).connect(host, stream);
        Self(
            timeout(TIMEOUT, connecting)
                .await
                .expect("a handshake")
                .unwrap(),
        )
    }

    /// The TLS stream, which knows what was negotiated.
    pub(crate) fn tls(&self) -> &TlsStream<TcpStream> {
        &self.0
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Like [`Self::send`], but the server may have closed the connection.
    pub(crate) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.0.write_all(bytes.as_ref()).await;
    }

    /// Closes the sending side.
    pub(crate) async fn finish(&mut self) {
        self.0.shutdown().await.unwrap();
    }

    /// Reads up to and including `text`, and returns what was read.
    pub(crate) async fn until(&mut self, text: &str) -> String {
        let read = async {
            let mut bytes = Vec::new();
            loop {
                let said = String::from_utf8_lossy(&bytes).into_owned();
                if said.contains(text) {
                    return said;
                }
                let more = self.0.read_buf(&mut bytes).await.unwrap();
                assert_ne!(
                    more, 0,
                    "the server closed the connection before the text arrived: {said}"
                );
            }
        };
        timeout(TIMEOUT, read).await.expect("the text arrives")
    }

    /// Reads until the server closes the connection.
    pub(crate) async fn rest(&mut self) -> String {
        String::from_utf8(self.rest_bytes().await).unwrap()
    }

    /// Like [`Self::rest`], as bytes.
    pub(crate) async fn rest_bytes(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // A reset also ends the connection; the bytes before it are returned.
        let _ = timeout(TIMEOUT, self.0.read_to_end(&mut bytes))
            .await
            .expect("the server closes");
        bytes
    }

    /// Like [`Self::rest`], but requires an orderly close. With TLS, the server must send
    /// close_notify.
    pub(crate) async fn rest_closed(&mut self) -> String {
        let mut text = String::new();
        let read = self.0.read_to_string(&mut text);
        timeout(TIMEOUT, read)
            .await
            .expect("the server closes")
            .expect("an orderly close");
        text
    }

    /// Reads one reply, with a body if it has a `Content-Length`; returns (head, body).
    pub(crate) async fn reply(&mut self) -> (String, String) {
        let read = async {
            let mut bytes = Vec::new();
            loop {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                if let Some((head, body)) = text.split_once("\r\n\r\n") {
                    let length = head
                        .lines()
                        .find_map(|line| line.strip_prefix("Content-Length: "));
                    if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                        return (head.to_owned(), body.to_owned());
                    }
                }
                assert_ne!(
                    self.0.read_buf(&mut bytes).await.unwrap(),
                    0,
                    "the reply ends early: {text}"
                );
            }
        };
        timeout(TIMEOUT, read).await.expect("a reply")
    }

    /// Sends `chunk` repeatedly, `times` times or until the server stops reading, and returns
    /// everything that the server sends.
    pub(crate) async fn flood(self, chunk: &[u8], times: usize) -> String {
        let (mut reader, mut writer) = split(self.0);
        let read = async {
            let mut bytes = Vec::new();
            let _ = reader.read_to_end(&mut bytes).await;
            String::from_utf8(bytes).unwrap()
        };
        let write = async {
            for _ in 0..times {
                if writer.write_all(chunk).await.is_err() {
                    break;
                }
            }
            let _ = writer.shutdown().await;
        };
        timeout(TIMEOUT, async { tokio::join!(read, write).0 })
            .await
            .expect("the server answers")
    }

    /// Sends one byte per `pause` until the server closes, and returns everything that it sends.
    pub(crate) async fn drip(self, bytes: &[u8], pause: Duration) -> String {
        let (mut reader, mut writer) = split(self.0);
        let mut pause = tokio::time::interval(pause);
        let drip = async {
            for byte in bytes.iter().cycle() {
                pause.tick().await;
                if writer.write_all(&[*byte]).await.is_err() {
                    break;
                }
            }
        };
        let mut said = Vec::new();
        let read = async {
            let _ = reader.read_to_end(&mut said).await;
        };
        let ended = async {
            tokio::select! { () = drip => {}, () = read => {} }
        };
        timeout(TIMEOUT, ended).await.expect("the server closes");
        String::from_utf8(said).unwrap()
    }
}
