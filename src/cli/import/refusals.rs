//! Refused rows: all of them, with their text unless it is too long, to a file; or the first few
//! reasons to standard error.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use serde_json::json;

use crate::cli::Failure;
use crate::telemetry::print_line;

/// Maximum number of reasons shown if there is no file for them.
const SHOWN: u64 = 10;

/// The refused rows of an import.
#[derive(Debug)]
pub(super) struct Refusals {
    path: Option<PathBuf>,
    /// Created with the first refused row.
    file: Option<BufWriter<File>>,
    count: u64,
}

impl Refusals {
    pub(super) fn new(path: Option<PathBuf>) -> Self {
        Self {
            path,
            file: None,
            count: 0,
        }
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
        let Some(path) = &self.path else {
            if self.count <= SHOWN {
                print_line(&format!("{file}:{line}: {reason}"));
            }
            return Ok(());
        };
        let row = json!({"file": file, "line": line, "reason": reason, "row": text});
        let to = match &mut self.file {
            Some(to) => to,
            none => none.insert(BufWriter::new(
                File::create(path).map_err(|error| failed(&error))?,
            )),
        };
        writeln!(to, "{row}").map_err(|error| failed(&error))
    }

    /// Finishes the file. Fails if any row was refused.
    pub(super) fn end(self) -> Result<(), Failure> {
        if let Some(mut file) = self.file {
            file.flush().map_err(|error| failed(&error))?;
        }
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
