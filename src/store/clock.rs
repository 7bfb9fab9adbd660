//! What a server's clock is compared with.

use super::error::StoreError;
use crate::billable::Timestamp;

/// What a server's clock is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockReference {
    /// The clock of the database.
    Now(Timestamp),
    /// The latest time that a server recorded; `None` if none has recorded anything.
    Latest(Option<Timestamp>),
}

/// Converts a time that the database returned.
pub(super) fn timestamp(micros: i64, column: &'static str) -> Result<Timestamp, StoreError> {
    Timestamp::from_micros(micros).ok_or(StoreError::Corrupt {
        table: "log_heads",
        column,
        key: "0".to_owned(),
    })
}
