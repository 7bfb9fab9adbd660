//! Reads the rows of a file one at a time: JSON lines, or CSV with a header and with line breaks
//! inside quotes. No more than one row is held in memory, whatever the file contains.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::iter::repeat;
use std::path::Path;
use std::rc::Rc;

use memchr::{memchr, memchr_iter};

use super::arguments::RowFormat;
use crate::billable::RawValue;
use crate::formats::csv::{MAX_COLUMNS, Splitter};
use crate::formats::json::members_of;

/// Maximum length of a row, in bytes: 1 MiB. Rows that this service exports have about 600.
const MAX_ROW: usize = 1024 * 1024;

/// The byte order mark, which may start a UTF-8 file.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// The rows of one file.
#[derive(Debug)]
pub(super) struct FileRows {
    input: Input,
    format: RowFormat,
    splitter: Splitter,
    /// The column names of a CSV file.
    header: Rc<[Rc<str>]>,
}

/// Members or cells by their names, in the order of the row.
type NamedValues = Vec<(Rc<str>, Option<RawValue>)>;

/// A row: its members or cells by their names.
#[derive(Debug)]
pub(super) struct Row {
    /// The line on which it begins, counted from 1.
    pub(super) line: u64,
    /// The row as it is in the file.
    pub(super) text: String,
    members: NamedValues,
}

/// A row that cannot be read.
#[derive(Debug)]
pub(super) struct Unreadable {
    /// The line on which it begins, counted from 1.
    pub(super) line: u64,
    /// The row as it is in the file, unless it is too long.
    pub(super) text: Option<String>,
    /// What is wrong with it.
    pub(super) reason: String,
}

impl FileRows {
    /// Opens a file and, if it is CSV, reads its header.
    pub(super) fn open(path: &Path, format: RowFormat) -> io::Result<Self> {
        let mut rows = Self {
            input: Input::open(path)?,
            format,
            splitter: Splitter::new(MAX_COLUMNS),
            header: Rc::new([]),
        };
        if format == RowFormat::Csv {
            let failed = |what: &str| {
                io::Error::new(io::ErrorKind::InvalidData, format!("its header {what}"))
            };
            rows.next_bytes()?.ok_or_else(|| failed("is missing"))?;
            let cells = rows.splitter.take().map_err(failed)?;
            rows.header = cells.iter().map(|name| name.trim().into()).collect();
            rows.splitter.limit(rows.header.len());
        }
        Ok(rows)
    }

    /// Returns whether rows may have a member of that name. In CSV, only the header's names may.
    pub(super) fn may_have(&self, name: &str) -> bool {
        let is_it = |column: &Rc<str>| column.eq_ignore_ascii_case(name);
        self.format == RowFormat::Ndjson || self.header.iter().any(is_it)
    }

    /// Returns the number of bytes of the file that have been read.
    pub(super) fn bytes_read(&self) -> u64 {
        self.input.bytes_read
    }

    /// Returns the next row; `None` at the end. Skips blank lines.
    pub(super) fn next(&mut self) -> io::Result<Option<Result<Row, Unreadable>>> {
        loop {
            let line = self.input.line;
            let Some(bytes) = self.next_bytes()? else {
                return Ok(None);
            };
            let cells = match self.format {
                RowFormat::Csv => self.splitter.take(),
                RowFormat::Ndjson => Ok(Vec::new()),
            };
            let Some(bytes) = bytes else {
                return Ok(Some(Err(Unreadable {
                    line,
                    text: None,
                    reason: format!("the row is longer than {MAX_ROW} bytes"),
                })));
            };
            if bytes.trim_ascii().is_empty() {
                continue;
            }
            let text = match String::from_utf8(bytes) {
                Ok(text) => text,
                Err(error) => {
                    return Ok(Some(Err(Unreadable {
                        line,
                        text: Some(String::from_utf8_lossy(error.as_bytes()).into_owned()),
                        reason: "the row is not UTF-8".to_owned(),
                    })));
                }
            };
            return Ok(Some(match self.members(&text, cells) {
                Ok(members) => Ok(Row {
                    line,
                    text,
                    members,
                }),
                Err(reason) => Err(Unreadable {
                    line,
                    text: Some(text),
                    reason,
                }),
            }));
        }
    }

    /// Returns the bytes of the next row without its line ending; `Some(None)` if there are too
    /// many. Passes the bytes of a CSV row through the splitter as well.
    fn next_bytes(&mut self) -> io::Result<Option<Option<Vec<u8>>>> {
        if self.input.buffered()?.is_empty() {
            return Ok(None);
        }
        let mut row = Vec::new();
        let mut is_long = false;
        loop {
            let buffered = self.input.buffered()?;
            let (taken, has_ended) = match self.format {
                RowFormat::Csv => self.splitter.push(buffered),
                RowFormat::Ndjson => match memchr(b'\n', buffered) {
                    Some(end) => (end + 1, true),
                    None => (buffered.len(), false),
                },
            };
            let text = &buffered[..taken - usize::from(has_ended)];
            is_long |= row.len() + text.len() > MAX_ROW;
            if is_long {
                row.clear();
                self.splitter.fail("is too long");
            } else {
                row.extend_from_slice(text);
            }
            let is_cr = has_ended && buffered[taken - 1] == b'\r';
            self.input.consume(taken);
            if is_cr {
                self.end_cr()?;
            }
            if has_ended || taken == 0 {
                return Ok(Some((!is_long).then_some(row)));
            }
        }
    }

    /// Completes a line ending after CR. An LF that follows belongs to it; otherwise the CR alone
    /// ends the line.
    fn end_cr(&mut self) -> io::Result<()> {
        if self.input.buffered()?.first() == Some(&b'\n') {
            self.splitter.push(b"\n");
            self.input.consume(1);
        } else {
            self.input.line += 1;
        }
        Ok(())
    }

    fn members(
        &self,
        text: &str,
        cells: Result<Vec<String>, &'static str>,
    ) -> Result<NamedValues, String> {
        if self.format == RowFormat::Ndjson {
            let members = members_of(text)
                .map_err(|error| error.to_string())?
                .into_iter();
            return Ok(members.map(|(name, value)| (name.into(), value)).collect());
        }
        let cells = cells.map_err(|what| format!("the row {what}"))?;
        let given = |cell: String| (!cell.is_empty()).then_some(RawValue::Text(cell));
        // Cells that are missing at the end of the row have no value.
        let cells = cells.into_iter().map(given).chain(repeat(None));
        Ok(self.header.iter().cloned().zip(cells).collect())
    }
}

impl Row {
    /// Returns whether there is a member of that name, in any letter case, with or without a value.
    pub(super) fn has(&self, name: &str) -> bool {
        let mut names = self.members.iter().map(|(known, _)| known);
        names.any(|known| known.eq_ignore_ascii_case(name))
    }

    /// Returns the value of the member of that name, in any letter case. A name that occurs twice
    /// is an error, because either member could be meant.
    pub(super) fn get(&self, name: &str) -> Result<Option<&RawValue>, String> {
        let mut found = self
            .members
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name));
        match (found.next(), found.next()) {
            (Some(_), Some(_)) => Err(format!("the row has {name} twice")),
            (Some((_, value)), None) => Ok(value.as_ref()),
            (None, _) => Ok(None),
        }
    }

    /// Like [`Self::get`], for a value that must be a string. A blank string counts as no value.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, String> {
        match self.get(name)? {
            Some(RawValue::Text(text)) => Ok(Some(&**text).filter(|text| !text.trim().is_empty())),
            Some(RawValue::Structure | RawValue::Bytes(_)) => {
                Err(format!("{name} must be a string"))
            }
            None => Ok(None),
        }
    }
}

/// The bytes of a file, with counts of lines and bytes.
#[derive(Debug)]
struct Input {
    file: BufReader<File>,
    /// The line of the next byte.
    line: u64,
    bytes_read: u64,
}

impl Input {
    /// Opens a file and skips a byte order mark at its start.
    fn open(path: &Path) -> io::Result<Self> {
        let mut file = BufReader::with_capacity(64 * 1024, File::open(path)?);
        let mark = file.fill_buf()?.starts_with(BYTE_ORDER_MARK);
        let mark = if mark { BYTE_ORDER_MARK.len() } else { 0 };
        file.consume(mark);
        Ok(Self {
            file,
            line: 1,
            bytes_read: mark as u64,
        })
    }

    /// Returns the buffered bytes; none at the end of the file.
    fn buffered(&mut self) -> io::Result<&[u8]> {
        self.file.fill_buf()
    }

    /// Consumes buffered bytes.
    fn consume(&mut self, count: usize) {
        let bytes = &self.file.buffer()[..count];
        self.line += memchr_iter(b'\n', bytes).count() as u64;
        self.bytes_read += count as u64;
        self.file.consume(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The line of a row, with its member `a` or what is wrong with the row.
    type Found = Result<(u64, Option<String>), (u64, String)>;

    fn rows(text: &[u8], format: RowFormat) -> Vec<Found> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("rows");
        std::fs::write(&path, text).expect("a file");
        let mut rows = FileRows::open(&path, format).expect("rows");
        let mut found = Vec::new();
        while let Some(row) = rows.next().expect("a file that can be read") {
            found.push(match row {
                Ok(row) => Ok((row.line, row.text("a").expect("a text").map(str::to_owned))),
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
        assert_eq!(rows(text.as_bytes(), RowFormat::Csv), expected);
    }

    #[test]
    fn an_unreadable_row_does_not_affect_the_next_row() {
        let long = "x".repeat(MAX_ROW + 1);
        let text = format!("a,b\n\"1\"x,2\n1,2,3\n{long}\n4\n\"5\n6\n");
        let found = rows(text.as_bytes(), RowFormat::Csv);
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
            RowFormat::Ndjson,
        );
        assert_eq!(found[0], Ok((1, Some("1.50".to_owned()))));
        assert_eq!(found[1], Err((3, "the row is not UTF-8".to_owned())));
        assert!(matches!(found[2], Err((4, _))));
        assert_eq!(found[3], Ok((5, None)));
    }
}
