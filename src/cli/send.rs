//! `billables send`: posts files of a sender to a server, and removes each once it is stored.
//!
//! What is refused is kept, with the reason beside it. What could not be sent is repeated. Each file is
//! locked while it is sent, so that two runs do not send the same one; if they did, it would still be
//! one billable.

mod server;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use axum::body::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderValue, StatusCode, Uri};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep};

use super::Failure;
use super::progress::Progress;
use crate::config::duration;
use crate::senders;
use crate::telemetry::print_line;
use server::Server;

/// How many files are sent at once.
const AT_ONCE: usize = 8;
/// How old a file must be: a younger one may still be written.
const SETTLED: Duration = Duration::from_secs(2);
/// The pauses between attempts double from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LAST_PAUSE: Duration = Duration::from_secs(30);
/// How often `--watch` looks for files.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// The largest file, in bytes; the server takes no larger body.
const MAX_FILE: u64 = 8 * 1024 * 1024;
/// What the name of a file with a reason ends in.
const REFUSED: &str = ".refused";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Address of the server, such as `https://billables.example.com`, or the URL of a hook.
    ///
    /// It may have a query, such as `?accountId=acc&customerId=cus`.
    #[arg(long, value_name = "URL")]
    to: Uri,
    /// File with the token, on one line; not for a hook.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Sender whose files these are, such as freeswitch; see `billables senders list`.
    #[arg(long, value_name = "NAME")]
    sender: Option<String>,
    /// Ignore calls that were not answered; ignored files are removed, too.
    #[arg(long, requires = "sender")]
    answered: bool,
    /// Content-Type of the files, instead of what their names say.
    #[arg(long, value_name = "TYPE")]
    content_type: Option<HeaderValue>,
    /// How long to repeat what could not be sent, such as 10m.
    #[arg(long, default_value = "5m", value_parser = duration)]
    timeout: Duration,
    /// Continue to look for files, until it is stopped.
    #[arg(long)]
    watch: bool,
    /// Directories, whose files are sent, or files.
    #[arg(value_name = "DIR|FILE", required = true)]
    paths: Vec<PathBuf>,
}

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    Stored,
    Ignored,
    Refused,
    /// It could not be sent in time, or is empty.
    Left,
    /// Another run sends it.
    Elsewhere,
}

/// How many files had each outcome.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    stored: u64,
    ignored: u64,
    refused: u64,
    left: u64,
}

impl Counts {
    fn add(&mut self, sent: Sent) {
        match sent {
            Sent::Stored => self.stored += 1,
            Sent::Ignored => self.ignored += 1,
            Sent::Refused => self.refused += 1,
            Sent::Left => self.left += 1,
            Sent::Elsewhere => {}
        }
    }

    fn all(self) -> u64 {
        self.stored + self.ignored + self.refused + self.left
    }
}

#[expect(clippy::print_stdout, reason = "the result of the command")]
pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let Args { watch, paths, .. } = &args;
    let (watch, paths) = (*watch, paths.clone());
    let sender = FileSender::new(&args)?;
    let mut stop = std::pin::pin!(stopped());
    let mut total = Counts::default();
    loop {
        let files = sender.files(&paths)?;
        let pass = sender.send_all(files);
        let counts = tokio::select! {
            counts = pass => counts?,
            () = &mut stop => break,
        };
        total.stored += counts.stored;
        total.ignored += counts.ignored;
        total.refused += counts.refused;
        total.left = counts.left;
        if !watch {
            break;
        }
        tokio::select! {
            () = sleep(LOOK_EVERY) => {}
            () = &mut stop => break,
        }
    }
    let Counts {
        stored,
        ignored,
        refused,
        left,
    } = total;
    println!("stored {stored}, ignored {ignored}, refused {refused}, left {left}");
    if refused + left > 0 {
        return Err(Failure::Failed(
            "not every file was sent; a refused one has the reason beside it".to_owned(),
        ));
    }
    Ok(())
}

/// Returns when the process is asked to stop.
async fn stopped() {
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
        }
        Err(_) => {
            let _ = tokio::signal::ctrl_c().await;
        }
    }
}

/// Sends files.
struct FileSender {
    server: Server,
    patience: Duration,
    /// What this run does not send again.
    refused: Mutex<BTreeSet<PathBuf>>,
}

impl FileSender {
    fn new(args: &Args) -> Result<Self, Failure> {
        if let Some(name) = &args.sender
            && senders::find(name).is_none()
        {
            let names = senders::names();
            return Err(Failure::Usage(format!(
                "there is no sender {name}; there are {names}"
            )));
        }
        Ok(Self {
            server: Server::new(args)?,
            patience: args.timeout,
            refused: Mutex::default(),
        })
    }

    /// Returns the files that are to be sent.
    fn files(&self, paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
        let failed = |path: &Path, error: std::io::Error| {
            Failure::Failed(format!("cannot read {}: {error}", path.display()))
        };
        let mut files = BTreeSet::new();
        for path in paths {
            let metadata = fs::metadata(path).map_err(|error| failed(path, error))?;
            if !metadata.is_dir() {
                files.insert(path.clone());
                continue;
            }
            for entry in fs::read_dir(path).map_err(|error| failed(path, error))? {
                let entry = entry.map_err(|error| failed(path, error))?;
                let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
                let name = entry.file_name();
                let name = name.to_string_lossy();
                let is_ours = name.ends_with(REFUSED);
                if is_file && !is_ours && !name.starts_with('.') {
                    files.insert(entry.path());
                }
            }
        }
        let refused = self.refused();
        Ok(files
            .into_iter()
            .filter(|file| !refused.contains(file))
            .collect())
    }

    fn refused(&self) -> std::sync::MutexGuard<'_, BTreeSet<PathBuf>> {
        self.refused.lock().expect("nothing panics under this lock")
    }

    async fn send_all(&self, files: Vec<PathBuf>) -> Result<Counts, Failure> {
        let total = u64::try_from(files.len()).unwrap_or(u64::MAX);
        let mut progress = Progress::new("sending", Some(total));
        let sent = stream::iter(files).map(async |file: PathBuf| self.send(&file).await);
        let mut sent = std::pin::pin!(sent.buffer_unordered(AT_ONCE));
        let mut counts = Counts::default();
        while let Some(sent) = sent.next().await {
            counts.add(sent?);
            progress.at(counts.all(), counts.all());
        }
        Ok(counts)
    }

    /// Sends a file, and removes it once it is stored or ignored.
    ///
    /// # Errors
    /// The server does not accept the token, so no other file can be sent.
    async fn send(&self, path: &Path) -> Result<Sent, Failure> {
        let left = |reason: &str| {
            print_line(&format!("{}: {reason}", path.display()));
            Ok(Sent::Left)
        };
        // Another run may have sent it since the directory was read.
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Sent::Elsewhere),
            Err(error) => return left(&format!("cannot be read: {error}")),
        };
        if file.try_lock().is_err() || !is_same(&file, path) {
            return Ok(Sent::Elsewhere);
        }
        wait_until_settled(&file).await;
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        if length == 0 {
            return left("is empty");
        }
        if length > MAX_FILE {
            self.keep(path, &format!("the file is larger than {MAX_FILE} bytes"));
            return Ok(Sent::Refused);
        }
        let body = match fs::read(path) {
            Ok(body) => Bytes::from(body),
            Err(error) => return left(&format!("cannot be read: {error}")),
        };
        let (begun, mut pause) = (Instant::now(), FIRST_PAUSE);
        loop {
            let (reason, wanted) = match self.server.post(path, body.clone()).await {
                Ok(answer) if answer.status.is_success() => {
                    remove(path);
                    if answer.headers.contains_key("billable-ignored") {
                        return Ok(Sent::Ignored);
                    }
                    return Ok(Sent::Stored);
                }
                Ok(answer) if answer.status == StatusCode::UNAUTHORIZED => {
                    return Err(Failure::Failed(answer.shown()));
                }
                Ok(answer) if answer.may_repeat() => (answer.shown(), answer.retry_after()),
                Ok(answer) => {
                    self.keep(path, &answer.shown());
                    return Ok(Sent::Refused);
                }
                Err(error) => (error, None),
            };
            let next = wanted
                .map_or(pause, |wanted| wanted.min(LAST_PAUSE))
                .max(pause);
            if begun.elapsed() + next > self.patience {
                return left(&reason);
            }
            sleep(next).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    /// Keeps a refused file, and writes the reason beside it.
    fn keep(&self, path: &Path, reason: &str) {
        print_line(&format!("{}: {reason}", path.display()));
        if let Err(error) = fs::write(beside(path), format!("{reason}\n")) {
            print_line(&format!("{}: {error}", beside(path).display()));
        }
        self.refused().insert(path.to_owned());
    }
}

/// Whether a path still leads to this file.
fn is_same(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

/// Waits until nobody has written the file for a while.
async fn wait_until_settled(file: &File) {
    loop {
        let modified = file.metadata().and_then(|metadata| metadata.modified());
        let age = modified.ok().and_then(|at| at.elapsed().ok());
        // A time in the future says nothing.
        match age.filter(|age| *age < SETTLED) {
            Some(age) => sleep(SETTLED - age).await,
            None => return,
        }
    }
}

/// The path of the reason for which a file was refused.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(REFUSED);
    name.into()
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        print_line(&format!(
            "{}: stored, but cannot be removed: {error}",
            path.display()
        ));
    }
    let _ = fs::remove_file(beside(path));
}
