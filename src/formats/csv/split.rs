//! Splits CSV into rows and cells.
//!
//! It is ours because it has to be strict: a quote that is never closed, or something behind a
//! closing one, makes a text of what was meant to be several cells, and libraries take that as it
//! comes.

/// Splits CSV into rows and cells, byte by byte: the one place that knows what quotes do.
///
/// Rows end with CRLF, LF or CR outside of quotes. A quote inside of a cell that does not begin
/// with one is a part of it.
#[derive(Debug)]
pub struct Splitter {
    state: State,
    /// The bytes of all cells of the row, one after the other.
    bytes: Vec<u8>,
    /// Where the cells end that are whole.
    ends: Vec<usize>,
    most: usize,
    fault: Option<&'static str>,
}

/// Where in a row the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// At the start of a row behind one that ended with CR: an LF still belongs to that.
    AfterCr,
    CellStart,
    Plain,
    Quoted,
    /// Behind a quote that ends the cell, unless another one follows.
    QuoteClosed,
}

impl Splitter {
    /// A splitter of rows that have at most so many cells.
    pub fn new(most: usize) -> Self {
        Self {
            state: State::CellStart,
            bytes: Vec::new(),
            ends: Vec::new(),
            most,
            fault: None,
        }
    }

    /// Sets how many cells the rows to come may have.
    pub fn limit(&mut self, most: usize) {
        self.most = most;
    }

    /// Whether the next byte is inside of quotes, where line ends are text.
    pub fn is_quoted(&self) -> bool {
        self.state == State::Quoted
    }

    /// Takes the next byte; whether it ends a row, which can then be taken.
    pub fn push(&mut self, byte: u8) -> bool {
        if (self.state, byte) == (State::AfterCr, b'\n') {
            self.state = State::CellStart;
            return false;
        }
        self.state = match (self.state, byte) {
            (State::Quoted, b'"') => State::QuoteClosed,
            (State::Quoted, _) => {
                self.add(byte);
                State::Quoted
            }
            (State::QuoteClosed, b'"') => {
                self.add(byte);
                State::Quoted
            }
            (State::AfterCr | State::CellStart, b'"') => State::Quoted,
            (_, b',') => {
                self.end_cell();
                State::CellStart
            }
            (_, b'\n') => State::CellStart,
            (_, b'\r') => State::AfterCr,
            (State::QuoteClosed, _) => {
                self.fail("has something behind a closing quote");
                State::Plain
            }
            (State::AfterCr | State::CellStart | State::Plain, _) => {
                self.add(byte);
                State::Plain
            }
        };
        matches!(byte, b'\n' | b'\r') && !self.is_quoted()
    }

    /// Gives the row up, whose rest is passed over without being kept.
    pub fn fail(&mut self, what: &'static str) {
        self.fault.get_or_insert(what);
        self.bytes.clear();
    }

    /// The cells of the row that has ended, or of what there is behind the last line end.
    ///
    /// # Errors
    /// What is wrong with it, behind `the row`.
    pub fn take(&mut self) -> Result<Vec<String>, &'static str> {
        if self.is_quoted() {
            self.fail("ends inside of quotes");
            self.state = State::CellStart;
        }
        self.end_cell();
        let (bytes, ends) = (
            std::mem::take(&mut self.bytes),
            std::mem::take(&mut self.ends),
        );
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let cells = starts.zip(&ends).map(|(start, end)| {
            let cell = std::str::from_utf8(&bytes[start..*end]);
            cell.map(str::to_owned).map_err(|_| "is not UTF-8")
        });
        cells.collect()
    }

    fn add(&mut self, byte: u8) {
        if self.fault.is_none() {
            self.bytes.push(byte);
        }
    }

    fn end_cell(&mut self) {
        if self.fault.is_none() {
            self.ends.push(self.bytes.len());
            if self.ends.len() > self.most {
                self.fail("has too many cells");
            }
        }
    }
}
