//! `billables serve`: the start, the service, the stop, read from top to bottom.

use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{Failure, token};
use crate::api::{App, Cursors, RequestLimits, Tokens};
use crate::attribution;
use crate::billable::{ClientName, Instant};
use crate::config::{self, ServeArgs};
use crate::server::{self, Limits};
use crate::store::Store;
use crate::token::{Grant, Scope};
use crate::totals;
use crate::writer::Writer;

pub(super) async fn run(url: &str, args: ServeArgs) -> Result<(), Failure> {
    let admin = config::admin_token().map_err(Failure::Usage)?;
    let store = Store::open(url, args.read_connections).await?;
    store.migrate().await?;
    let log = store.log_prepare(None, Instant::now()).await?;

    let listener = TcpListener::bind(&args.listen)
        .await
        .map_err(|error| Failure::Failed(format!("cannot listen on {}: {error}", args.listen)))?;
    let address = listener
        .local_addr()
        .map_err(|error| Failure::Failed(error.to_string()))?;
    if admin.is_none() && !store.tokens_exist().await? {
        first_token(&store, address).await?;
    }

    let tokens = Tokens::load(&store, admin.as_ref()).await?;
    let (writer, mut writing) = Writer::start(&store, log, args.max_queue as usize);
    let cursors = Cursors::load(&store, log).await?;
    let mut background = JoinSet::new();
    background.spawn(tokens.clone().keep_fresh(store.clone(), admin));
    background.spawn(tokens.clone().keep_noting(store.clone()));
    background.spawn(writer.heads().clone().keep_asking(store.clone(), log));
    background.spawn(totals::keep_rolling(store.clone()));
    background.spawn(totals::keep_watching(store.clone()));
    background.spawn(attribution::keep_finishing(
        store.clone(),
        log,
        writer.clone(),
    ));
    let stop = stop_on_signal()?;
    let app = App::new(
        store.clone(),
        log,
        writer,
        tokens,
        cursors,
        RequestLimits {
            requests: args.max_requests as usize,
            timeout: args.request_timeout,
        },
        stop.clone(),
    )
    .into_router();
    info!(
        listen = %address, epoch = %log.epoch, partitions = log.partitions, version = env!("CARGO_PKG_VERSION"),
        "listening on http://{address}"
    );

    let limits = Limits {
        connections: args.max_connections as usize,
        header_timeout: args.header_timeout,
        idle_timeout: args.idle_timeout,
        shutdown_timeout: args.shutdown_timeout,
    };
    // A writing task ends when the app is gone, after a stop. One that panics leaves nothing
    // that could store: a restart is the cure.
    let mut serving = tokio::spawn(server::serve(listener, app, limits, stop));
    let died = tokio::select! {
        done = &mut serving => done.is_err(),
        Some(Err(_)) = writing.join_next() => true,
        Some(_) = background.join_next() => true,
    };
    background.shutdown().await;
    if died {
        error!("a task died; ending, so that whoever supervises this process starts it again");
        return Err(Failure::Failed(
            "a task of the server died; see the log".to_owned(),
        ));
    }
    // The app is gone, so the queues are closed: the tasks commit what was accepted and end.
    let finished = async { while writing.join_next().await.is_some() {} };
    if timeout(args.shutdown_timeout, finished).await.is_err() {
        warn!("accepted reports were not committed in time; nobody was told that they were stored");
    }
    // Whatever a server that is gone does not answer, there is nothing left to lose.
    let _ = timeout(args.shutdown_timeout, store.close()).await;
    info!("stopped");
    Ok(())
}

/// On a first start on one's own machine there is a token to try the service with; elsewhere
/// making one is a decision.
#[expect(
    clippy::print_stdout,
    reason = "shown once, to whoever starts the server"
)]
async fn first_token(store: &Store, address: SocketAddr) -> Result<(), Failure> {
    if !(store.is_embedded() && address.ip().is_loopback()) {
        warn!(
            "there is no token yet; make one with: billables token create --client NAME --scope report read bill"
        );
        return Ok(());
    }
    let client = ClientName::parse("default").expect("a client name");
    let grant = Grant {
        client,
        scopes: Scope::ALL.to_vec(),
        accounts: None,
    };
    let secret = token::issue(store, grant, Instant::now(), None, None).await?;
    let secret = secret.reveal();
    println!(
        "First start: here is a token for the client 'default'. It is shown only this once.\n\n  {secret}\n\nTry it:\n\n  \
         curl -i http://{address}/billables -H 'Authorization: Bearer {secret}' \
         -H 'Content-Type: application/json' -d '{{\"sessionId\":\"S1\",\"callSid\":\"CA1\"}}'\n"
    );
    Ok(())
}

/// Cancelled by SIGTERM or SIGINT; a second one ends the process at once.
fn stop_on_signal() -> Result<CancellationToken, Failure> {
    let failed =
        |error: std::io::Error| Failure::Failed(format!("cannot listen for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let stop = CancellationToken::new();
    let cancelled = stop.clone();
    tokio::spawn(async move {
        for is_second in [false, true] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if is_second {
                warn!("ending at once");
                std::process::exit(1);
            }
            cancelled.cancel();
        }
    });
    Ok(stop)
}
