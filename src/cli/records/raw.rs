//! The bytes of a file's rows: where each one begins and ends.

use std::io;
use std::path::Path;

use memchr::{memchr, memchr_iter};
use serde_json::value::RawValue as RawJson;

use super::input::Input;
use super::json::Values;
use crate::formats::csv::Splitter;

/// Maximum length of a row of CSV, in bytes: 1 MiB. Rows that this service exports have about 600.
pub(super) const MAX_ROW: usize = 1024 * 1024;

/// Maximum length of a document, which may hold many records, in bytes: 16 MiB.
const MAX_DOCUMENT: usize = 16 * 1024 * 1024;

/// The rows of a file, before they are decoded.
pub(super) struct RawRows {
    pub(super) input: Input,
    pub(super) split: Split,
}

/// What ends a row.
pub(super) enum Split {
    Csv(Splitter),
    /// A line end: each line is a JSON value.
    Lines,
    Values(Values),
    /// Only the end of the file.
    File,
}

/// The bytes of a row without its line ending; none if there are too many.
pub(super) struct RawRow {
    pub(super) line: u64,
    pub(super) bytes: Option<Vec<u8>>,
}

impl RawRows {
    /// The maximum length of a row, in bytes.
    pub(super) fn most(&self) -> usize {
        match self.split {
            Split::Csv(_) => MAX_ROW,
            Split::Lines | Split::Values(_) | Split::File => MAX_DOCUMENT,
        }
    }

    /// Returns the next row. Passes the bytes of a CSV row through the splitter as well.
    pub(super) fn next(&mut self) -> io::Result<Option<RawRow>> {
        if self.input.buffered()?.is_empty() {
            return Ok(None);
        }
        let most = self.most();
        let mut row = Vec::new();
        let (mut line, mut is_long) = (self.input.line, false);
        loop {
            let here = self.input.line;
            let buffered = self.input.buffered()?;
            let (text, taken, has_ended) = match &mut self.split {
                Split::Csv(splitter) => {
                    let (taken, has_ended) = splitter.push(buffered);
                    (0..taken - usize::from(has_ended), taken, has_ended)
                }
                Split::Lines => match memchr(b'\n', buffered) {
                    Some(end) => (0..end, end + 1, true),
                    None => (0..buffered.len(), buffered.len(), false),
                },
                Split::Values(values) => values.push(buffered),
                Split::File => (0..buffered.len(), buffered.len(), false),
            };
            if row.is_empty() && !is_long {
                let before = &buffered[..text.start];
                line = here + memchr_iter(b'\n', before).count() as u64;
            }
            is_long |= row.len() + text.len() > most;
            let is_cr =
                matches!(self.split, Split::Csv(_)) && has_ended && buffered[taken - 1] == b'\r';
            if is_long {
                row.clear();
                if let Split::Csv(splitter) = &mut self.split {
                    splitter.fail("is too long");
                }
            } else {
                row.extend_from_slice(&buffered[text]);
            }
            let is_end = buffered.is_empty();
            self.input.consume(taken);
            if is_cr {
                self.end_cr()?;
            }
            if has_ended || is_end {
                return Ok(Some(RawRow {
                    line,
                    bytes: (!is_long).then_some(row),
                }));
            }
        }
    }

    /// Completes a line ending after CR. An LF that follows belongs to it; otherwise the CR alone
    /// ends the line.
    fn end_cr(&mut self) -> io::Result<()> {
        if self.input.buffered()?.first() == Some(&b'\n') {
            if let Split::Csv(splitter) = &mut self.split {
                splitter.push(b"\n");
            }
            self.input.consume(1);
        } else {
            self.input.line += 1;
        }
        Ok(())
    }
}

/// Returns what ends a row of JSON, by the start of the file. A file whose name says that it has JSON
/// lines is read so, because one line that is not JSON must not affect the others.
pub(super) fn json_split(path: &Path, start: &[u8]) -> Split {
    let extension = path.extension().and_then(|extension| extension.to_str());
    let is_lines = matches!(extension, Some("ndjson" | "jsonl"));
    let start = start.trim_ascii_start();
    if start.starts_with(b"[") && !is_lines {
        return Split::Values(Values::new(true));
    }
    let first = start
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    let is_incomplete =
        |first: &[u8]| serde_json::from_slice::<&RawJson>(first).is_err_and(|error| error.is_eof());
    if is_lines || first.len() == start.len() || !is_incomplete(first) {
        Split::Lines
    } else {
        Split::Values(Values::new(false))
    }
}
