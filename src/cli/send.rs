//! `billables send`: posts files of a sender to a server, and removes each once it is stored.
//!
//! What is refused is kept, with the reason beside it. What could not be sent is repeated, so a report
//! whose answer is lost is sent again: it is one billable if it names its call. Each file is locked while
//! it is sent, so that two runs do not send the same one, and it is removed only if it is still what was
//! sent.

mod target;

use std::collections::BTreeSet;
use std::fs::{self, File, Metadata, TryLockError};
use std::io::{self, ErrorKind, Read};
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
use target::{Target, sent};

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
    /// It is empty, cannot be read, or could not be sent in time.
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
    elsewhere: u64,
}

impl Counts {
    fn add(&mut self, sent: Sent) {
        match sent {
            Sent::Stored => self.stored += 1,
            Sent::Ignored => self.ignored += 1,
            Sent::Refused => self.refused += 1,
            Sent::Left => self.left += 1,
            Sent::Elsewhere => self.elsewhere += 1,
        }
    }

    fn all(self) -> u64 {
        self.stored + self.ignored + self.refused + self.left + self.elsewhere
    }
}

#[expect(clippy::print_stdout, reason = "the result of the command")]
pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let Args { watch, paths, .. } = &args;
    let (watch, paths) = (*watch, paths.clone());
    let sender = FileSender::new(&args)?;
    let mut stop = std::pin::pin!(stopped());
    let mut total = Counts::default();
    let mut is_first = true;
    loop {
        let files = sender.files(&paths, is_first)?;
        is_first = false;
        let (count, mut counts) = (as_u64(files.len()), Counts::default());
        let is_stopped = tokio::select! {
            sent = sender.send_all(files, &mut counts) => {
                sent?;
                false
            }
            () = &mut stop => true,
        };
        // What was not sent before the stop.
        counts.left += count - counts.all();
        total.stored += counts.stored;
        total.ignored += counts.ignored;
        total.refused += counts.refused;
        total.left = counts.left;
        if !watch || is_stopped {
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
        elsewhere: _,
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
    target: Target,
    patience: Duration,
    /// What this run does not send again: what was refused, and what could not be removed.
    done: Mutex<BTreeSet<PathBuf>>,
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
            target: Target::new(args)?,
            patience: args.timeout,
            done: Mutex::default(),
        })
    }

    /// Returns the files that are to be sent. A path that is gone later is no error: it was sent.
    fn files(&self, paths: &[PathBuf], is_first: bool) -> Result<Vec<PathBuf>, Failure> {
        let failed = |path: &Path, error: std::io::Error| {
            Failure::Failed(format!("cannot read {}: {error}", path.display()))
        };
        let mut files = BTreeSet::new();
        for path in paths {
            let metadata = match fs::metadata(path) {
                Err(error) if error.kind() == ErrorKind::NotFound && !is_first => continue,
                metadata => metadata.map_err(|error| failed(path, error))?,
            };
            if !metadata.is_dir() {
                files.insert(path.clone());
                continue;
            }
            for entry in fs::read_dir(path).map_err(|error| failed(path, error))? {
                let entry = entry.map_err(|error| failed(path, error))?;
                let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
                let name = entry.file_name();
                let name = name.to_string_lossy();
                if is_file && !name.starts_with('.') {
                    files.insert(entry.path());
                }
            }
        }
        let done = self.done();
        let is_reason = |file: &Path| {
            file.as_os_str()
                .as_encoded_bytes()
                .ends_with(REFUSED.as_bytes())
        };
        files.retain(|file| !done.contains(file) && !is_reason(file));
        Ok(files.into_iter().collect())
    }

    fn done(&self) -> std::sync::MutexGuard<'_, BTreeSet<PathBuf>> {
        self.done.lock().expect("nothing panics under this lock")
    }

    async fn send_all(&self, files: Vec<PathBuf>, counts: &mut Counts) -> Result<(), Failure> {
        let mut progress = Progress::new("sending", Some(as_u64(files.len())));
        let sent = stream::iter(files).map(async |file: PathBuf| self.send(&file).await);
        let mut sent = std::pin::pin!(sent.buffer_unordered(AT_ONCE));
        while let Some(sent) = sent.next().await {
            counts.add(sent?);
            progress.at(counts.all(), counts.all());
        }
        Ok(())
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
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Sent::Elsewhere),
            Err(error) => return left(&format!("cannot be read: {error}")),
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(Sent::Elsewhere),
            Err(TryLockError::Error(error)) => return left(&format!("cannot be locked: {error}")),
        }
        wait_until_settled(&file).await;
        let before = State::of(file.metadata());
        if before.is_none() || before != State::of(fs::metadata(path)) {
            return Ok(Sent::Elsewhere);
        }
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        if length == 0 {
            return left("is empty");
        }
        if length > MAX_FILE {
            self.keep(path, &format!("the file is larger than {MAX_FILE} bytes"));
            return Ok(Sent::Refused);
        }
        let mut body = Vec::new();
        if let Err(error) = file.read_to_end(&mut body) {
            return left(&format!("cannot be read: {error}"));
        }
        let body = Bytes::from(body);
        let (begun, mut pause) = (Instant::now(), FIRST_PAUSE);
        loop {
            let (reason, wanted) = match self.target.post(path, body.clone()).await {
                Ok(answer) if answer.status.is_success() => {
                    let Some(sent) = sent(&answer) else {
                        return left("what answered is not the service: look at --to");
                    };
                    if before != State::of(fs::metadata(path)) {
                        return left("changed while it was sent, so it is sent again");
                    }
                    if let Err(error) = fs::remove_file(path) {
                        self.done().insert(path.to_owned());
                        return left(&format!("was sent, but cannot be removed: {error}"));
                    }
                    let _ = fs::remove_file(beside(path));
                    return Ok(sent);
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
        self.done().insert(path.to_owned());
    }
}

/// Which file it is, and when and how long it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    file: (u64, u64),
    length: u64,
    written: (i64, i64),
}

impl State {
    fn of(metadata: io::Result<Metadata>) -> Option<Self> {
        let metadata = metadata.ok()?;
        Some(Self {
            file: (metadata.dev(), metadata.ino()),
            length: metadata.len(),
            written: (metadata.mtime(), metadata.mtime_nsec()),
        })
    }
}

fn as_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
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
