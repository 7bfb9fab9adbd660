//! Reads the rows of a file one at a time: CSV with line breaks inside quotes, JSON, or a sender's
//! documents. No more than one row is held in memory, whatever the file contains.

mod args;
mod input;
mod json;
mod layout;
mod raw;
mod reader;
mod row;

use std::io;
use std::path::Path;
use std::rc::Rc;

use encoding_rs::UTF_8;

pub(super) use self::args::{FileArgs, FileFormat};
use self::input::Input;
use self::layout::{Layout, Wanted};
use self::raw::{RawRow, RawRows, Split, json_split};
pub(super) use self::reader::{FileReader, Mapping, trimmed};
pub(super) use self::row::{Named, Row, Unreadable};
use crate::formats::csv::{MAX_COLUMNS, Splitter, unguard};
use crate::formats::lossless::Decoder;
use crate::telemetry::print_line;

/// The rows of one file.
pub(super) struct FileRows {
    raw: RawRows,
    layout: Layout,
    /// The column names of a CSV file that has a header.
    header: Option<Rc<[Rc<str>]>>,
    /// The line of the header.
    header_line: u64,
    /// The columns that the command line names.
    named: Vec<usize>,
    /// The rows that repeat the header.
    repeated_headers: u64,
    /// The rows with a line break in a cell.
    multi_line: u64,
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
        let mut rows = Self::open_as(path, format, Layout::of(path, format, args, wanted)?)?;
        let header = rows
            .header
            .iter()
            .flat_map(|header| header.iter())
            .enumerate();
        let is_named = |name: &Rc<str>| {
            wanted
                .named
                .iter()
                .any(|one| one.eq_ignore_ascii_case(name))
        };
        rows.named = header
            .filter(|(_, name)| is_named(name))
            .map(|(at, _)| at)
            .collect();
        Ok(rows)
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
            raw: RawRows { input, split },
            header: None,
            header_line: 0,
            named: Vec::new(),
            repeated_headers: 0,
            multi_line: 0,
            layout,
        };
        let failed =
            |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("its header {what}"));
        for row in 0..rows.layout.skipped {
            let read = rows.raw.next()?.ok_or_else(|| failed("is missing"))?;
            if let Split::Csv(splitter) = &mut rows.raw.split {
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
    pub(super) fn count(&self, path: &Path, format: FileFormat) -> io::Result<u64> {
        let mut rows = Self::open_as(path, format, self.layout.clone())?;
        rows.named.clone_from(&self.named);
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

    /// Prints what the sender of the file may want to know, once all rows were read.
    pub(super) fn print_notes(&self) {
        if self.multi_line > 0 {
            print_line(&format!(
                "{} row(s) have a line break in a cell: look whether a quote that is not closed has swallowed others",
                self.multi_line
            ));
        }
    }

    /// Returns whether rows may have a member of that name. In CSV, only the header's names may.
    pub(super) fn may_have(&self, name: &str) -> bool {
        let is_it = |column: &Rc<str>| column.eq_ignore_ascii_case(name);
        let is_csv = matches!(self.raw.split, Split::Csv(_));
        !is_csv || self.header().is_none_or(|header| header.iter().any(is_it))
    }

    /// Returns whether the header has a column of that name, in any letter case.
    pub(super) fn has(&self, name: &str) -> bool {
        let mut names = self.header.iter().flat_map(|header| header.iter());
        names.any(|column| column.eq_ignore_ascii_case(name))
    }

    /// Returns the number of bytes of the file that have been read.
    pub(super) fn bytes_read(&self) -> u64 {
        self.raw.input.bytes_read()
    }

    /// Returns the next row; `None` at the end. Skips blank rows, and those that repeat the header.
    pub(super) fn next(&mut self) -> io::Result<Option<Result<Row, Unreadable>>> {
        loop {
            let Some(RawRow { line, bytes }) = self.raw.next()? else {
                return Ok(self.unclosed());
            };
            let cells = match &mut self.raw.split {
                Split::Csv(splitter) => Some(splitter.take()),
                _ => None,
            };
            let unreadable = |text: Option<String>, reason: String| {
                Ok(Some(Err(Unreadable { line, text, reason })))
            };
            let Some(bytes) = bytes else {
                let most = self.raw.most();
                return unreadable(None, format!("the row is longer than {most} bytes"));
            };
            if bytes.trim_ascii().is_empty() {
                continue;
            }
            let mut decoder = Decoder::default();
            let text = match String::from_utf8(bytes) {
                Ok(text) if !self.is_broken(&text) => decoder.decode_owned(text.into_bytes()),
                Err(error) if self.layout.is_lossless => decoder.decode_owned(error.into_bytes()),
                other => {
                    let text = other.unwrap_or_else(|error| {
                        String::from_utf8_lossy(error.as_bytes()).into_owned()
                    });
                    let name = self.layout.encoding.name();
                    let reason = format!("the row is not {name}; --encoding names another one");
                    return unreadable(Some(text), reason);
                }
            };
            // Files that were put together may have a byte order mark on any line.
            let text = match text.strip_prefix('\u{feff}') {
                Some(rest) => rest.to_owned(),
                None => text,
            };
            let cells = match cells {
                Some(_) if decoder.has_foreign() => Some(self.cells_of(&text)),
                cells => cells,
            };
            let cells = match cells.map(|cells| self.cells(cells)).transpose() {
                Ok(cells) => cells,
                Err(what) => return unreadable(Some(text), format!("the row {what}")),
            };
            if let Some(cells) = &cells {
                if cells.iter().all(|cell| cell.trim().is_empty()) {
                    continue;
                }
                if self.repeats_header(cells) {
                    self.repeated_headers += 1;
                    continue;
                }
                self.multi_line += u64::from(text.contains(['\n', '\r']));
            }
            return Ok(Some(Ok(Row {
                line,
                text,
                cells,
                header: self.header.clone(),
            })));
        }
    }

    /// Returns what is wrong at the end of a file, once.
    fn unclosed(&mut self) -> Option<Result<Row, Unreadable>> {
        let is_open = matches!(&self.raw.split, Split::Values(values) if values.is_open());
        is_open.then(|| {
            self.raw.split = Split::File;
            Err(Unreadable {
                line: self.raw.input.line,
                text: None,
                reason: "the JSON array is not closed: the file may have lost its end".to_owned(),
            })
        })
    }

    /// Returns the cells of a row whose text is not the bytes of the file.
    fn cells_of(&self, text: &str) -> Result<Vec<String>, &'static str> {
        let mut splitter = Splitter::new(MAX_COLUMNS).separated_by(self.layout.separator);
        splitter.push(text.as_bytes());
        splitter.take()
    }

    /// Whether a row has the names of the columns, as in files that were put together: all of them,
    /// or those that the command line names. One name is not enough, because a caller may have chosen
    /// it as the id of a call.
    fn repeats_header(&self, cells: &[String]) -> bool {
        let Some(header) = &self.header else {
            return false;
        };
        let is_name = |at: usize| {
            let cell = cells.get(at).map_or("", |cell| cell.trim());
            header
                .get(at)
                .is_some_and(|name| name.eq_ignore_ascii_case(cell))
        };
        let has_named = self.named.len() > 1 && self.named.iter().all(|at| is_name(*at));
        has_named || (0..header.len()).all(is_name)
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
        if let Some(first) = cells.first_mut()
            && let Some(rest) = first.strip_prefix('\u{feff}')
        {
            *first = rest.to_owned();
        }
        Ok(cells.into_iter().map(unguard).collect())
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
                    Ok(named) => match named.text("a") {
                        Ok(text) => Ok((row.line, text.map(str::to_owned))),
                        Err(reason) => Err((row.line, reason)),
                    },
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
        let a = |line, text: &str| Found::Ok((line, Some(text.to_owned())));
        let text = "\u{feff}A,b\r\n1,x\r\"2\"\"\n,\",x\n\r\n3\"\r\n \"4\",";
        let expected = [
            a(2, "1"),
            a(3, "2\"\n,"),
            a(6, "3\""),
            Err((7, "the row has a blank before an opening quote".to_owned())),
        ];
        assert_eq!(rows(text.as_bytes(), FileFormat::Csv), expected);
    }

    #[test]
    fn an_unreadable_row_does_not_affect_the_next_row() {
        let long = "x".repeat(raw::MAX_ROW + 1);
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
        assert_eq!(found[1], Err((3, "a must be a string".to_owned())));
        assert!(matches!(found[2], Err((4, _))));
        assert_eq!(found[3], Ok((5, None)));
    }
}
