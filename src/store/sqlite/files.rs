//! Whether what SQLite reports as committed can be relied on.
//!
//! A commit is acknowledged only if the file, its WAL and its shared memory are still the ones that
//! this process opened. Otherwise no other process, and no later start, would see the commit. The
//! files are compared by device and inode. They are never opened here, because closing a file that
//! SQLite has open drops SQLite's locks on it; one handle to the database is open from before to
//! after.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Error};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};
use tracing::{error, warn};

use super::paths::{BESIDE, FileId, KEPT, beside, file_id};
use super::{locks, place};
use crate::store::StoreError;
use crate::store::faults::{self, Distrust};

/// The pause between two tries to copy the WAL. Other writers wait during a try.
const TRY_EVERY: Duration = Duration::from_secs(1);

/// How long this server's reads may keep the WAL from being copied after a failed write.
const PATIENCE: Duration = Duration::from_secs(5);

/// The files that this process has open, and what became of them. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Files(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// The file, under the name in the settings.
    path: PathBuf,
    /// The database and the files beside it, under the names that SQLite uses, which follow links.
    names: [PathBuf; 3],
    opened: [FileId; 3],
    /// A handle to the database, to read whether a backup was written over it.
    handle: File,
    /// A connection that lives as long as this. It keeps SQLite from deleting the WAL, and copies
    /// it into the database after an error.
    anchor: Mutex<Option<SqliteConnection>>,
    /// Stays for the rest of the process's life.
    lost: std::sync::Mutex<Option<Distrust>>,
    /// Whether the removed WAL was copied into the database.
    is_rescued: AtomicBool,
    tries: std::sync::Mutex<Tries>,
    /// Whether statements of the pool `read` end with an error, because they keep the WAL from
    /// being copied.
    ends_readers: Arc<AtomicBool>,
}

/// The tries to copy the WAL that a reader or a writer prevented.
#[derive(Clone, Copy, Debug, Default)]
struct Tries {
    last: Option<Instant>,
    blocked_since: Option<Instant>,
    is_logged: bool,
}

impl Files {
    /// Notes the files that `anchor`, which has read from the database, has open. `handle` was
    /// opened before it.
    ///
    /// # Errors
    /// One of them has been removed in the meantime.
    pub(super) fn begin(
        path: &Path,
        handle: File,
        anchor: SqliteConnection,
    ) -> Result<Self, Error> {
        let resolved = fs::canonicalize(path)?;
        let [wal, shared_memory] = BESIDE.map(|suffix| beside(&resolved, suffix));
        let names = [resolved, wal, shared_memory];
        let mut opened = [(0, 0); 3];
        for (id, name) in opened.iter_mut().zip(&names) {
            let file = fs::metadata(name)?;
            *id = (file.dev(), file.ino());
        }
        Ok(Self(Arc::new(Shared {
            path: path.to_owned(),
            names,
            opened,
            handle,
            anchor: Mutex::new(Some(anchor)),
            lost: std::sync::Mutex::default(),
            is_rescued: AtomicBool::new(false),
            tries: std::sync::Mutex::default(),
            ends_readers: Arc::default(),
        })))
    }

    /// Checks that the files are still the ones that were opened, and that SQLite has found no
    /// damage. After a commit, nothing may be acknowledged before this succeeds.
    ///
    /// # Errors
    /// [`StoreError::Distrusted`], which stays until a restart, or [`StoreError::Moved`] while
    /// the database has another name.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        if let Some(distrust) = self.lost() {
            return Err(StoreError::Distrusted(distrust));
        }
        if let Some(reason) = faults::damage() {
            return Err(self.lose(Distrust::Damaged(reason)));
        }
        if place::is_backup(&self.0.handle) {
            return Err(self.lose(Distrust::Overwritten));
        }
        if !self.is_in_place() {
            return Err(StoreError::Moved);
        }
        match self.missing() {
            None => Ok(()),
            Some(distrust) => Err(self.lose(distrust)),
        }
    }

    /// Whether the database still has the name in the settings.
    fn is_in_place(&self) -> bool {
        file_id(&self.0.path) == Some(self.0.opened[0])
    }

    /// Returns which of the WAL and the shared memory has lost its name, and how.
    fn missing(&self) -> Option<Distrust> {
        let Shared { names, opened, .. } = &*self.0;
        let mut removed = None;
        let mut is_in_use = false;
        for (name, opened) in names.iter().zip(opened).skip(1) {
            match fs::metadata(name) {
                Ok(file) if (file.dev(), file.ino()) == *opened => continue,
                // A command that failed to open the database leaves empty files.
                Ok(file) => {
                    is_in_use |= file.len() > 0 || !locks::holders(self.0.opened[0]).is_empty()
                }
                Err(_) => {}
            }
            removed = Some(name.display().to_string());
        }
        let path = removed?;
        Some(if is_in_use {
            Distrust::Replaced(path)
        } else {
            Distrust::Removed(path)
        })
    }

    /// Checks what [`Self::check`] does, and that no write has failed since the WAL was last copied
    /// into the database.
    pub(super) fn confirm(&self) -> Result<(), StoreError> {
        self.check()?;
        if faults::wal_doubt().is_some() {
            return Err(StoreError::WalInDoubt);
        }
        Ok(())
    }

    /// After a failed write or flush, copies the whole WAL into the database. Until that has
    /// succeeded nothing is acknowledged: what is in the WAL may not be on the disk, and a later
    /// flush that succeeds would not tell.
    ///
    /// # Errors
    /// It failed, or a reader keeps it from being complete. After a while the server's own readers
    /// are ended, so it then succeeds unless another process reads.
    pub(super) async fn recover(&self) -> Result<(), StoreError> {
        self.check()?;
        if faults::wal_doubt().is_none() {
            return Ok(());
        }
        let mut anchor = self.0.anchor.lock().await;
        // Another task may have done it. An error that comes from here on is another doubt.
        let Some(doubt) = faults::wal_doubt() else {
            return Ok(());
        };
        let connection = anchor.as_mut().ok_or(StoreError::WalInDoubt)?;
        if self.try_copy(connection).await? {
            faults::settle(doubt);
            return Ok(());
        }
        Err(StoreError::WalInDoubt)
    }

    /// Copies the WAL into the database if nothing prevents it at once. Returns whether it did.
    pub(super) async fn copy_now(&self) -> Result<bool, StoreError> {
        let mut anchor = self.0.anchor.lock().await;
        match anchor.as_mut() {
            Some(connection) => copy_wal(connection).await,
            None => Ok(false),
        }
    }

    /// Tries to copy the WAL into the database and to empty it, at most once in [`TRY_EVERY`].
    /// Returns false if a reader or a writer prevented it.
    async fn try_copy(&self, connection: &mut SqliteConnection) -> Result<bool, StoreError> {
        let last = self.tries().last;
        if let Some(last) = last {
            sleep_until(last + TRY_EVERY).await;
        }
        self.tries().last = Some(Instant::now());
        if copy_wal(connection).await? {
            *self.tries() = Tries::default();
            self.0.ends_readers.store(false, Ordering::Relaxed);
            return Ok(true);
        }
        let mut tries = self.tries();
        let since = *tries.blocked_since.get_or_insert_with(Instant::now);
        if since.elapsed() < PATIENCE {
            return Ok(false);
        }
        self.0.ends_readers.store(true, Ordering::Relaxed);
        if !tries.is_logged {
            tries.is_logged = true;
            error!(
                processes = locks::holders(self.0.opened[2]).join(", "),
                "another process keeps the WAL from being copied into the database; nothing is acknowledged before it ends"
            );
        }
        Ok(false)
    }

    fn tries(&self) -> MutexGuard<'_, Tries> {
        self.0.tries.lock().expect("nothing panics under this lock")
    }

    /// A flag that ends the statements of the pool `read` while it is set.
    pub(super) fn ends_readers(&self) -> Arc<AtomicBool> {
        self.0.ends_readers.clone()
    }

    /// If the WAL or the shared memory was removed, copies the WAL, which this process still has
    /// open, into the database. Returns whether that was done now.
    pub(super) async fn rescue(&self) -> Result<bool, StoreError> {
        let is_removed = matches!(self.lost(), Some(Distrust::Removed(_)));
        if !is_removed || self.0.is_rescued.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let mut anchor = self.0.anchor.lock().await;
        let connection = anchor.as_mut().ok_or(StoreError::WalInDoubt)?;
        if let Some(Distrust::Replaced(path)) = self.missing() {
            // Another program has begun with a WAL of its own.
            self.lose(Distrust::Replaced(path));
            return Ok(false);
        }
        if !self.try_copy(connection).await? {
            return Err(StoreError::WalInDoubt);
        }
        self.0.is_rescued.store(true, Ordering::Relaxed);
        Ok(true)
    }

    /// Closes the connection that keeps the WAL, after all others.
    ///
    /// SQLite deletes the WAL with the last connection, by its name. If the name is no longer that
    /// of the open WAL, the connection stays open until the process ends, because another program
    /// may use the name.
    pub(super) async fn close(&self) {
        let Some(mut connection) = self.0.anchor.lock().await.take() else {
            return;
        };
        let is_rescued = self.0.is_rescued.load(Ordering::Relaxed);
        match (self.lost(), self.missing()) {
            (None, None) => {
                if !self.is_in_place() {
                    // SQLite does not copy the WAL of a file that was renamed when it closes it.
                    let _ = copy_wal(&mut connection).await;
                }
                drop(connection.close().await);
            }
            (_, Some(Distrust::Removed(_))) if !is_rescued => {
                if !matches!(copy_wal(&mut connection).await, Ok(true)) {
                    self.keep_wal();
                }
                std::mem::forget(connection);
            }
            _ => std::mem::forget(connection),
        }
    }

    fn lost(&self) -> Option<Distrust> {
        let lost = self.0.lost.lock().expect("nothing panics under this lock");
        lost.clone()
    }

    /// Notes why nothing is acknowledged any more, and says it once.
    fn lose(&self, distrust: Distrust) -> StoreError {
        let mut lost = self.0.lost.lock().expect("nothing panics under this lock");
        if lost.as_ref() != Some(&distrust) {
            error!("{distrust}");
            if let Distrust::Replaced(_) = distrust {
                self.keep_wal();
            }
            *lost = Some(distrust.clone());
        }
        StoreError::Distrusted(distrust)
    }

    /// Returns the number of names that the database has now.
    pub(super) fn links(&self) -> u64 {
        fs::metadata(&self.0.path).map_or(1, |file| file.nlink())
    }

    /// Whether the files are in memory.
    pub(super) fn are_volatile(&self) -> bool {
        place::is_volatile(&self.0.path)
    }

    /// Copies the WAL that this process has open, and that has no name any more, to a file beside
    /// the database.
    fn keep_wal(&self) {
        let kept = beside(&self.0.names[0], &format!("{KEPT}{}", process::id()));
        match copy_open_file(self.0.opened[1], &kept) {
            Ok(()) => warn!("what the WAL held is kept in {}", kept.display()),
            Err(error) => error!("cannot keep the WAL in {}: {error}", kept.display()),
        }
    }
}

/// Copies the WAL into the database and empties it. Returns false if a reader or a writer of
/// another process prevented that for as long as SQLite waits.
async fn copy_wal(connection: &mut SqliteConnection) -> Result<bool, StoreError> {
    let (busy, _, _): (i64, i64, i64) = sqlx::query_as("pragma wal_checkpoint(truncate)")
        .fetch_one(connection)
        .await?;
    Ok(busy == 0)
}

/// Copies a file that this process has open, by the name that Linux gives to open files.
fn copy_open_file(opened: FileId, to: &Path) -> io::Result<()> {
    let own = fs::read_dir(format!("/proc/{}/fd", process::id()))?;
    let mut paths = own.flatten().map(|entry| entry.path());
    let path = paths
        .find(|path| file_id(path) == Some(opened))
        .ok_or(io::ErrorKind::NotFound)?;
    let mut options = OpenOptions::new();
    let options = options.write(true).create_new(true).mode(0o600);
    let mut kept = options.open(to)?;
    io::copy(&mut File::open(path)?, &mut kept)?;
    kept.sync_all()
}
