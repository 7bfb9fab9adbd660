//! Splits CSV into rows and cells.
//!
//! The `csv` crate accepts an unclosed quote, or text after a closing one, and merges cells. That
//! must be an error here.

use memchr::{memchr, memchr3};

/// Splits CSV into rows and cells. The only code that parses quotes.
///
/// Rows end with CRLF, LF or CR outside quotes. In a cell that does not begin with a quote, quotes
/// are literal.
#[derive(Debug)]
pub struct Splitter {
    state: State,
    /// The bytes of all cells of the row, concatenated.
    bytes: Vec<u8>,
    /// The end of each complete cell, as an offset into `bytes`.
    ends: Vec<usize>,
    most: usize,
    separator: u8,
    /// Whether the cell began with a quote.
    is_quoted: bool,
    fault: Option<&'static str>,
}

/// The position of the next byte within a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// At the start of a row. The previous row ended with CR, so an LF here belongs to it.
    AfterCr,
    CellStart,
    Plain,
    Quoted,
    /// After a quote that ends the cell, unless another quote follows.
    QuoteClosed,
}

impl Splitter {
    /// Creates a splitter for rows with at most `most` cells.
    pub fn new(most: usize) -> Self {
        Self {
            state: State::CellStart,
            // A report has about 100 bytes in 5 cells.
            bytes: Vec::with_capacity(256),
            ends: Vec::with_capacity(8),
            most,
            separator: b',',
            is_quoted: false,
            fault: None,
        }
    }

    /// Sets what separates cells, which is a comma unless set: an ASCII character other than a quote
    /// or a line end.
    #[must_use]
    pub fn separated_by(self, separator: u8) -> Self {
        Self { separator, ..self }
    }

    /// Sets the maximum number of cells for the following rows.
    pub fn limit(&mut self, most: usize) {
        self.most = most;
    }

    /// Consumes bytes up to and including the next line end, or all of them. It returns how many it
    /// consumed, and whether a row has ended and can be taken with [`Self::take`].
    pub fn push(&mut self, input: &[u8]) -> (usize, bool) {
        let mut rest = input;
        while let [byte, after @ ..] = rest {
            match (self.state, byte) {
                (State::AfterCr, b'\n') => {
                    self.state = State::CellStart;
                    rest = after;
                }
                (State::AfterCr | State::CellStart, b'"') => {
                    self.state = State::Quoted;
                    self.is_quoted = true;
                    rest = after;
                }
                (State::QuoteClosed, b'"') => {
                    self.add(b"\"");
                    self.state = State::Quoted;
                    rest = after;
                }
                (State::Quoted, _) => {
                    let quote = memchr(b'"', rest);
                    self.add(&rest[..quote.unwrap_or(rest.len())]);
                    rest = quote.map_or(&[], |at| &rest[at + 1..]);
                    if quote.is_some() {
                        self.state = State::QuoteClosed;
                    }
                }
                _ => {
                    let end = memchr3(self.separator, b'\r', b'\n', rest).unwrap_or(rest.len());
                    let (text, behind) = rest.split_at(end);
                    if !text.is_empty() {
                        if self.state == State::QuoteClosed {
                            self.fail("has text after a closing quote");
                        }
                        self.add(text);
                        self.state = State::Plain;
                    }
                    let [end, behind @ ..] = behind else {
                        break;
                    };
                    rest = behind;
                    self.state = match end {
                        b'\r' => State::AfterCr,
                        _ => State::CellStart,
                    };
                    if *end != self.separator {
                        return (input.len() - rest.len(), true);
                    }
                    self.end_cell();
                }
            }
        }
        (input.len(), false)
    }

    /// Marks the row as faulty. The rest of it is consumed but not kept.
    pub fn fail(&mut self, what: &'static str) {
        self.fault.get_or_insert(what);
        self.bytes.clear();
    }

    /// Returns the cells of the row that has ended, or of the text after the last line end.
    ///
    /// # Errors
    /// The row is faulty. The message is a predicate for a subject such as `the row`.
    pub fn take(&mut self) -> Result<Vec<String>, &'static str> {
        if self.state == State::Quoted {
            self.fail("has an unclosed quote");
            self.state = State::CellStart;
        }
        self.end_cell();
        let cells = match self.fault.take() {
            Some(fault) => Err(fault),
            None => self.cells().ok_or("is not UTF-8"),
        };
        self.bytes.clear();
        self.ends.clear();
        cells
    }

    /// Returns the cells, or `None` if one is not UTF-8.
    fn cells(&self) -> Option<Vec<String>> {
        let text = std::str::from_utf8(&self.bytes).ok()?;
        let mut cells = Vec::with_capacity(self.ends.len());
        let mut start = 0;
        for end in &self.ends {
            cells.push(text.get(start..*end)?.to_owned());
            start = *end;
        }
        Some(cells)
    }

    fn add(&mut self, bytes: &[u8]) {
        if self.fault.is_none() {
            self.bytes.extend_from_slice(bytes);
        }
    }

    fn end_cell(&mut self) {
        let start = self.ends.last().copied().unwrap_or_default();
        if !self.is_quoted && self.bytes.get(start) == Some(&b' ') {
            let cell = self.bytes[start..].trim_ascii_start();
            // Nobody can tell whether the quotes belong to the value.
            if cell.first() == Some(&b'"') {
                self.fail("has a blank before an opening quote");
            }
        }
        self.is_quoted = false;
        if self.fault.is_none() {
            self.ends.push(self.bytes.len());
            if self.ends.len() > self.most {
                self.fail("has too many cells");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Splits a text that arrives in parts of these lengths, repeated in turn.
    fn rows(text: &str, parts: &[usize]) -> Vec<Result<Vec<String>, &'static str>> {
        let (mut splitter, mut rows) = (Splitter::new(4), Vec::new());
        let mut rest = text.as_bytes();
        for length in parts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let part = &rest[..(*length).min(rest.len())];
            let (taken, has_ended) = splitter.push(part);
            rest = &rest[taken..];
            if has_ended {
                rows.push(splitter.take());
            }
        }
        rows.push(splitter.take());
        rows
    }

    proptest! {
        #[test]
        fn a_text_splits_in_the_same_way_however_it_comes(
            text in "[a,\"\r\né]{0,30}",
            parts in prop::collection::vec(1..5_usize, 1..5),
        ) {
            prop_assert_eq!(rows(&text, &parts), rows(&text, &[1]));
            prop_assert_eq!(rows(&text, &[text.len().max(1)]), rows(&text, &[1]));
        }

        #[test]
        fn cells_come_out_as_they_were_written(
            cells in prop::collection::vec("[a,\"\r\né]{0,6}", 1..5),
            end in prop::sample::select(vec!["\n", "\r", "\r\n"]),
        ) {
            let quoted: Vec<_> = cells
                .iter()
                .map(|cell| format!("\"{}\"", cell.replace('"', "\"\"")))
                .collect();
            let found = rows(&(quoted.join(",") + end), &[3]);
            prop_assert_eq!(&found[0], &Ok(cells));
        }
    }
}
