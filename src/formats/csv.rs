//! CSV (RFC 4180): a header row, then one report or record per row.

mod read;
mod split;
mod write;

pub(crate) use read::RowReader;
pub(super) use read::columns;
pub(super) use read::read;
pub use split::Splitter;
pub use write::{header, unguard};
pub(super) use write::{write, write_row};

/// What makes a spreadsheet read a file as UTF-8.
pub const BYTE_ORDER_MARK: &str = "\u{feff}";

/// The maximum number of columns in a header.
pub const MAX_COLUMNS: usize = 1000;
