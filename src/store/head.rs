//! The head of a partition: its row in `log_heads`. Who has locked it appends next, and gives the
//! positions.

use sqlx::AssertSqlSafe;

/// Begins a transaction, locks the head and takes so many positions, in one message: in PostgreSQL
/// each costs what a few dozen rows do. Only numbers are put into the text.
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
