//! Proxies that lose replies: one in front of the server, one in front of its database.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use uuid::Uuid;

use crate::random::Random;
use crate::support::Database;

/// A shared record of the cuts of a proxy.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cuts(Arc<Mutex<Taken>>);

/// The contents of [`Cuts`].
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// The number of connections that were cut.
    pub(crate) cuts: usize,
    /// The ids in the successful replies that were lost.
    pub(crate) ids: Vec<Uuid>,
}

impl Cuts {
    /// Takes out the contents.
    pub(crate) fn take(&self) -> Taken {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// Forwards connections to a server and closes them instead of forwarding one in `once_in` replies.
///
/// The server has processed the request when it begins to reply. Part of the reply is sometimes
/// forwarded.
pub(crate) async fn before_server(
    server: SocketAddr,
    random: Random,
    once_in: usize,
) -> (SocketAddr, Cuts) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let cuts = Cuts::default();
    let (kept, random) = (cuts.clone(), Arc::new(Mutex::new(random)));
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let (cuts, random) = (kept.clone(), random.clone());
            tokio::spawn(async move {
                let mut server = TcpStream::connect(server).await?;
                let (mut of_client, mut to_client) = client.split();
                let (mut of_server, mut to_server) = server.split();
                let replies = async {
                    let mut reply = vec![0; 16 * 1024];
                    loop {
                        let length = of_server.read(&mut reply).await?;
                        let (is_cut, passed) = {
                            let mut random = random.lock().unwrap();
                            (random.once_in(once_in), random.below(2 * length.max(1)))
                        };
                        if length > 0 && is_cut {
                            // The last byte never passes, because a complete reply would not be
                            // lost.
                            let passed = if passed < length { passed } else { 0 };
                            to_client.write_all(&reply[..passed]).await?;
                            let mut taken = cuts.0.lock().unwrap();
                            taken.cuts += 1;
                            taken.ids.extend(id_in(&reply[..length]));
                            return Ok(());
                        }
                        if length == 0 {
                            return Ok(());
                        }
                        to_client.write_all(&reply[..length]).await?;
                    }
                };
                tokio::select! {
                    _ = tokio::io::copy(&mut of_client, &mut to_server) => Ok(()),
                    done = replies => done,
                }
                .inspect_err(|_: &std::io::Error| ())
            });
        }
    });
    (address, cuts)
}

/// Returns the id in a successful reply.
fn id_in(reply: &[u8]) -> Option<Uuid> {
    let text = String::from_utf8_lossy(reply);
    let is_success = text.starts_with("HTTP/1.1 201 ") || text.starts_with("HTTP/1.1 200 ");
    let (_, rest) = text.split_once("{\"id\":\"").filter(|_| is_success)?;
    rest.get(..36)?.parse().ok()
}

/// The name of the socket in the directory that a URL gives as host.
const SOCKET: &str = ".s.PGSQL.5432";

/// Forwards connections to PostgreSQL and closes them instead of forwarding the response to one in
/// `once_in` commits. The server then does not know whether the transaction committed.
#[derive(Debug)]
pub(crate) struct BeforeDatabase {
    directory: TempDir,
    is_armed: Arc<AtomicBool>,
    pub(crate) cuts: Cuts,
}

impl BeforeDatabase {
    pub(crate) fn start(database: &Database, random: Random, once_in: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join(SOCKET)).unwrap();
        let cluster = Path::new(host_of(database)).join(SOCKET);
        let (cuts, is_armed) = (Cuts::default(), Arc::new(AtomicBool::new(false)));
        let (kept, armed, random) = (cuts.clone(), is_armed.clone(), Arc::new(Mutex::new(random)));
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let (armed, random) = (armed.clone(), random.clone());
                let is_cut = move || {
                    armed.load(Ordering::Relaxed) && random.lock().unwrap().once_in(once_in)
                };
                tokio::spawn(pass(client, cluster.clone(), kept.clone(), is_cut));
            }
        });
        Self {
            directory,
            is_armed,
            cuts,
        }
    }

    /// Starts cutting. This must be called after the server has started, because a server that is
    /// cut during its start exits.
    pub(crate) fn arm(&self) {
        self.is_armed.store(true, Ordering::Relaxed);
    }

    /// Returns the same database, through this proxy.
    pub(crate) fn database(&self, database: &Database) -> Database {
        let through = self.directory.path().to_str().unwrap();
        database.at(&database.url().replace(host_of(database), through))
    }
}

async fn pass(
    client: UnixStream,
    cluster: PathBuf,
    cuts: Cuts,
    is_to_cut: impl Fn() -> bool,
) -> std::io::Result<()> {
    let server = UnixStream::connect(cluster).await?;
    let (mut of_client, mut to_client) = client.into_split();
    let (mut of_server, mut to_server) = server.into_split();
    let is_cut = Mutex::new(false);
    let questions = copy(&mut of_client, &mut to_server, |bytes| {
        let commits = bytes.windows(7).any(|word| word == b"COMMIT\0");
        if commits && is_to_cut() {
            *is_cut.lock().unwrap() = true;
        }
        true
    });
    let answers = copy(&mut of_server, &mut to_client, |_| {
        let is_cut = *is_cut.lock().unwrap();
        if is_cut {
            cuts.0.lock().unwrap().cuts += 1;
        }
        !is_cut
    });
    tokio::select! { done = questions => done, done = answers => done }
}

/// Forwards bytes until `look` returns false.
async fn copy(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    look: impl Fn(&[u8]) -> bool,
) -> std::io::Result<()> {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let length = from.read(&mut bytes).await?;
        if length == 0 || !look(&bytes[..length]) {
            return Ok(());
        }
        to.write_all(&bytes[..length]).await?;
    }
}

fn host_of(database: &Database) -> &str {
    database.url().split_once("?host=").unwrap().1
}
