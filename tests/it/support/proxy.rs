//! A proxy between a server and PostgreSQL that can go silent without closing connections.

use std::path::PathBuf;

use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::broadcast;

use super::Database;

/// The name of the socket, which clients look for in the directory that the URL names as host.
const SOCKET: &str = ".s.PGSQL.5432";

/// Forwards connections until [`Self::freeze`] stops the open ones.
#[derive(Debug)]
pub(crate) struct Proxy {
    directory: TempDir,
    freeze: broadcast::Sender<()>,
}

impl Proxy {
    /// Starts a proxy in front of a database's cluster.
    pub(crate) fn start(database: &Database) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join(SOCKET)).unwrap();
        let cluster = PathBuf::from(host_of(database)).join(SOCKET);
        let (freeze, _) = broadcast::channel(1);
        let frozen = freeze.clone();
        tokio::spawn(async move {
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                let (cluster, mut frozen) = (cluster.clone(), frozen.subscribe());
                tokio::spawn(async move {
                    let mut server = UnixStream::connect(cluster).await.unwrap();
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => {}
                        _ = frozen.recv() => std::future::pending().await,
                    }
                });
            }
        });
        Self { directory, freeze }
    }

    /// The same database, through the proxy.
    pub(crate) fn database(&self, database: &Database) -> Database {
        database.at(&database
            .url()
            .replace(host_of(database), self.directory.path().to_str().unwrap()))
    }

    /// Stops forwarding on the open connections; new ones work.
    pub(crate) fn freeze(&self) {
        self.freeze.send(()).unwrap();
    }
}

fn host_of(database: &Database) -> &str {
    database.url().split_once("?host=").unwrap().1
}
