//! Faults after which SQLite can no longer be relied on, whichever connection found them.
//!
//! Errors are kept for the whole process: every error is converted in one place, which does not know
//! the connection, and a process acknowledges reports in one file only.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::error::DatabaseError;

/// Why nothing is acknowledged any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// The file that was opened still has everything, once its WAL is copied into it.
    #[error(
        "{0} was removed or renamed while this server had it open: its contents are copied into the database; restart the server then"
    )]
    Removed(String),
    /// What was committed lately is only in a file without a name.
    #[error(
        "{path} was replaced while this server had it open; what it held is only in {descriptor} as long as this process runs: stop every other program that uses the database, copy that file, and see \"A replaced WAL\" in the operations manual"
    )]
    Replaced { path: String, descriptor: String },
    /// SQLite found its pages inconsistent.
    #[error("the database is damaged ({0}): stop the server and restore a backup")]
    Damaged(&'static str),
}

/// The low byte of a code is the primary code.
const IOERR: i32 = 10;
const CORRUPT: i32 = 11;
const NOTADB: i32 = 26;

/// A read that failed says nothing about what was written.
const IOERR_READ: i32 = 266;

static WAL_FAILED: AtomicBool = AtomicBool::new(false);

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
        IOERR if code != IOERR_READ => WAL_FAILED.store(true, Ordering::SeqCst),
        _ => {}
    }
}

/// Returns SQLite's message, if it found the file to be damaged.
pub(super) fn damage() -> Option<&'static str> {
    DAMAGE.get().map(String::as_str)
}

/// Whether a write or a flush failed since the last [`set_wal_failed`] with `false`.
pub(super) fn wal_failed() -> bool {
    WAL_FAILED.load(Ordering::SeqCst)
}

pub(super) fn set_wal_failed(failed: bool) {
    WAL_FAILED.store(failed, Ordering::SeqCst);
}
