//! The head of a partition: its row in `log_heads`. The transaction that locks the row appends next
//! and takes the next positions.

use sqlx::AssertSqlSafe;

/// Returns the SQL that begins a transaction, locks the head and takes `count` positions in one
/// round trip instead of several. In PostgreSQL each round trip costs as much as inserting a few
/// dozen rows.
///
/// The SQL is safe, because only a constant and numbers are formatted into it.
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
