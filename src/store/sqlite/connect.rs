//! Connecting to an SQLite file, and what is checked before and after.

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use sqlx::error::DatabaseError;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use super::paths::beside;
use super::{BUSY_TIMEOUT, place, tail};
use crate::store::{OpenError, faults};

/// The pause between two tries where SQLite itself does not wait.
const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// Connects to a file that may not be in WAL mode yet. Retries if another process is using the
/// file: SQLite does not wait for locks when it changes the mode, but fails immediately.
pub(super) async fn connect_first(
    options: &SqliteConnectOptions,
    label: &str,
) -> Result<SqliteConnection, OpenError> {
    let deadline = tokio::time::Instant::now() + BUSY_TIMEOUT;
    loop {
        match connect_checked(options, label).await {
            Err(OpenError::Connect { source, .. })
                if is_busy(&source) && tokio::time::Instant::now() < deadline =>
            {
                tokio::time::sleep(BUSY_PAUSE).await;
            }
            connected => return connected,
        }
    }
}

/// Returns whether another connection has locked the file.
fn is_busy(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(DatabaseError::code);
    // The primary code is the low byte.
    code.is_some_and(|code| code.parse().is_ok_and(|code: i32| code & 0xff == 5))
}

/// Refuses a file that another process has open under another name, or whose WAL was removed. A
/// process that is just opening or closing the file is waited for.
pub(in crate::store) async fn refuse_detached(
    path: &Path,
    file: Option<&File>,
    label: &str,
) -> Result<(), OpenError> {
    let deadline = tokio::time::Instant::now() + BUSY_TIMEOUT;
    let Some(file) = file else {
        return Ok(());
    };
    loop {
        let users = place::detached_users(path, file);
        if users.is_empty() {
            return Ok(());
        }
        if tokio::time::Instant::now() >= deadline {
            return Err(OpenError::Detached {
                label: label.to_owned(),
                processes: users.join(", "),
            });
        }
        tokio::time::sleep(BUSY_PAUSE).await;
    }
}

/// Returns whether an earlier process left something in the WAL, or another one is using it.
pub(in crate::store) fn has_wal(path: &Path) -> bool {
    let resolved = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let wal = beside(&resolved, "-wal");
    fs::metadata(wal).is_ok_and(|file| file.len() > 0)
}

/// Refuses a file whose WAL belongs to another one. It reads only, because a connection that may
/// write would copy the WAL into the file when it is closed.
pub(in crate::store) async fn check_tail(path: &Path, label: &str) -> Result<(), OpenError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging();
    let found = async {
        let mut connection = options.connect().await?;
        let fault = tail::find_fault(&mut connection, path).await?;
        connection.close().await?;
        Ok(fault)
    };
    let label = label.to_owned();
    match found.await {
        Ok(None) => Ok(()),
        Ok(Some(reason)) => Err(OpenError::OtherWal { label, reason }),
        Err(source) if faults::is_damage(&source) => {
            let reason = source.to_string();
            Err(OpenError::OtherWal { label, reason })
        }
        Err(source) => Err(OpenError::Connect { label, source }),
    }
}

/// Connects. Refuses a file that may lose acknowledged commits.
pub(super) async fn connect_checked(
    options: &SqliteConnectOptions,
    label: &str,
) -> Result<SqliteConnection, OpenError> {
    let mut connection = options
        .connect()
        .await
        .map_err(|source| OpenError::Connect {
            label: label.to_owned(),
            source,
        })?;
    check(&mut connection, label).await?;
    Ok(connection)
}

/// Checks that the settings took effect.
async fn check(connection: &mut SqliteConnection, label: &str) -> Result<(), OpenError> {
    let failed = |source| OpenError::Connect {
        label: label.to_owned(),
        source,
    };
    let mut pragma = async |statement: &'static str| -> Result<String, OpenError> {
        sqlx::query_scalar(statement)
            .fetch_one(&mut *connection)
            .await
            .map_err(failed)
    };
    let journal = pragma("select journal_mode from pragma_journal_mode").await?;
    let synchronous = pragma("select cast(synchronous as text) from pragma_synchronous").await?;
    let encoding = pragma("select encoding from pragma_encoding").await?;
    let not_durable = |setting: String, remedy| {
        Err(OpenError::NotDurable {
            label: label.to_owned(),
            setting,
            remedy,
        })
    };
    if journal != "wal" {
        return not_durable(
            format!("its journal_mode is {journal}"),
            "move it to a file system that supports shared memory, which WAL needs",
        );
    }
    if synchronous != "2" {
        return not_durable(
            format!("its synchronous is {synchronous}"),
            "use an SQLite library that supports synchronous=FULL",
        );
    }
    if encoding != "UTF-8" {
        return Err(OpenError::NotUtf8(encoding));
    }
    Ok(())
}
