//! Reads the rows of a file one at a time: CSV with line breaks inside quotes, JSON, or a sender's
//! documents. No more than one row is held in memory, whatever the file contains.

mod args;
mod input;
mod json;
mod layout;
mod reader;
mod row;

use std::io;
use std::path::Path;
use std::rc::Rc;

use encoding_rs::UTF_8;
use memchr::{memchr, memchr_iter};
use serde_json::value::RawValue as RawJson;

pub(super) use self::args::{FileArgs, FileFormat};
use self::input::Input;
use self::json::Values;
use self::layout::{Layout, Wanted};
pub(super) use self::reader::{FileReader, Mapping, trimmed};
pub(super) use self::row::{Named, Row, Unreadable};
use crate::formats::csv::{MAX_COLUMNS, Splitter, unguarded};

/// Maximum length of a row of CSV, in bytes: 1 MiB. Rows that this service exports have about 600.
const MAX_ROW: usize = 1024 * 1024;

/// Maximum length of a document, which may hold many records, in bytes: 16 MiB.
const MAX_DOCUMENT: usize = 16 * 1024 * 1024;

/// The rows of one file.
pub(super) struct FileRows {
    input: Input,
    split: Split,
    layout: Layout,
    /// The column names of a CSV file that has a header.
    header: Option<Rc<[Rc<str>]>>,
    /// The line of the header.
    header_line: u64,
    /// The rows that repeat the header.
    repeated_headers: u64,
}

/// What ends a row.
enum Split {
    Csv(Splitter),
    /// A line end: each line is a JSON value.
    Lines,
    Values(Values),
    /// Only the end of the file.
    File,
}

/// The bytes of a row without its line ending; none if there are too many.
struct RawRow {
    line: u64,
    bytes: Option<Vec<u8>>,
}

impl FileRows {
    /// Finds out how a file is written, opens it and reads its header, if it has one.
    ///
    /// # Errors
    /// The file cannot be read, or its header cannot.
    pub(super) fn open(
        path: &Path,
        format: FileFormat,
        args: &FileArgs,
        wanted: &Wanted,
    ) -> io::Result<Self> {
        Self::open_as(path, format, Layout::of(path, format, args, wanted)?)
    }

    fn open_as(path: &Path, format: FileFormat, layout: Layout) -> io::Result<Self> {
        let mut input = Input::open(path, layout.encoding)?;
        let split = match format {
            FileFormat::Csv => {
                Split::Csv(Splitter::new(MAX_COLUMNS).separated_by(layout.separator))
            }
            FileFormat::Json => json_split(path, input.buffered()?),
            FileFormat::Xml | FileFormat::Form => Split::File,
        };
        let mut rows = Self {
            input,
            split,
            header: None,
            header_line: 0,
            repeated_headers: 0,
            layout,
        };
        let failed =
            |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("its header {what}"));
        for row in 0..rows.layout.skipped {
            let read = rows.next_bytes()?.ok_or_else(|| failed("is missing"))?;
            if let Split::Csv(splitter) = &mut rows.split {
                let cells = splitter.take();
                if rows.layout.has_header && row + 1 == rows.layout.skipped {
                    let cells = cells.map_err(failed)?;
                    // The last one may be empty: rows may have more separators than the header.
                    splitter.limit(cells.len() + 1);
                    rows.header = Some(cells.iter().map(|name| name.trim().into()).collect());
                    rows.header_line = read.line;
                }
            }
        }
        Ok(rows)
    }

    /// Opens the file once more, to count its rows.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn count(path: &Path, format: FileFormat, layout: Layout) -> io::Result<u64> {
        let mut rows = Self::open_as(path, format, layout)?;
        let mut count = 0;
        while rows.next()?.is_some() {
            count += 1;
        }
        Ok(count)
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(super) fn header(&self) -> Option<&[Rc<str>]> {
        self.header.as_deref()
    }

    pub(super) fn header_line(&self) -> u64 {
        self.header_line
    }

    /// The number of rows so far that repeat the header, which are left out.
    pub(super) fn repeated_headers(&self) -> u64 {
        self.repeated_headers
    }

    /// Returns whether rows may have a member of that name. In CSV, only the header's names may.
    pub(super) fn may_have(&self, name: &str) -> bool {
        let is_it = |column: &Rc<str>| column.eq_ignore_ascii_case(name);
        let is_csv = matches!(self.split, Split::Csv(_));
        !is_csv || self.header().is_none_or(|header| header.iter().any(is_it))
    }

    /// Returns the number of bytes of the file that have been read.
    pub(super) fn bytes_read(&self) -> u64 {
        self.input.bytes_read()
    }

    /// Returns the next row; `None` at the end. Skips blank rows, and those that repeat the header.
    pub(super) fn next(&mut self) -> io::Result<Option<Result<Row, Unreadable>>> {
        loop {
            let Some(RawRow { line, bytes }) = self.next_bytes()? else {
                return Ok(None);
            };
            let cells = match &mut self.split {
                Split::Csv(splitter) => Some(splitter.take()),
                _ => None,
            };
            let Some(bytes) = bytes else {
                let most = self.most();
                return Ok(Some(Err(Unreadable {
                    line,
                    text: None,
                    reason: format!("the row is longer than {most} bytes"),
                })));
            };
            if bytes.trim_ascii().is_empty() {
                continue;
            }
            let text = match String::from_utf8(bytes) {
                Ok(text) if !self.is_broken(&text) => text,
                other => {
                    let text = match other {
                        Ok(text) => text,
                        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
                    };
                    let name = self.layout.encoding.name();
                    return Ok(Some(Err(Unreadable {
                        line,
                        text: Some(text),
                        reason: format!("the row is not {name}; --encoding names another one"),
                    })));
                }
            };
            let cells = match cells.map(|cells| self.cells(cells)).transpose() {
                Ok(cells) => cells,
                Err(what) => {
                    return Ok(Some(Err(Unreadable {
                        line,
                        text: Some(text),
                        reason: format!("the row {what}"),
                    })));
                }
            };
            if let (Some(cells), Some(header)) = (&cells, &self.header) {
                if cells.iter().all(|cell| cell.trim().is_empty()) {
                    continue;
                }
                if cells.len() == header.len()
                    && cells
                        .iter()
                        .zip(&**header)
                        .all(|(cell, name)| cell.trim() == &**name)
                {
                    self.repeated_headers += 1;
                    continue;
                }
            }
            return Ok(Some(Ok(Row {
                line,
                text,
                cells,
                header: self.header.clone(),
            })));
        }
    }

    /// Whether a text was not in the encoding of the file. In UTF-8, this is the character itself.
    fn is_broken(&self, text: &str) -> bool {
        self.layout.encoding != UTF_8 && text.contains(char::REPLACEMENT_CHARACTER)
    }

    /// Returns the values of cells.
    fn cells(&self, cells: Result<Vec<String>, &'static str>) -> Result<Vec<String>, &'static str> {
        let mut cells = cells?;
        if let Some(header) = &self.header
            && cells.len() > header.len()
            && cells.pop().is_some_and(|extra| !extra.trim().is_empty())
        {
            return Err("has too many cells");
        }
        for cell in &mut cells {
            if unguarded(cell).len() < cell.len() {
                *cell = unguarded(cell).to_owned();
            }
        }
        Ok(cells)
    }

    /// The maximum length of a row, in bytes.
    fn most(&self) -> usize {
        match self.split {
            Split::Csv(_) => MAX_ROW,
            Split::Lines | Split::Values(_) | Split::File => MAX_DOCUMENT,
        }
    }

    /// Returns the next row. Passes the bytes of a CSV row through the splitter as well.
    fn next_bytes(&mut self) -> io::Result<Option<RawRow>> {
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
fn json_split(path: &Path, start: &[u8]) -> Split {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The line of a row, with its member `a` or what is wrong with the row.
    type Found = Result<(u64, Option<String>), (u64, String)>;

    fn rows(text: &[u8], format: FileFormat) -> Vec<Found> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("rows");
        std::fs::write(&path, text).expect("a file");
        let mut rows =
            FileRows::open(&path, format, &FileArgs::default(), &Wanted::default()).expect("rows");
        let mut found = Vec::new();
        while let Some(row) = rows.next().expect("a file that can be read") {
            found.push(match row {
                Ok(row) => match row.named() {
                    Ok(named) => {
                        let text = named.text("a").expect("a text");
                        Ok((row.line, text.map(str::to_owned)))
                    }
                    Err(reason) => Err((row.line, reason)),
                },
                Err(error) => Err((error.line, error.reason)),
            });
        }
        assert_eq!(rows.bytes_read(), text.len() as u64);
        found
    }

    #[test]
    fn a_row_of_csv_ends_outside_of_quotes() {
        let a = |line, text: &str| Ok((line, Some(text.to_owned())));
        let text = "\u{feff}A,b\r\n1,x\r\"2\"\"\n,\",x\n\r\n3\"\r\n \"4\",";
        let expected = [a(2, "1"), a(3, "2\"\n,"), a(6, "3\""), a(7, " \"4\"")];
        assert_eq!(rows(text.as_bytes(), FileFormat::Csv), expected);
    }

    #[test]
    fn an_unreadable_row_does_not_affect_the_next_row() {
        let long = "x".repeat(MAX_ROW + 1);
        let text = format!("a,b\n\"1\"x,2\n1,2,3\n{long}\n4\n\"5\n6\n");
        let found = rows(text.as_bytes(), FileFormat::Csv);
        let reason = |index: usize| match &found[index] {
            Err((line, reason)) => format!("{line} {reason}"),
            Ok(row) => format!("{row:?}"),
        };
        assert_eq!(reason(0), "2 the row has text after a closing quote");
        assert_eq!(reason(1), "3 the row has too many cells");
        assert_eq!(reason(2), "4 the row is longer than 1048576 bytes");
        assert_eq!(found[3], Ok((5, Some("4".to_owned()))));
        assert_eq!(reason(4), "6 the row has an unclosed quote");
        assert_eq!(found.len(), 5);
        let found = rows(
            b"{\"A\":1.50}\n\n{\"a\":\"\xff\"}\n[]\n{\"a\":null}",
            FileFormat::Json,
        );
        assert_eq!(found[0], Ok((1, Some("1.50".to_owned()))));
        assert_eq!(
            found[1],
            Err((
                3,
                "the row is not UTF-8; --encoding names another one".to_owned()
            ))
        );
        assert!(matches!(found[2], Err((4, _))));
        assert_eq!(found[3], Ok((5, None)));
    }
}
