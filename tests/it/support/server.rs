//! The real program, started as a user starts it, on a free port.

use std::io::{BufRead, BufReader, Lines, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use billables::billable::{ClientName, Timestamp};
use billables::store::Store;
use billables::token::{Grant, Scope, Secret, Token};
use uuid::Uuid;

use super::{Client, Database};

/// A running server. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    admin_address: Option<SocketAddr>,
    log: Arc<Mutex<String>>,
    reading: Option<JoinHandle<()>>,
    secret: String,
}

impl Server {
    /// Starts a server, with a token that has every scope.
    pub(crate) async fn start(database: &Database) -> Self {
        Self::start_with(database, &[]).await
    }

    /// Like [`Self::start`], with more arguments.
    pub(crate) async fn start_with(database: &Database, arguments: &[&str]) -> Self {
        Self::start_in(database, arguments, &[]).await
    }

    /// Like [`Self::start_with`], with environment variables.
    pub(crate) async fn start_in(
        database: &Database,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let secret = token(database, "default", &Scope::ALL, None).await;
        Self::spawn(serve(database, arguments, environment), secret)
    }

    /// Starts a server from a shell that runs the command `first` before it.
    pub(crate) async fn start_under(database: &Database, first: &str) -> Self {
        let secret = token(database, "default", &Scope::ALL, None).await;
        let server = serve(database, &[], &[]);
        let mut shell = Command::new("bash");
        shell
            .args(["-c", &format!("{first}; exec \"$0\" \"$@\"")])
            .arg(server.get_program())
            .args(server.get_args())
            .env_clear()
            .envs(
                server
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            );
        Self::spawn(shell, secret)
    }

    /// Starts a server on a database as it is, without making a token.
    pub(crate) fn start_fresh(database: &Database, environment: &[(&str, &str)]) -> Self {
        Self::spawn(serve(database, &[], environment), String::new())
    }

    /// Starts a server by a command that [`serve`] made.
    pub(crate) fn spawn(command: Command, secret: String) -> Self {
        let (mut server, lines) = Self::spawn_unread(command, secret);
        let kept = server.log.clone();
        let reading = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                kept.lock().unwrap().push_str(&format!("{line}\n"));
            }
        });
        server.reading = Some(reading);
        server
    }

    /// Like [`Self::spawn`]. Also returns the rest of the server's log, which nobody reads.
    pub(crate) fn spawn_unread(
        mut command: Command,
        secret: String,
    ) -> (Self, Lines<BufReader<ChildStderr>>) {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut admin_address = None;
        let address = lines.by_ref().find_map(|line| {
            let line = line.unwrap();
            log.lock().unwrap().push_str(&format!("{line}\n"));
            admin_address = admin_address.or(address_after(&line, "probes on http://"));
            address_after(&line, "listening on http://")
                .or(address_after(&line, "listening on https://"))
        });
        let address =
            address.unwrap_or_else(|| panic!("the server does not start: {}", log.lock().unwrap()));
        let server = Self {
            child,
            address,
            admin_address,
            log,
            reading: None,
            secret,
        };
        (server, lines)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the separate address of the probes. Panics if there is none.
    pub(crate) fn admin_address(&self) -> SocketAddr {
        self.admin_address.unwrap()
    }

    /// The secret of the token that has every scope.
    pub(crate) fn secret(&self) -> &str {
        &self.secret
    }

    /// A client with the token that has every scope.
    pub(crate) fn client(&self) -> Client {
        self.client_of(&self.secret)
    }

    /// A client with another token.
    pub(crate) fn client_of(&self, secret: &str) -> Client {
        Client::new(self.address, secret)
    }

    /// A client of the probes' address, without a token.
    pub(crate) fn admin_client(&self) -> Client {
        Client::new(self.admin_address(), "")
    }

    /// Everything that the server has written to standard error.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Returns when the log contains `text`; the pipe may lag behind the server's replies.
    pub(crate) async fn until_logged(&self, text: &str) {
        let logged = async {
            while !self.log().contains(text) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(60), logged)
            .await
            .unwrap_or_else(|_| panic!("not logged: {text}"));
    }

    /// The id of the process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &id])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Waits for the server to exit; returns the exit code.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        let status = self.child.wait().unwrap();
        if let Some(reading) = self.reading.take() {
            reading.join().unwrap();
        }
        status.code()
    }

    /// Kills the server, as a power cut would.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn stdout(&mut self) -> ChildStdout {
        self.child.stdout.take().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The command that starts a server on a database, on a free port.
pub(crate) fn serve(
    database: &Database,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> Command {
    let mut command = command(database, &["serve"]);
    command
        .env("BILLABLES_LISTEN", "127.0.0.1:0")
        .args(arguments)
        .envs(environment.iter().copied());
    command
}

fn address_after(line: &str, words: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once(words)?;
    let is_address = |c: char| c.is_ascii_hexdigit() || matches!(c, '.' | ':' | '[' | ']');
    rest.split(|c| !is_address(c)).next()?.parse().ok()
}

/// Returns a command that runs `billables` with `DATABASE_URL` as its only environment variable.
pub(crate) fn command(database: &Database, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_billables"));
    command
        .env_clear()
        .env("DATABASE_URL", database.url())
        // The directory for temporary files is in memory on some machines.
        .env("BILLABLES_ALLOW_VOLATILE", "true")
        .current_dir(std::env::temp_dir())
        .args(arguments)
        .stdin(Stdio::null());
    command
}

/// Runs a command to its end; returns exit code, standard output and standard error.
pub(crate) fn run(command: &mut Command) -> (i32, String, String) {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// Stores a token in the database and returns its secret.
pub(crate) async fn token(
    database: &Database,
    client: &str,
    scopes: &[Scope],
    accounts: Option<&[&str]>,
) -> String {
    let store = Store::open(database.url(), 1).await.unwrap();
    store.migrate().await.unwrap();
    let secret = Secret::generate().unwrap();
    let accounts: Option<Arc<[String]>> = accounts.map(|accounts| {
        accounts
            .iter()
            .map(|account| (*account).to_owned())
            .collect()
    });
    let client = ClientName::parse(client).unwrap();
    let stored = store.client_ensure(&client, accounts.as_deref()).await;
    assert_eq!(
        stored.unwrap(),
        accounts,
        "the tokens of a client have the same accounts"
    );
    let grant = Grant {
        client,
        scopes: scopes.to_vec(),
        accounts,
        sender: None,
    };
    let token = Token {
        id: Uuid::now_v7(),
        grant,
        created_at: Timestamp::now(),
        expires_at: None,
        rate: None,
        last_used_at: None,
    };
    store.token_insert(&token, &secret.hash()).await.unwrap();
    store.close().await;
    secret.reveal().to_owned()
}

/// Reads the rest of a stream.
pub(crate) fn rest_of(mut stream: impl Read) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}
