//! Backup and restore: copies an SQLite file, checks a backup, gives a restored log a new epoch.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::migrate::Migrate;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, Postgres, Sqlite, SqliteConnection};
use uuid::Uuid;

use super::backend::Backend;
use super::error::{OpenError, StoreError};
use super::ops::log::RENEW;
use super::row::{LOG, LogRow};
use super::{LogInfo, Store, migrate, sqlite};
use crate::token::random_bytes;

/// How long to wait for another process that is writing to a file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(4);

/// Reports at most 20 problems of a damaged file.
const INTEGRITY: &str = "pragma integrity_check(20)";

/// The same without comparing indexes with tables.
const QUICK: &str = "pragma quick_check(20)";

/// The contents of an SQLite file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileContents {
    pub log: LogInfo,
    /// The number of entries.
    pub entries: i64,
    pub head: i64,
}

/// Copies a database file as of one moment, while other processes may write to it, and marks the
/// copy as a backup. The target is an empty file. The copy is not flushed.
///
/// # Errors
/// See [`OpenError`].
pub async fn file_copy(from: &Path, to: &Path) -> Result<FileContents, OpenError> {
    let failed = |source| OpenError::Copy {
        label: from.display().to_string(),
        source,
    };
    let label = sqlite::label(from);
    // The handle is open until the copy is done: closing it would drop SQLite's locks.
    let handle = sqlite::place::open(from, &label)?;
    sqlite::connect::refuse_detached(from, handle.as_ref(), &label).await?;
    if sqlite::connect::has_wal(from) {
        sqlite::connect::check_tail(from, &label).await?;
    }
    // The connection is read-only: one that may write would copy the WAL when it is closed.
    let mut connection = file_open(from, true).await?;
    contents(&mut connection, from).await?;
    let to_text = to.to_str().ok_or_else(|| {
        let reason = "the name of the copy is not UTF-8";
        failed(sqlx::Error::Configuration(reason.into()))
    })?;
    // This only reads from the database, in one snapshot, so no other process waits for it.
    sqlx::query("vacuum into $1")
        .bind(to_text)
        .execute(&mut connection)
        .await
        .map_err(failed)?;
    connection.close().await.map_err(failed)?;
    drop(handle);
    let mut copy = file_open(to, false).await?;
    if let Some(reason) = problems(&mut copy, QUICK)
        .await
        .map_err(failed)?
        .into_iter()
        .next()
    {
        return Err(OpenError::Damaged { label, reason });
    }
    let held = contents(&mut copy, to).await?;
    sqlx::query(sqlite::MARK)
        .execute(&mut copy)
        .await
        .map_err(failed)?;
    copy.close().await.map_err(failed)?;
    Ok(held)
}

/// Checks a database file that no process has open, gives its log a new epoch, and takes off the
/// mark of a backup. Messages about the contents show the path `named` instead of `file`.
///
/// # Errors
/// [`OpenError::Damaged`]; or the file is not a database or has no log.
pub async fn file_check_and_renew(file: &Path, named: &Path) -> Result<FileContents, OpenError> {
    let mut connection = file_open(file, false).await?;
    let found = problems(&mut connection, INTEGRITY).await;
    if let Some(reason) = found.map_err(OpenError::Prepare)?.into_iter().next() {
        let label = sqlite::label(named);
        return Err(OpenError::Damaged { label, reason });
    }
    let mut held = contents(&mut connection, named).await?;
    held.log.epoch = fresh_epoch()?;
    sqlx::query(RENEW)
        .bind(held.log.epoch)
        .execute(&mut connection)
        .await
        .map_err(OpenError::Prepare)?;
    sqlx::query(sqlite::UNMARK)
        .execute(&mut connection)
        .await
        .map_err(OpenError::Prepare)?;
    connection.close().await.map_err(OpenError::Prepare)?;
    Ok(held)
}

/// Returns a random epoch.
pub(super) fn fresh_epoch() -> Result<Uuid, OpenError> {
    let epoch = random_bytes().map_err(OpenError::Randomness)?;
    Ok(Uuid::new_v8(epoch))
}

/// Opens an existing file without changing its settings.
async fn file_open(file: &Path, is_read_only: bool) -> Result<SqliteConnection, OpenError> {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .read_only(is_read_only)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging();
    options
        .connect()
        .await
        .map_err(|source| OpenError::Connect {
            label: sqlite::label(file),
            source,
        })
}

async fn contents(
    connection: &mut SqliteConnection,
    file: &Path,
) -> Result<FileContents, OpenError> {
    let found: Result<Option<LogRow>, _> =
        sqlx::query_as(LOG).fetch_optional(&mut *connection).await;
    let is_missing = |error: &sqlx::Error| error.to_string().contains("no such table");
    let log = match found {
        Ok(Some(log)) => log.into(),
        Ok(None) => return Err(OpenError::NoLog(sqlite::label(file))),
        Err(error) if is_missing(&error) => return Err(OpenError::NoLog(sqlite::label(file))),
        Err(source) => {
            let label = sqlite::label(file);
            return Err(OpenError::Connect { label, source });
        }
    };
    let applied = connection
        .list_applied_migrations(migrate::TABLE)
        .await
        .map_err(OpenError::from)?;
    migrate::check_format(&sqlite::MIGRATOR, &applied)?;
    let (entries, head) = sqlx::query_as(
        "select (select count(*) from entries), (select next_position - 1 from log_heads where partition = 0)",
    )
    .fetch_one(connection)
    .await
    .map_err(OpenError::Prepare)?;
    Ok(FileContents { log, entries, head })
}

impl Backend<Postgres> {
    #[expect(clippy::unused_async, reason = "called like the one of SQLite")]
    pub(super) async fn file_problems(&self) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }
}

impl Backend<Sqlite> {
    pub(super) async fn file_problems(&self) -> Result<Vec<String>, StoreError> {
        // A read-only connection would not verify the tables' check constraints.
        let mut connection = self.control.acquire().await?;
        Ok(problems(&mut connection, INTEGRITY).await?)
    }
}

/// Returns the problems that SQLite finds in a file.
async fn problems(
    connection: &mut SqliteConnection,
    check: &'static str,
) -> Result<Vec<String>, sqlx::Error> {
    let found: Result<Vec<String>, _> = sqlx::query_scalar(check).fetch_all(connection).await;
    match found {
        Ok(mut found) => {
            found.retain(|line| line != "ok");
            Ok(found)
        }
        Err(sqlx::Error::Database(error)) => Ok(vec![error.message().to_owned()]),
        Err(error) => Err(error),
    }
}

impl Store {
    /// Returns the file of an SQLite URL, or `None` for a PostgreSQL URL.
    ///
    /// # Errors
    /// The URL is for neither database, or does not name a file.
    pub fn file(url: &str) -> Result<Option<PathBuf>, OpenError> {
        if url.starts_with("sqlite:") {
            sqlite::path_of(url).map(Some)
        } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            Ok(None)
        } else {
            Err(OpenError::Scheme)
        }
    }

    /// Gives the log a new epoch, so that cursors of the previous log are not accepted.
    ///
    /// # Errors
    /// The database failed, or the operating system gave no random bytes.
    pub async fn log_renew(&self) -> Result<Uuid, OpenError> {
        let epoch = fresh_epoch()?;
        self.epoch_set(epoch).await.map_err(OpenError::Renew)?;
        Ok(epoch)
    }
}
