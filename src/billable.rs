//! The vocabulary: what is reported, what it is recognised by, what the log keeps of it.
//!
//! No I/O, no clock, no formats. Every other module may use this one; it uses none.

pub mod code;
pub mod entry;
pub mod identity;
pub mod report;
pub mod timestamp;

pub use code::Code;
pub use entry::{
    Attribution, Billable, BillableState, Entry, EntryKind, ListKey, LogEntry, Pair, Void,
};
pub use identity::{ClientName, IdempotencyKey, Identity};
pub use report::{Field, FieldError, RawReport, RawValue, Report, Reported, Text};
pub use timestamp::Timestamp;
