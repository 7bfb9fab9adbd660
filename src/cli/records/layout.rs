//! Finds out how a file is written: its encoding, and what separates the cells and where the header
//! is in CSV. What the command line says is not looked for.

use std::cmp::Reverse;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

use super::input::Input;
use super::{FileArgs, FileFormat};
use crate::formats::csv::{MAX_COLUMNS, Splitter};

/// The separators that are looked for. The first one counts if several fit.
const SEPARATORS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// The number of rows in which the header is looked for.
const ROWS: usize = 30;

/// The number of bytes that these may have.
const SAMPLE: usize = 256 * 1024;

/// How a file is written.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Layout {
    pub(in crate::cli) encoding: &'static Encoding,
    pub(in crate::cli) separator: u8,
    /// The number of rows before the first one that is read: the header, and what is above it.
    pub(super) skipped: usize,
    pub(super) has_header: bool,
    /// The number of rows above the header that are not blank.
    pub(super) rows_above: usize,
    /// Whether bytes that are not UTF-8 are kept, because they are in JSON or a sender's records: only
    /// a field must not have them.
    pub(super) is_lossless: bool,
}

/// The columns that are read by their names.
#[derive(Clone, Debug, Default)]
pub(in crate::cli) struct Wanted {
    /// Those that the command line names, which must be there.
    pub(in crate::cli) named: Vec<String>,
    /// Those that may be there.
    pub(in crate::cli) known: Vec<String>,
    /// Whether the sender's files have no header.
    pub(in crate::cli) is_headerless: bool,
}

impl Layout {
    /// Looks at a file. What cannot be read twice, such as a pipe, is UTF-8 with commas and begins with
    /// the header, unless the command line says otherwise.
    ///
    /// # Errors
    /// The file cannot be read, or several separators fit equally well.
    pub(super) fn of(
        path: &Path,
        format: FileFormat,
        args: &FileArgs,
        wanted: &Wanted,
    ) -> io::Result<Self> {
        let is_file = path.metadata()?.is_file();
        let encoding = match args.encoding {
            Some(encoding) => encoding,
            None if is_file => encoding_of(path, format, args.sender.is_some())?,
            None => UTF_8,
        };
        let mut layout = Self {
            encoding,
            separator: args.separator.unwrap_or(SEPARATORS[0]),
            skipped: 0,
            has_header: format == FileFormat::Csv && !args.no_header && !wanted.is_headerless,
            rows_above: 0,
            is_lossless: encoding == UTF_8 && (args.sender.is_some() || format == FileFormat::Json),
        };
        if format != FileFormat::Csv || !is_file {
            layout.skipped = usize::from(layout.has_header);
            return Ok(layout);
        }
        let sample = sample(path, encoding)?;
        let candidates = match (args.separator, told_by_first_line(&sample)) {
            (Some(separator), _) | (None, Some(separator)) => vec![separator],
            (None, None) => SEPARATORS.to_vec(),
        };
        let samples: Vec<_> = candidates
            .into_iter()
            .map(|separator| (separator, rows(&sample, separator)))
            .collect();
        if layout.has_header {
            let (separator, at) = header_of(&samples, wanted)?;
            layout.separator = separator;
            layout.skipped = at + 1;
            let rows = samples.iter().find(|(one, _)| *one == separator);
            let above = rows.map_or(&[][..], |(_, rows)| &rows[..at]);
            let rows_above = above.iter().filter(|row| !is_blank(row)).count();
            let is_told = told_by_first_line(&sample).is_some();
            layout.rows_above = rows_above - usize::from(is_told);
        } else {
            layout.separator = most_even(&samples)?.0;
            layout.skipped = usize::from(told_by_first_line(&sample).is_some());
        }
        Ok(layout)
    }
}

/// The rows of a sample, and what separates their cells.
type Sample = (u8, Vec<Vec<String>>);

/// Returns the separator and the header: the first row that has all the columns that the command line
/// names or else, if it names none, one of the known ones. If there is no such row, it is the first
/// that is not blank, with the separator that divides the rows most evenly.
fn header_of(samples: &[Sample], wanted: &Wanted) -> io::Result<(u8, usize)> {
    let has = |row: &[String], name: &String| {
        row.iter()
            .any(|cell| cell.trim().eq_ignore_ascii_case(name))
    };
    let known = |row: &[String]| wanted.known.iter().filter(|name| has(row, name)).count();
    let is_header = |row: &[String]| match &*wanted.named {
        [] => known(row) > 0,
        named => named.iter().all(|name| has(row, name)),
    };
    let found = samples.iter().filter_map(|(separator, rows)| {
        let at = rows.iter().position(|row| is_header(row))?;
        Some((at, usize::MAX - known(&rows[at]), *separator))
    });
    // Of equals, `min_by_key` returns the first.
    if let Some((at, _, separator)) = found.min_by_key(|(at, unknown, _)| (*at, *unknown)) {
        return Ok((separator, at));
    }
    let (separator, rows) = most_even(samples)?;
    let at = rows.iter().position(|row| !is_blank(row));
    Ok((*separator, at.unwrap_or_default()))
}

/// Returns the sample most of whose rows have the same number of cells, and more than one; of several,
/// the one with most cells.
///
/// # Errors
/// Several fit equally well.
fn most_even(samples: &[Sample]) -> io::Result<&Sample> {
    // The number of rows that are alike, and that of their cells.
    let evenness = |(_, rows): &Sample| {
        let counts = rows.iter().map(Vec::len).filter(|count| *count > 1);
        let counts: Vec<_> = counts.collect();
        let alike = |count: &usize| counts.iter().filter(|other| *other == count).count();
        let even = counts.iter().map(|count| (alike(count), *count));
        even.max().unwrap_or_default()
    };
    let with = |sample| (evenness(sample), sample);
    let mut found: Vec<_> = samples.iter().map(with).collect();
    found.sort_by_key(|(even, _)| Reverse(*even));
    match &*found {
        [(first, (one, _)), (second, (other, _)), ..] if first == second && first.0 > 0 => {
            let [one, other] = [*one, *other].map(|byte| char::from(byte).escape_default());
            Err(io::Error::other(format!(
                "both {one} and {other} could separate its cells; name one with --separator"
            )))
        }
        [(_, best), ..] => Ok(best),
        [] => unreachable!("there is always a separator"),
    }
}

fn is_blank(row: &[String]) -> bool {
    row.iter().all(|cell| cell.trim().is_empty())
}

/// Returns the separator that a spreadsheet writes into a line of its own, such as `sep=;`.
fn told_by_first_line(sample: &[u8]) -> Option<u8> {
    let line = sample.split(|byte| matches!(byte, b'\r' | b'\n')).next()?;
    match line.trim_ascii_start().strip_prefix(b"sep=")? {
        [separator] if is_separator(*separator) => Some(*separator),
        _ => None,
    }
}

/// Whether a character can separate cells.
pub(super) fn is_separator(byte: u8) -> bool {
    byte == b'\t' || (byte.is_ascii_graphic() && !byte.is_ascii_alphanumeric() && byte != b'"')
}

/// Returns the first rows of a sample, as far as they are complete. A row that is not CSV has no cells.
fn rows(sample: &[u8], separator: u8) -> Vec<Vec<String>> {
    let mut splitter = Splitter::new(MAX_COLUMNS).separated_by(separator);
    let (mut rest, mut rows) = (sample, Vec::new());
    while !rest.is_empty() && rows.len() < ROWS {
        let (taken, has_ended) = splitter.push(rest);
        let is_crlf = has_ended && rest[taken - 1] == b'\r' && rest.get(taken) == Some(&b'\n');
        rest = &rest[taken..];
        if is_crlf {
            splitter.push(b"\n");
            rest = &rest[1..];
        }
        if has_ended || sample.len() < SAMPLE {
            rows.push(splitter.take().unwrap_or_default());
        }
    }
    rows
}

/// Returns the text at the start of a file.
fn sample(path: &Path, encoding: &'static Encoding) -> io::Result<Vec<u8>> {
    let mut input = Input::open(path, encoding)?;
    let mut sample = Vec::new();
    while sample.len() < SAMPLE {
        let text = input.buffered()?;
        if text.is_empty() {
            break;
        }
        let count = text.len().min(SAMPLE - sample.len());
        sample.extend_from_slice(&text[..count]);
        input.consume(count);
    }
    Ok(sample)
}

/// Returns the encoding of a file: what its byte order mark or its XML declaration says, or else what
/// its bytes can be. JSON is never anything but Unicode, and the bytes of a sender's records are kept,
/// because they are those of its requests.
fn encoding_of(
    path: &Path,
    format: FileFormat,
    is_of_sender: bool,
) -> io::Result<&'static Encoding> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 64 * 1024];
    let mut length = read(&mut file, &mut buffer)?;
    let start = &buffer[..length.min(1024)];
    if let Some((encoding, _)) = Encoding::for_bom(start) {
        return Ok(encoding);
    }
    // Half of the bytes of Latin script in UTF-16 are zero, and nowhere else more than a few.
    let zeros = |first: usize| {
        start
            .iter()
            .skip(first)
            .step_by(2)
            .filter(|byte| **byte == 0)
            .count()
    };
    let (even, odd) = (zeros(0), zeros(1));
    if even.max(odd) * 8 > start.len() && even.min(odd) * 100 < start.len() {
        return Ok(if even > odd { UTF_16BE } else { UTF_16LE });
    }
    if is_of_sender && format != FileFormat::Xml {
        return Ok(UTF_8);
    }
    match format {
        FileFormat::Json => return Ok(UTF_8),
        FileFormat::Xml => return Ok(declared(start).unwrap_or(UTF_8)),
        FileFormat::Csv | FileFormat::Form => {}
    }
    let (mut is_utf8, mut is_ascii) = (true, true);
    let mut kept = 0;
    while length > 0 {
        let (mut valid, mut end) = (0, 0);
        for chunk in buffer[..kept + length].utf8_chunks() {
            is_ascii &= chunk.valid().is_ascii();
            valid = end + chunk.valid().len();
            end = valid + chunk.invalid().len();
            // A character may be cut in two at the end of what was read.
            is_utf8 &= chunk.invalid().is_empty() || end == kept + length;
        }
        let tail = valid..end;
        kept = tail.len();
        buffer.copy_within(tail, 0);
        length = read(&mut file, &mut buffer[kept..])?;
    }
    is_utf8 &= kept == 0;
    // A file that is nearly UTF-8 is no other encoding: its broken rows are refused.
    let is_other = !is_utf8 && is_ascii;
    Ok(if is_other { WINDOWS_1252 } else { UTF_8 })
}

/// Returns the encoding that an XML declaration names.
fn declared(start: &[u8]) -> Option<&'static Encoding> {
    let start = std::str::from_utf8(start.utf8_chunks().next()?.valid().as_bytes()).ok()?;
    let declaration = start
        .trim_start()
        .strip_prefix("<?xml")?
        .split_once("?>")?
        .0;
    let value = declaration
        .split_once("encoding")?
        .1
        .trim_start()
        .strip_prefix('=')?;
    let label = value.trim().split(['"', '\'']).nth(1)?;
    Encoding::for_label_no_replacement(label.as_bytes())
}

fn read(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match file.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
