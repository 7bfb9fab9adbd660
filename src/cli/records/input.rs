//! The text of a file in any encoding, with counts of lines and bytes.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::rc::Rc;

use encoding_rs::{Encoding, UTF_8};
use encoding_rs_io::{DecodeReaderBytes, DecodeReaderBytesBuilder};
use memchr::memchr_iter;

/// A file that is decoded to UTF-8. Bytes of a file in UTF-8 that are not UTF-8 are kept.
pub(super) struct Input {
    text: BufReader<DecodeReaderBytes<Counted, Vec<u8>>>,
    /// The line of the next byte.
    pub(super) line: u64,
    bytes_read: Rc<Cell<u64>>,
}

impl Input {
    /// Opens a file and skips a byte order mark at its start, which overrides the encoding.
    pub(super) fn open(path: &Path, encoding: &'static Encoding) -> io::Result<Self> {
        let bytes_read = Rc::new(Cell::new(0));
        let file = Counted {
            file: File::open(path)?,
            bytes_read: Rc::clone(&bytes_read),
        };
        let decoded = DecodeReaderBytesBuilder::new()
            .encoding(Some(encoding).filter(|encoding| *encoding != UTF_8))
            .utf8_passthru(true)
            .strip_bom(true)
            .bom_override(true)
            .build(file);
        Ok(Self {
            text: BufReader::with_capacity(64 * 1024, decoded),
            line: 1,
            bytes_read,
        })
    }

    /// The number of bytes of the file that were read. Up to 64 KiB of their text are still buffered.
    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes_read.get()
    }

    /// Returns the buffered text; none at the end of the file.
    pub(super) fn buffered(&mut self) -> io::Result<&[u8]> {
        self.text.fill_buf()
    }

    /// Consumes buffered text.
    pub(super) fn consume(&mut self, count: usize) {
        let text = &self.text.buffer()[..count];
        self.line += memchr_iter(b'\n', text).count() as u64;
        self.text.consume(count);
    }
}

struct Counted {
    file: File,
    bytes_read: Rc<Cell<u64>>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.bytes_read.set(self.bytes_read.get() + count as u64);
        Ok(count)
    }
}
