//! The head of a partition: its row in `log_heads`. The transaction that locks the row appends next
//! and takes the next positions.

use sqlx::AssertSqlSafe;

/// Returns the SQL that begins a transaction, locks the head and takes `count` positions in one
/// round trip instead of several. In PostgreSQL each round trip costs as much as inserting a few
/// dozen rows.
///
/// The SQL is safe, because only constants and numbers are formatted into it.
pub(super) fn begin_locked(
    begin: &'static str,
    partition: i32,
    count: usize,
) -> AssertSqlSafe<String> {
    with_assignment(begin, partition, count, "")
}

/// Works like [`begin_locked`], and keeps the latest time that a server recorded, in microseconds
/// since 1970.
pub(super) fn begin_locked_at(
    begin: &'static str,
    partition: i32,
    count: usize,
    recorded_at: i64,
) -> AssertSqlSafe<String> {
    let assignment = format!(", recorded_at = max(recorded_at, {recorded_at})");
    with_assignment(begin, partition, count, &assignment)
}

fn with_assignment(
    begin: &'static str,
    partition: i32,
    count: usize,
    assignment: &str,
) -> AssertSqlSafe<String> {
    AssertSqlSafe(format!(
        "{begin};
         update log_heads set next_position = next_position + {count}{assignment}
         where partition = {partition}"
    ))
}
