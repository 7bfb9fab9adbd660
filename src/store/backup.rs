//! Whole databases: a copy of an SQLite file, a file that is to be one, and the new log that
//! whatever was restored is.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use uuid::Uuid;

use super::row::{LOG, LogRow};
use super::{LogInfo, OpenError, Store, StoreError, postgres, sqlite};
use crate::token::random_bytes;

/// How long to wait for whoever is writing to a file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(4);

/// The most that is said about one damaged file.
const INTEGRITY: &str = "pragma integrity_check(20)";

const RENEW: &str = "update log set epoch = $1 where id = 1";

/// What an SQLite file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileContents {
    /// Its log.
    pub log: LogInfo,
    /// How many entries the log has.
    pub entries: i64,
    pub head: i64,
}

/// Writes a copy of a database file, as of one moment, beside whoever writes to it. It goes into
/// an empty file, and is not flushed.
///
/// # Errors
/// One clear sentence.
pub async fn file_copy(from: &Path, to: &Path) -> Result<FileContents, OpenError> {
    let failed = |source| OpenError::Copy {
        label: from.display().to_string(),
        source,
    };
    let mut connection = file_open(from).await?;
    contents(&mut connection, from).await?;
    let to_text = to.to_str().ok_or_else(|| {
        let reason = "the copy's name is not UTF-8";
        failed(sqlx::Error::Configuration(reason.into()))
    })?;
    // It only reads here, in one snapshot, so nobody waits for it.
    sqlx::query("vacuum into $1")
        .bind(to_text)
        .execute(&mut connection)
        .await
        .map_err(failed)?;
    connection.close().await.map_err(failed)?;
    let mut copy = file_open(to).await?;
    let held = contents(&mut copy, to).await?;
    copy.close().await.map_err(failed)?;
    Ok(held)
}

/// Checks a database file that nobody has open, and makes its log a new one. Messages call the file
/// by the other name.
///
/// # Errors
/// [`OpenError::Damaged`]; it is no database, or has no log.
pub async fn file_renew(file: &Path, named: &Path) -> Result<FileContents, OpenError> {
    let mut connection = file_open(file).await?;
    let found = problems(&mut connection).await;
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
    connection.close().await.map_err(OpenError::Prepare)?;
    Ok(held)
}

/// A random epoch.
pub(super) fn fresh_epoch() -> Result<Uuid, OpenError> {
    let epoch = random_bytes().map_err(OpenError::Randomness)?;
    Ok(Uuid::new_v8(epoch))
}

/// Opens a file that is there, as it is.
async fn file_open(file: &Path) -> Result<SqliteConnection, OpenError> {
    let options = SqliteConnectOptions::new()
        .filename(file)
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
    let (entries, head) = sqlx::query_as(
        "select (select count(*) from entries), (select next_position - 1 from log_heads where partition = 0)",
    )
    .fetch_one(connection)
    .await
    .map_err(OpenError::Prepare)?;
    Ok(FileContents { log, entries, head })
}

/// What SQLite finds wrong with a file.
async fn problems(connection: &mut SqliteConnection) -> Result<Vec<String>, sqlx::Error> {
    let found: Result<Vec<String>, _> = sqlx::query_scalar(INTEGRITY).fetch_all(connection).await;
    match found {
        Ok(mut found) => {
            found.retain(|line| line != "ok");
            Ok(found)
        }
        Err(sqlx::Error::Database(error)) => Ok(vec![error.message().to_owned()]),
        Err(error) => Err(error),
    }
}

macro_rules! renew_operations {
    ($store:ty, $begin:expr) => {
        impl $store {
            async fn log_renew(&self, epoch: Uuid) -> Result<(), StoreError> {
                let mut transaction = self.control.begin_with($begin).await?;
                sqlx::query(RENEW)
                    .bind(epoch)
                    .execute(&mut *transaction)
                    .await?;
                Ok(transaction.commit().await?)
            }
        }
    };
}

renew_operations!(postgres::Store, postgres::BEGIN);
renew_operations!(sqlite::Store, sqlite::BEGIN);

impl Store {
    /// The file of an SQLite URL; `None` when the URL is one of PostgreSQL.
    ///
    /// # Errors
    /// It is neither.
    pub fn file(url: &str) -> Result<Option<PathBuf>, OpenError> {
        if url.starts_with("sqlite:") {
            sqlite::path_of(url).map(Some)
        } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            Ok(None)
        } else {
            Err(OpenError::Scheme)
        }
    }

    /// Gives the log a new epoch, so that no cursor of the log before is taken for one of this.
    ///
    /// # Errors
    /// The database, or the operating system's randomness.
    pub async fn log_renew(&self) -> Result<Uuid, OpenError> {
        let epoch = fresh_epoch()?;
        let renewed: Result<(), StoreError> = on_either!(self, log_renew(epoch));
        renewed.map_err(OpenError::Renew)?;
        Ok(epoch)
    }

    /// What SQLite finds wrong with the file; nothing for PostgreSQL, which has tools of its own.
    pub async fn file_problems(&self) -> Result<Vec<String>, StoreError> {
        match self {
            Self::Postgres(_) => Ok(Vec::new()),
            Self::Sqlite(store) => {
                // One that may only read does not know of the tables' own checks.
                let mut connection = store.control.acquire().await?;
                Ok(problems(&mut connection).await?)
            }
        }
    }
}
