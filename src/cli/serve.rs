//! `billables serve`: starts the server, serves requests and shuts down.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use axum::{Extension, Router};
use tokio::net::{TcpListener, TcpSocket, lookup_host};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::Failure;
use crate::api::{self, App, BehindProxy, Cursors, RequestLimits, Settings, Tokens, Trust};
use crate::billable::Timestamp;
use crate::config::{self, ServeArgs};
use crate::issuing::{self, TokenRequest};
use crate::server::{self, Limits, Tls};
use crate::store::{LogInfo, Origin, Store};
use crate::telemetry::{self, chain};
use crate::token::Scope;
use crate::totals;
use crate::writer::Writer;

/// Maximum number of connections to the admin address, which is ample for a few probes and
/// scrapers.
const MAX_ADMIN_CONNECTIONS: usize = 64;

/// Connections that may wait to be accepted; the kernel may lower this (`net.core.somaxconn`). With
/// the usual 128, SYNs are dropped silently and the client retries seconds later.
const BACKLOG: u32 = 4096;

/// How long a response on the admin address may take after everything else has ended.
const ADMIN_SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

pub(super) async fn run(url: &str, args: ServeArgs) -> Result<(), Failure> {
    let admin = config::admin_token().map_err(Failure::Usage)?;
    let tls = load_tls(&args)?;
    reload_on_signal(tls.clone())?;
    let (store, log) = open_log(url, &args).await?;

    let (listener, address) = listen(&args.listen.listen).await?;
    let probes = match args.listen.admin_listen() {
        Some(address) => Some(listen(address).await?),
        None => None,
    };
    if tls.is_none() && !args.behind_proxy && !address.ip().is_loopback() {
        warn_of_plain_http();
    }
    if admin.is_none() && !store.tokens_exist().await? {
        first_token(&store, address, tls.is_some()).await?;
    }

    let tokens = Tokens::load(&store, log, admin.as_ref()).await?;
    let queue = args.max_queue as usize;
    let (writer, mut writer_tasks) = Writer::start(&store, log, queue, Origin::Server);
    let trust = Trust::load(&store).await;
    let cursors = Cursors::load(&store, log).await?;
    let mut background = JoinSet::new();
    background.spawn(tokens.clone().keep_fresh(store.clone(), log, admin));
    background.spawn(tokens.clone().keep_recording_usage(store.clone()));
    background.spawn(trust.clone().keep_checking(store.clone()));
    background.spawn(writer.heads().clone().keep_asking(store.clone(), log));
    background.spawn(totals::keep_rolling(store.clone()));
    background.spawn(totals::keep_watching(store.clone()));
    let stop = stop_on_signal()?;
    let app = App::new(
        store.clone(),
        log,
        writer,
        tokens,
        trust,
        cursors,
        settings_of(&args),
        stop.clone(),
    );
    background.spawn(app.carrier().keep_finishing());
    let (limits, refusals) = (limits_of(&args), app.refusals());
    let mut probing = JoinSet::new();
    let end = CancellationToken::new();
    let app = match probes {
        None => app.into_router(),
        Some((listener, address)) => {
            info!(admin_listen = %address, "probes on http://{address}");
            let (app, admin) = app.into_routers();
            let limits = Limits {
                address: "admin",
                connections: MAX_ADMIN_CONNECTIONS,
                shutdown_timeout: ADMIN_SHUTDOWN_TIMEOUT,
                ..limits
            };
            probing.spawn(server::serve(
                listener,
                None,
                admin,
                refusals.clone(),
                limits,
                end.clone(),
            ));
            app
        }
    };
    let app = with_surroundings(app, tls.is_some(), args.behind_proxy);
    info!(
        listen = %address, epoch = %log.epoch, partitions = log.partitions, version = env!("CARGO_PKG_VERSION"),
        "listening on {}://{address}", scheme(tls.is_some())
    );

    // After a stop, a writer task ends once the app is dropped. If one panics, its reports can no
    // longer be stored, and only a restart helps.
    let mut serving = tokio::spawn(server::serve(listener, tls, app, refusals, limits, stop));
    let died = tokio::select! {
        done = &mut serving => done.is_err(),
        Some(Err(_)) = writer_tasks.join_next() => true,
        Some(_) = background.join_next() => true,
        Some(_) = probing.join_next() => true,
    };
    // The admin address is served until here, so that after a stop signal the readiness probe can
    // report that the service is stopping.
    end.cancel();
    while probing.join_next().await.is_some() {}
    background.shutdown().await;
    if died {
        error!("a task died; exiting, so that the supervisor restarts this process");
        return Err(Failure::Failed(
            "a server task died; see the log".to_owned(),
        ));
    }
    // The app is dropped, so the queues are closed: the tasks commit accepted reports and end.
    let finished = async { while writer_tasks.join_next().await.is_some() {} };
    if timeout(args.shutdown_timeout, finished).await.is_err() {
        warn!(
            "accepted reports were not committed in time; no client was told that they were stored"
        );
    }
    // Everything acknowledged is durable by now, so do not wait longer than this for an unreachable
    // database.
    let _ = timeout(args.shutdown_timeout, store.close()).await;
    info!("stopped");
    Ok(())
}

fn settings_of(args: &ServeArgs) -> Settings {
    Settings {
        limits: RequestLimits {
            requests: args.max_requests as usize,
            timeout: args.request_timeout,
        },
        zone: args.time_zone.clone(),
    }
}

fn limits_of(args: &ServeArgs) -> Limits {
    Limits {
        address: "public",
        connections: args.max_connections as usize,
        header_timeout: args.header_timeout,
        idle_timeout: args.idle_timeout,
        shutdown_timeout: args.shutdown_timeout,
    }
}

/// Opens the database and creates the log if there is none. Refuses a database in memory, unless
/// that is allowed.
async fn open_log(url: &str, args: &ServeArgs) -> Result<(Store, LogInfo), Failure> {
    let store = Store::open(url, args.read_connections).await?;
    if store.is_volatile() {
        if !args.allow_volatile {
            store.close().await;
            return Err(Failure::Failed(
                "the database is in memory (tmpfs), so a restart of the machine loses everything: move it to a disk, or allow this with --allow-volatile"
                    .to_owned(),
            ));
        }
        api::warn_of_memory();
    }
    store.migrate().await?;
    let log = store.log_prepare(None, Timestamp::now()).await?;
    // A full disk does not keep the server from serving reads.
    if let Err(error) = store.generation_begin().await {
        warn!(
            error = chain(&error),
            "the next start cannot tell whether the database belongs to its WAL"
        );
    }
    Ok((store, log))
}

fn warn_of_plain_http() {
    warn!(
        "tokens and reports cross the network in plain HTTP: set --tls-cert and --tls-key, or --behind-proxy if a proxy terminates TLS"
    );
}

/// On the first start with SQLite on a loopback address, creates a token to try the service with.
/// Elsewhere it only warns, because creating a token is a deliberate decision.
async fn first_token(store: &Store, address: SocketAddr, is_tls: bool) -> Result<(), Failure> {
    if !(store.is_embedded() && address.ip().is_loopback()) {
        warn!(
            "there is no token yet; create one with: billables token create --client NAME --scope report read bill"
        );
        return Ok(());
    }
    let scopes = Scope::ALL.map(|scope| scope.as_str().to_owned());
    let request = TokenRequest {
        client: Some("default".to_owned()),
        scopes: Some(scopes.to_vec()),
        ..TokenRequest::default()
    };
    let issued = issuing::create(store, request.check()?, None, Timestamp::now()).await?;
    let secret = issued.secret.reveal();
    // A certificate names a host and hardly ever a loopback address, so curl would reject it.
    let insecure = if is_tls { "-k " } else { "" };
    let scheme = scheme(is_tls);
    let text = format!(
        "First start: this is a token for the client 'default'. It is shown only once.\n\n  {secret}\n\n\
         Try it with a call of a customer that is never invoiced, because billables are permanent:\n\n  \
         curl -i {insecure}{scheme}://{address}/billables -H 'Authorization: Bearer {secret}' \
         -H 'Content-Type: application/json' \
         -d '{{\"accountId\":\"test\",\"customerId\":\"test\",\"callSid\":\"test-1\"}}'\n\n\
         A call that must not be billed can be voided:\n\n  \
         curl -i {insecure}-X POST {scheme}://{address}/billables/ID/void -H 'Authorization: Bearer {secret}' \
         -H 'Content-Type: application/json' -d '{{\"reason\":\"a test\"}}'\n"
    );
    if let Err(error) = writeln!(io::stdout(), "{text}") {
        warn!(%error, "cannot print the first token; create one with: billables token create");
    }
    Ok(())
}

/// Makes pages show addresses with the scheme that clients use, and believes a proxy about the
/// addresses of clients.
fn with_surroundings(app: Router, is_tls: bool, is_behind_proxy: bool) -> Router {
    let app = app.layer(Extension(api::Scheme(scheme(is_tls || is_behind_proxy))));
    if is_behind_proxy {
        app.layer(Extension(BehindProxy))
    } else {
        app
    }
}

fn scheme(is_tls: bool) -> &'static str {
    if is_tls { "https" } else { "http" }
}

fn load_tls(args: &ServeArgs) -> Result<Option<Tls>, Failure> {
    match args.tls().map_err(Failure::Usage)? {
        Some((certificate, key)) => match Tls::load(certificate, key) {
            Ok(tls) => Ok(Some(tls)),
            Err(error) => Err(Failure::Failed(chain(&error))),
        },
        None => Ok(None),
    }
}

async fn listen(address: &str) -> Result<(TcpListener, SocketAddr), Failure> {
    let listening = async {
        let mut failure = None;
        for address in lookup_host(address).await? {
            match bind(address) {
                Ok(listener) => {
                    let address = listener.local_addr()?;
                    return Ok((listener, address));
                }
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or_else(|| io::Error::other("the name has no address")))
    };
    listening
        .await
        .map_err(|error: io::Error| Failure::Failed(format!("cannot listen on {address}: {error}")))
}

/// Works like `TcpListener::bind`, but with a longer queue.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // SO_REUSEADDR lets a restarted server bind while old connections are in TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Reloads the certificate on each SIGHUP. Without TLS it is handled as well, because an unhandled
/// SIGHUP would end the process.
fn reload_on_signal(tls: Option<Tls>) -> Result<(), Failure> {
    let mut hangup = listen_for(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            match tls.as_ref().map(Tls::reload) {
                Some(Ok(())) => info!("SIGHUP: reloaded the certificate for new connections"),
                Some(Err(error)) => {
                    error!(
                        error = chain(&error),
                        "SIGHUP: cannot reload the certificate; keeping the old one"
                    );
                }
                None => info!("SIGHUP: there is no certificate to reload"),
            }
        }
    });
    Ok(())
}

fn listen_for(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|error| Failure::Failed(format!("cannot listen for signals: {error}")))
}

/// Returns a token that SIGTERM or SIGINT cancels; a second signal ends the process immediately.
fn stop_on_signal() -> Result<CancellationToken, Failure> {
    let mut terminate = listen_for(SignalKind::terminate())?;
    let mut interrupt = listen_for(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    let cancelled = stop.clone();
    tokio::spawn(async move {
        for is_second in [false, true] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if is_second {
                warn!("exiting immediately");
                telemetry::flush();
                std::process::exit(1);
            }
            cancelled.cancel();
        }
    });
    Ok(stop)
}
