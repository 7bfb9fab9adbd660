//! Accepts connections, limits their number and duration, and ends them. It uses only `FirstByte`
//! of the API.
//!
//! It has its own accept loop because `axum::serve` sets no timers: a silent client would hold its
//! connection forever.

mod connection;
mod socket;
mod tls;

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tracing::{debug, info, warn};

use crate::api::{Cut, FirstByte, Peer, Refusals};
use crate::metrics::{Address, METRICS, as_i64};
use crate::telemetry::chain;
use connection::{Connection, Phase};
use socket::Socket;
pub use tls::{Tls, TlsError, read_certificates};

/// The maximum size of a request's head, in bytes. The head has room for several queries with about
/// 200 escaped characters in each field.
const MAX_HEAD: usize = 64 * 1024;

/// The limits on connections.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The address's label in the metrics.
    pub address: &'static str,
    /// The maximum number of concurrent connections.
    pub connections: usize,
    /// How long a head may take from its first byte. The first head, including the TLS handshake,
    /// is timed from the start of the connection.
    pub header_timeout: Duration,
    /// How long a connection may stay open between two requests.
    pub idle_timeout: Duration,
    /// How long requests may take after the server has been told to stop.
    pub shutdown_timeout: Duration,
}

/// Serves until `stop` is cancelled, then finishes the requests in progress, within
/// `shutdown_timeout`. Without `tls` it serves plain HTTP.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Tls>,
    app: Router,
    refusals: Refusals,
    limits: Limits,
    stop: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(limits.connections));
    let address = Address {
        address: limits.address,
    };
    let open = METRICS.connections.get_or_create_owned(&address);
    METRICS
        .connections_limit
        .get_or_create_owned(&address)
        .set(as_i64(limits.connections));
    let graceful = GracefulShutdown::new();
    let abort = CancellationToken::new();
    loop {
        let next = async {
            // A connection waits in the listener's backlog until a slot is free.
            let slot = slots
                .clone()
                .acquire_owned()
                .await
                .expect("the semaphore is never closed");
            (listener.accept().await, slot)
        };
        let (accepted, slot) = tokio::select! {
            next = next => next,
            () = stop.cancelled() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                pause_after(&error).await;
                continue;
            }
        };
        let (tls, app, watcher) = (tls.clone(), app.clone(), graceful.watcher());
        let (stop, abort, open) = (stop.clone(), abort.clone(), open.clone());
        let refusals = refusals.clone();
        tokio::spawn(async move {
            open.inc();
            tokio::select! {
                ended = drive(stream, peer, tls, app, limits, watcher, stop) => if let Err(error) = ended {
                    match status_of(&*error) {
                        Some(status) => refusals.add_unreadable(peer, status, &chain(&*error)),
                        None => debug!(%peer, error, "a connection ended with an error"),
                    }
                },
                () = abort.cancelled() => {}
            }
            open.dec();
            drop(slot);
        });
    }
    let address = listener.local_addr().ok();
    drop((listener, app));
    info!(
        listen = address.map(display),
        connections = graceful.count(),
        "stopping: finishing the requests in progress"
    );
    if timeout(limits.shutdown_timeout, graceful.shutdown())
        .await
        .is_err()
    {
        warn!(
            listen = address.map(display),
            "cutting off the requests that did not finish in time"
        );
    }
    abort.cancel();
}

/// Returns the status with which hyper refused a request, if it did.
fn status_of(error: &(dyn Error + 'static)) -> Option<u16> {
    let error = error.downcast_ref::<hyper::Error>()?;
    if error.is_parse_too_large() {
        return Some(431);
    }
    error.is_parse().then_some(400)
}

/// Serves the requests of one connection, one after the other.
async fn drive(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<Tls>,
    app: Router,
    limits: Limits,
    watcher: Watcher,
    stop: CancellationToken,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let deadline = Instant::now() + limits.header_timeout;
    let socket = Socket::new(stream);
    let stream = match tls {
        None => Either::Left(socket),
        Some(tls) => tokio::select! {
            stream = tls.accept(socket, deadline) => Either::Right(stream?),
            () = stop.cancelled() => return Ok(()),
        },
    };
    let phase = Phase::default();
    let cut = CancellationToken::new();
    let of_requests = cut.clone();
    let connection = Connection::new(stream, phase.clone(), deadline, limits.header_timeout);
    let service = service_fn(move |request: Request<Incoming>| {
        let first_byte = phase.mark_head_read();
        let mut request = request.map(Body::new);
        let extensions = request.extensions_mut();
        extensions.insert(FirstByte(first_byte));
        extensions.insert(Cut(of_requests.clone()));
        extensions.insert(Peer(peer));
        let (app, phase) = (app.clone(), phase.clone());
        async move {
            let response = app.oneshot(request).await;
            phase.mark_awaiting_head();
            response
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // ServiceStack's Java client looks for `Content-Type` in this letter case.
        .title_case_headers(true)
        .header_read_timeout(limits.idle_timeout)
        // `max_header_size` is also set, because `max_buf_size` accepts a longer head that arrives
        // in few reads.
        .max_buf_size(MAX_HEAD)
        .max_header_size(MAX_HEAD)
        .serve_connection(TokioIo::new(connection), service);
    tokio::select! {
        served = watcher.watch(connection) => Ok(served?),
        () = cut.cancelled() => Err("cut off".into()),
    }
}

/// Pauses after a temporary accept error, such as too many open files. Without the pause the loop
/// would spin. Errors caused by the client need no pause.
async fn pause_after(error: &io::Error) {
    let is_the_clients = matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    );
    if !is_the_clients {
        warn!(%error, "cannot accept connections");
        sleep(Duration::from_secs(1)).await;
    }
}
