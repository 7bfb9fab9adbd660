//! SQLite, the embedded database: one file, WAL mode, every commit flushed.

pub(super) mod connect;
mod dialect;
mod files;
mod locks;
mod paths;
pub(super) mod place;
mod tail;

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::Ordering;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use sqlx::migrate::{Migrate, MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Sqlite, SqliteConnection};
use tracing::warn;

use self::connect::{check_tail, connect_checked, connect_first, has_wal, refuse_detached};
use self::files::Files;
use super::backend::{Backend, CONTROL_CONNECTIONS};
use super::clock::{ClockReference, timestamp};
use super::dialect::{Connector, Dialect, ServerFacts};
use super::error::{OpenError, StoreError};
use super::query::query;
use super::{faults, migrate};
use crate::billable::Timestamp;

pub(super) use self::place::{MARK, UNMARK};

pub(super) static MIGRATOR: LazyLock<Migrator> =
    LazyLock::new(|| migrate::tolerant(sqlx::migrate!("migrations/sqlite")));

/// How long a statement waits for another process to finish writing.
const BUSY_TIMEOUT: Duration = Duration::from_secs(4);

/// The number of 4 KiB pages in the WAL after which a commit runs a checkpoint, for which other
/// writers wait. A larger value makes checkpoints rarer and longer.
///
/// Checkpoints do not run on a separate connection, because reports would then be committed while
/// one runs. SQLite then neither flushes the pages that the checkpoint has copied so far nor, if the
/// flush at its end fails, copies them again.
const WAL_PAGES: &str = "4096";

/// How long to wait for another process to finish migrating, which may be indexing a large log.
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(3600);

/// How long a try to copy the WAL waits for readers. Other writers wait meanwhile.
const ANCHOR_TIMEOUT: Duration = Duration::from_millis(250);

/// The number of times that a starting server looks for a moment at which no other one starts.
const GENERATION_TRIES: usize = 8;

/// The number of SQLite's steps between two looks at whether a read must end.
const STEPS: i32 = 10_000;

/// The open file of an SQLite database.
#[derive(Clone, Debug)]
pub struct OpenFile {
    options: SqliteConnectOptions,
    /// The file, for messages.
    label: String,
    files: Files,
}

impl Connector<Sqlite> for OpenFile {
    fn label(&self) -> String {
        self.label.clone()
    }

    async fn connect(&self) -> Result<(SqliteConnection, ServerFacts), StoreError> {
        // This pragma keeps the statement journal in memory, because in a file it would take a
        // quarter of SQLite's time.
        let options = self.options.clone().pragma("temp_store", "memory");
        let connection = connect_checked(&options, &self.label)
            .await
            .map_err(OpenError::while_running)?;
        Ok((connection, ServerFacts::default()))
    }

    fn is_citus(&self) -> bool {
        false
    }

    /// See [`Files::check`].
    fn check_files(&self) -> Result<(), StoreError> {
        self.files.check()
    }

    /// See [`Files::recover`].
    async fn recover(&self) -> Result<(), StoreError> {
        self.files.recover().await
    }

    /// See [`Files::confirm`].
    fn confirm(&self) -> Result<(), StoreError> {
        self.files.confirm()
    }
}

impl Backend<Sqlite> {
    pub(super) async fn open(path: &Path, read_connections: u32) -> Result<Self, OpenError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .pragma("fullfsync", "on")
            .pragma("checkpoint_fullfsync", "on")
            .pragma("wal_autocheckpoint", WAL_PAGES)
            .busy_timeout(BUSY_TIMEOUT)
            .disable_statement_logging();
        let label = label(path);
        let existing = place::open(path, &label)?;
        if existing.is_none() {
            // Only the owner may access a new file and the files that SQLite creates next to it,
            // because they hold all billing data. If the file cannot be created, connecting reports
            // why.
            let _ = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path);
        }
        place::check(path, &label)?;
        refuse_detached(path, existing.as_ref(), &label).await?;
        if has_wal(path) {
            check_tail(path, &label).await?;
            // If a process is killed between writing a commit to the WAL and flushing it, the next
            // process sees the commit although it is not on disk yet. Nothing is acknowledged
            // before the WAL is copied into the database, which flushes both.
            faults::doubt_wal();
        }
        let failed = |source| OpenError::Connect {
            label: label.clone(),
            source,
        };
        let handle = match existing {
            Some(handle) => handle,
            None => {
                File::open(path).map_err(|error| explained(failed(error.into()), path, &label))?
            }
        };
        let anchor_options = options.clone().busy_timeout(ANCHOR_TIMEOUT);
        let anchor = connect_first(&anchor_options, &label)
            .await
            .map_err(|error| explained(error, path, &label))?;
        let files = Files::begin(path, handle, anchor).map_err(failed)?;
        // From here on, no file is created: a file that is removed under a running server stays
        // missing.
        let options = options.create_if_missing(false);
        let pool = |options: SqliteConnectOptions, connections| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                .after_release(|connection, _| Box::pin(is_outside_transaction(connection)))
                .connect_lazy_with(options)
        };
        let ends_readers = files.ends_readers();
        let read = SqlitePoolOptions::new()
            .max_connections(read_connections)
            .after_release(|connection, _| Box::pin(is_outside_transaction(connection)))
            .after_connect(move |connection, _| {
                let ends_readers = ends_readers.clone();
                Box::pin(async move {
                    let mut handle = connection.lock_handle().await?;
                    let goes_on = move || !ends_readers.load(Ordering::Relaxed);
                    handle.set_progress_handler(STEPS, goes_on);
                    Ok(())
                })
            })
            .connect_lazy_with(options.clone().read_only(true));
        Ok(Self {
            read,
            control: pool(options.clone(), CONTROL_CONNECTIONS),
            decisions: pool(options.clone(), CONTROL_CONNECTIONS),
            // Commits of this pool are flushed, too: if one of its writes to the WAL failed without
            // a flush, the flush of a report's commit would not tell.
            derived: pool(options.clone(), 1),
            connector: OpenFile {
                options,
                label,
                files,
            },
        })
    }

    /// Migrates the schema in one transaction under the write lock, because sqlx's SQLite migrator
    /// takes no lock. If processes start at the same time, one of them migrates and the others find
    /// it done.
    pub(super) async fn migrate(&self) -> Result<(), OpenError> {
        let options = self.connector.options.clone();
        let options = options.busy_timeout(MIGRATION_TIMEOUT);
        let mut connection = options.connect().await.map_err(OpenError::Prepare)?;
        let locked = connection.begin_with(Sqlite::BEGIN).await;
        let mut transaction = locked.map_err(OpenError::Prepare)?;
        MIGRATOR.run(&mut *transaction).await?;
        let applied = transaction.list_applied_migrations(migrate::TABLE).await?;
        transaction.commit().await.map_err(MigrateError::Execute)?;
        migrate::note_newer(&MIGRATOR, &applied);
        connection.close().await.map_err(OpenError::Prepare)
    }

    /// Gives the WAL and the file a new generation, by which the next start knows that they belong
    /// together. The file always has the generation in the WAL or the one before it, also while
    /// several servers start: each update names the generation that it follows.
    pub(super) async fn generation_begin(&self, fresh: i64) -> Result<(), StoreError> {
        let path = self.connector.options.get_filename();
        for _ in 0..GENERATION_TRIES {
            // Without the present generation, the next start could not tell: the old one stays
            // then.
            let Ok(in_file) = tail::generation_in_file(path).await else {
                return Ok(());
            };
            let begin = "update log_heads set generation = $1, previous_generation = $2
                 where generation = $2";
            let is_begun = self.generation_update(begin, fresh, in_file).await?;
            let is_copied = self.connector.files.copy_now().await?;
            if is_begun && is_copied {
                let settle = "update log_heads set previous_generation = $1
                     where generation = $1 and previous_generation = $2";
                self.generation_update(settle, fresh, in_file).await?;
            }
            // The file had an older generation than the WAL, and has the same one now.
            if is_begun || !is_copied {
                break;
            }
        }
        Ok(())
    }

    /// Returns whether the head was as `statement` says.
    async fn generation_update(
        &self,
        statement: &'static str,
        fresh: i64,
        in_file: i64,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let updated = query::<Sqlite>(statement)
            .bind(fresh)
            .bind(in_file)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(updated > 0)
    }

    /// Copies the WAL into the database if a write failed or if its name was removed.
    pub(super) async fn trust_check(&self) -> Result<(), StoreError> {
        let recovered = self.connector.files.recover().await;
        if self.connector.files.rescue().await? {
            warn!("what the removed file held is in the database now: restart the server");
            self.close_pools().await;
        }
        recovered
    }

    /// SQLite's plans do not depend on a table's contents.
    #[expect(clippy::unused_async, reason = "called like the one of PostgreSQL")]
    pub(super) async fn log_analyze(&self) -> Result<bool, StoreError> {
        Ok(true)
    }

    pub(super) async fn clock_reference(&self) -> Result<ClockReference, StoreError> {
        let found: Option<(i64,)> =
            query::<Sqlite>("select recorded_at from log_heads where partition = 0")
                .fetch_optional(&self.control)
                .await?;
        let latest = found.map(|(micros,)| micros).filter(|micros| *micros != 0);
        let latest = latest.map(|micros| timestamp(micros, "recorded_at"));
        Ok(ClockReference::Latest(latest.transpose()?))
    }

    pub(super) async fn clock_accept(&self, now: Timestamp) -> Result<bool, StoreError> {
        self.connector.recover().await?;
        let mut transaction = self.begin().await?;
        query::<Sqlite>("update log_heads set recorded_at = $1")
            .bind(now.as_micros())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        self.connector.confirm()?;
        Ok(true)
    }

    /// Returns the number of names that the file has now.
    pub(super) fn file_links(&self) -> u64 {
        self.connector.files.links()
    }

    /// Whether the file is in memory.
    pub(super) fn is_volatile(&self) -> bool {
        self.connector.files.are_volatile()
    }

    pub(super) async fn close(&self) {
        self.close_pools().await;
        self.connector.files.close().await;
    }
}

/// Says why SQLite could not connect, if the operating system does not allow it.
fn explained(error: OpenError, path: &Path, label: &str) -> OpenError {
    match (error, place::obstacle(path)) {
        (OpenError::Connect { .. }, Some(reason)) => OpenError::File {
            label: label.to_owned(),
            reason,
        },
        (error, _) => error,
    }
}

/// The file, for messages.
pub(super) fn label(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    format!("the SQLite file {}", path.display())
}

/// Returns the file of a URL. Rejects an in-memory database, which would lose everything.
pub(super) fn path_of(url: &str) -> Result<PathBuf, OpenError> {
    let refused = |reason: &str| Err(OpenError::Url(reason.to_owned()));
    let rest = url
        .strip_prefix("sqlite://")
        .or_else(|| url.strip_prefix("sqlite:"))
        .unwrap_or(url);
    if rest.contains('?') {
        return refused("an SQLite URL takes no parameters");
    }
    let Ok(path) = percent_decode_str(rest).decode_utf8() else {
        return refused("its path is not UTF-8");
    };
    if path.is_empty() || path.contains(":memory:") {
        return refused(
            "it must name a file, such as sqlite://billables.db, because an in-memory database keeps nothing",
        );
    }
    Ok(PathBuf::from(path.into_owned()))
}

/// Returns whether a released connection can be reused.
///
/// If a transaction fails for lack of space or because of a disk error, SQLite rolls it back
/// itself. The driver's own rollback then fails, and the driver considers the connection to be in a
/// transaction forever.
async fn is_outside_transaction(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    // Lets a pending rollback finish.
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}
