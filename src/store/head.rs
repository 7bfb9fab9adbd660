//! The head of a partition: its row in `log_heads`. The transaction that holds its lock appends
//! next, and takes the positions.

use sqlx::AssertSqlSafe;

/// Returns the text that begins a transaction, locks the head and takes `count` positions, in one
/// message. In PostgreSQL, a message costs as much as a few dozen rows.
///
/// Only numbers are formatted into the text.
pub(super) fn begin_locked(
    begin: &'static str,
    partition: i32,
    count: usize,
) -> AssertSqlSafe<String> {
    AssertSqlSafe(format!(
        "{begin};
         update log_heads set next_position = next_position + {count} where partition = {partition}"
    ))
}
