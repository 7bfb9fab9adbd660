//! The domain: reports, how repeats of them are detected, and the entries of the log.
//!
//! No I/O, no clock, no formats. Every other module may use this one; it uses no other.

pub mod code;
pub mod entry;
pub mod identity;
pub mod report;
pub mod statement;
pub mod timestamp;

pub use code::Code;
pub use entry::{
    Attribution, Billable, BillableState, Entry, EntryKind, EntryMark, ListKey, LogEntry, LogPoint,
    Pair, Void,
};
pub use identity::{ClientName, FirstPart, IdempotencyKey, Identity};
pub use report::{Field, FieldError, RawReport, RawValue, Report, Reported, Text};
pub use timestamp::Timestamp;
