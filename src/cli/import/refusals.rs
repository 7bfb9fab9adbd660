//! Refused rows: all of them, with their text unless it is too long, to a file; or the first few
//! reasons to standard error.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use serde_json::json;

use crate::cli::Failure;
use crate::cli::atomic_file::AtomicFile;
use crate::telemetry::print_line;

/// Maximum number of reasons shown if there is no file for them.
const SHOWN: u64 = 10;

/// The refused rows of an import.
#[derive(Debug)]
pub(super) struct Refusals {
    file: Option<RefusalsFile>,
    count: u64,
}

#[derive(Debug)]
struct RefusalsFile {
    path: PathBuf,
    partial: AtomicFile,
    writer: BufWriter<File>,
}

impl Refusals {
    /// Creates the file, if there is to be one.
    pub(super) fn new(path: Option<PathBuf>) -> Result<Self, Failure> {
        let create = |path: PathBuf| {
            let partial = AtomicFile::beside(&path)?;
            let file = partial.file().try_clone().map_err(|error| failed(&error))?;
            Ok::<_, Failure>(RefusalsFile {
                path,
                partial,
                writer: BufWriter::new(file),
            })
        };
        let file = path.map(create).transpose()?;
        Ok(Self { file, count: 0 })
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Records a refused row; `text` is `None` if it was too long.
    pub(super) fn add(
        &mut self,
        file: &str,
        line: u64,
        reason: &str,
        text: Option<&str>,
    ) -> Result<(), Failure> {
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
            count: self.count,
            path,
        })
    }
}

/// How many rows were refused, and the file that has them.
#[derive(Debug)]
pub(super) struct Refused {
    count: u64,
    path: Option<PathBuf>,
}

impl Refused {
    /// Fails if any row was refused.
    pub(super) fn into_result(self) -> Result<(), Failure> {
        match (self.count, self.path) {
            (0, _) => Ok(()),
            (count, Some(path)) => Err(Failure::Failed(format!(
                "{count} row(s) were refused; see {}",
                path.display()
            ))),
            (count, None) => Err(Failure::Failed(format!(
                "{count} row(s) were refused; use --refused FILE to write them to a file"
            ))),
        }
    }
}

fn failed(error: &io::Error) -> Failure {
    Failure::Failed(format!("cannot write refused rows: {error}"))
}
