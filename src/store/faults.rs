//! Faults after which SQLite can no longer be relied on, whichever connection found them.
//!
//! Errors are kept for the whole process: every error is converted in one place, which does not know
//! the connection, and a process acknowledges reports in one file only.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::error::DatabaseError;

/// Why nothing is acknowledged any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// The file that was opened still has everything, and is being copied into the database.
    #[error(
        "{0} was removed or renamed while this server had it open; it is being copied into the database: do not stop this server before its log says that it is done"
    )]
    Removed(String),
    /// What was committed lately is in a file without a name.
    #[error(
        "{0} was replaced while this server had it open: stop every program that uses the database, and see \"A replaced WAL\" in the operations manual"
    )]
    Replaced(String),
    #[error(
        "a backup was written over the database while this server had it open: stop every program that uses it, and restore the backup with `billables restore`"
    )]
    Overwritten,
    /// SQLite found its pages inconsistent.
    #[error(
        "the database is damaged ({0}): stop every program that uses it, copy all its files, and see what `billables verify` finds before you restore a backup"
    )]
    Damaged(&'static str),
}

/// The low byte of a code is the primary code.
const IOERR: i32 = 10;
const CORRUPT: i32 = 11;
const NOTADB: i32 = 26;

/// A read that failed says nothing about what was written.
const IOERR_READ: i32 = 266;

/// The number of failed writes and flushes, and how many of them are settled.
static WAL_FAILURES: AtomicU64 = AtomicU64::new(0);
static WAL_SETTLED: AtomicU64 = AtomicU64::new(0);

static DAMAGE: OnceLock<String> = OnceLock::new();

fn code_of(error: &dyn DatabaseError) -> i32 {
    let code = error.code().and_then(|code| code.parse().ok());
    code.unwrap_or_default()
}

/// Whether SQLite found its pages inconsistent.
pub(super) fn is_damage(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().map(code_of);
    code.is_some_and(|code| matches!(code & 0xff, CORRUPT | NOTADB))
}

/// Notes an error of SQLite.
pub(super) fn note(error: &dyn DatabaseError) {
    let code = code_of(error);
    match code & 0xff {
        CORRUPT | NOTADB => drop(DAMAGE.set(error.message().to_owned())),
        IOERR if code != IOERR_READ => doubt_wal(),
        _ => {}
    }
}

/// Returns SQLite's message, if it found the file to be damaged.
pub(super) fn damage() -> Option<&'static str> {
    DAMAGE.get().map(String::as_str)
}

/// Notes that what is in the WAL may not be on the disk.
pub(super) fn doubt_wal() {
    WAL_FAILURES.fetch_add(1, Ordering::SeqCst);
}

/// Returns what [`settle`] takes if a write or a flush has failed that is not settled.
pub(super) fn wal_doubt() -> Option<u64> {
    let failures = WAL_FAILURES.load(Ordering::SeqCst);
    (WAL_SETTLED.load(Ordering::SeqCst) < failures).then_some(failures)
}

/// Notes that the whole WAL was copied into the database after `doubt` was read.
pub(super) fn settle(doubt: u64) {
    WAL_SETTLED.fetch_max(doubt, Ordering::SeqCst);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The statics belong to the whole test program, so this is the only test that uses them.
    #[test]
    fn case_03_a_doubt_that_comes_while_another_is_settled_stays() {
        doubt_wal();
        let first = wal_doubt().expect("a doubt");
        // Another write fails while the WAL is being copied.
        doubt_wal();
        settle(first);
        let second = wal_doubt().expect("the second doubt");
        // The try to settle it is cancelled.
        assert_eq!(wal_doubt(), Some(second));
        settle(second);
        assert_eq!(wal_doubt(), None);
    }
}
