//! Rows that were not stored, although they are no repeats: all of them, with their text unless it is
//! too long, to a file; or the first few reasons to standard error.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::cli::Failure;
use crate::cli::atomic_file::AtomicFile;
use crate::telemetry::print_line;

/// Maximum number of reasons shown if there is no file for them.
const SHOWN: u64 = 10;

/// The maximum length of a line by which the file of an earlier import is known, in bytes.
const MAX_LINE: u64 = 64 * 1024 * 1024;

/// The refused rows of an import.
#[derive(Debug)]
pub(super) struct Refusals {
    file: Option<RefusalsFile>,
    count: u64,
    /// The number of those whose id has another time.
    other_times: u64,
}

/// A row that was not stored, and why.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal<'a> {
    pub(super) file: &'a str,
    pub(super) line: u64,
    pub(super) reason: &'a str,
    /// The row; `None` if it was too long.
    pub(super) text: Option<&'a str>,
}

#[derive(Debug)]
struct RefusalsFile {
    path: PathBuf,
    partial: AtomicFile,
    writer: BufWriter<File>,
}

impl Refusals {
    /// Creates the file, if there is to be one. It replaces the file of an earlier import, and no other.
    pub(super) fn new(path: Option<PathBuf>, inputs: &[PathBuf]) -> Result<Self, Failure> {
        let create = |path: PathBuf| {
            let is_file = path.symlink_metadata().is_ok_and(|file| file.is_file());
            let is_input = || inputs.iter().any(|input| is_same(input, &path));
            if is_file && (is_input() || !is_replaceable(&path)) {
                return Err(Failure::Usage(format!(
                    "{} exists, and is not the file of an earlier import: name another one with --refused",
                    path.display()
                )));
            }
            let partial = AtomicFile::beside(&path)?;
            let file = partial.file().try_clone().map_err(|error| failed(&error))?;
            Ok::<_, Failure>(RefusalsFile {
                path,
                partial,
                writer: BufWriter::new(file),
            })
        };
        let file = path.map(create).transpose()?;
        Ok(Self {
            file,
            count: 0,
            other_times: 0,
        })
    }

    /// The number of refused rows.
    pub(super) fn count(&self) -> u64 {
        self.count - self.other_times
    }

    /// The number of rows whose id has another time.
    pub(super) fn other_times(&self) -> u64 {
        self.other_times
    }

    /// Records a row whose id has another time.
    pub(super) fn add_other_time(&mut self, refusal: Refusal<'_>) -> Result<(), Failure> {
        self.other_times += 1;
        self.add(refusal)
    }

    /// Records a refused row.
    pub(super) fn add(&mut self, refusal: Refusal<'_>) -> Result<(), Failure> {
        let Refusal {
            file,
            line,
            reason,
            text,
        } = refusal;
        self.count += 1;
        let Some(to) = &mut self.file else {
            if self.count <= SHOWN {
                print_line(&format!("{file}:{line}: {reason}"));
            }
            return Ok(());
        };
        let row = json!({"file": file, "line": line, "reason": reason, "row": text});
        writeln!(to.writer, "{row}").map_err(|error| failed(&error))
    }

    /// Completes the file, which is empty if no row was refused.
    pub(super) fn finish(self) -> Result<Refused, Failure> {
        let path = match self.file {
            None => None,
            Some(RefusalsFile {
                path,
                partial,
                mut writer,
            }) => {
                writer.flush().map_err(|error| failed(&error))?;
                partial.replace(&path)?;
                Some(path)
            }
        };
        Ok(Refused {
            refused: self.count - self.other_times,
            other_times: self.other_times,
            path,
        })
    }
}

fn is_same(one: &Path, other: &Path) -> bool {
    let id = |path: &Path| path.metadata().map(|file| (file.dev(), file.ino())).ok();
    id(one).is_some_and(|of_one| Some(of_one) == id(other))
}

/// Whether a file is empty, or begins with a row as [`Refusals::add`] writes it.
fn is_replaceable(path: &Path) -> bool {
    let mut line = String::new();
    let read =
        File::open(path).and_then(|file| BufReader::new(file.take(MAX_LINE)).read_line(&mut line));
    let first = serde_json::from_str::<Value>(&line).unwrap_or_default();
    let is_refusal = first.get("file").is_some() && first.get("reason").is_some();
    read.is_ok() && (line.is_empty() || is_refusal)
}

/// How many rows were not stored, and the file that has them.
#[derive(Debug)]
pub(super) struct Refused {
    refused: u64,
    other_times: u64,
    path: Option<PathBuf>,
}

impl Refused {
    /// Fails if there is any.
    pub(super) fn into_result(self) -> Result<(), Failure> {
        let mut what = Vec::new();
        if self.refused > 0 {
            what.push(format!("{} row(s) were refused", self.refused));
        }
        if self.other_times > 0 {
            let count = self.other_times;
            what.push(format!(
                "{count} row(s) have an id that is stored with another time"
            ));
        }
        if what.is_empty() {
            return Ok(());
        }
        let what = what.join(", and ");
        Err(Failure::Failed(match self.path {
            Some(path) => format!("{what}; see {}", path.display()),
            None => format!("{what}; use --refused FILE to write them to a file"),
        }))
    }
}

fn failed(error: &io::Error) -> Failure {
    Failure::Failed(format!("cannot write refused rows: {error}"))
}
