//! Whether what SQLite reports as committed can be relied on.
//!
//! A commit is acknowledged only if the file, its WAL and its shared memory are still the ones that
//! this process opened. Otherwise no other process, and no later start, would see the commit. The
//! files are compared by device and inode, and never opened: closing a file that SQLite has open
//! drops SQLite's locks on it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Error};
use tokio::sync::Mutex;
use tracing::{error, warn};

use super::place;
use crate::store::StoreError;
use crate::store::faults::{self, Distrust};

/// A file's device and inode numbers, which identify it regardless of its name.
type FileId = (u64, u64);

/// The files that SQLite keeps beside the database, by the end of their names.
const BESIDE: [&str; 2] = ["-wal", "-shm"];

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
    /// A connection that lives as long as this. It keeps SQLite from deleting the WAL, and copies
    /// it into the database after an error.
    anchor: Mutex<Option<SqliteConnection>>,
    /// Set once, for the rest of the process's life.
    lost: OnceLock<Distrust>,
    /// Whether the removed WAL was copied into the database.
    is_rescued: AtomicBool,
    /// Whether statements of the pool `read` end with an error, because they keep the WAL from
    /// being copied.
    ends_readers: Arc<AtomicBool>,
}

/// Returns the id of the file that has this name now.
pub(super) fn file_id(path: &Path) -> Option<FileId> {
    let file = fs::metadata(path).ok()?;
    Some((file.dev(), file.ino()))
}

/// Returns the name of a file that SQLite keeps beside the database.
pub(super) fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

impl Files {
    /// Notes the files that `anchor`, which has read from the database, has open.
    ///
    /// # Errors
    /// One of them has been removed in the meantime.
    pub(super) fn begin(path: &Path, anchor: SqliteConnection) -> Result<Self, Error> {
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
            anchor: Mutex::new(Some(anchor)),
            lost: OnceLock::new(),
            is_rescued: AtomicBool::new(false),
            ends_readers: Arc::default(),
        })))
    }

    /// Checks that the files are still the ones that were opened, and that SQLite has found no
    /// damage. After a commit, nothing may be acknowledged before this succeeds.
    ///
    /// # Errors
    /// [`StoreError::Distrusted`], which stays until a restart, or [`StoreError::WrongLog`] while
    /// the database has another name.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        if let Some(reason) = faults::damage() {
            self.lose(Distrust::Damaged(reason));
        }
        if let Some(distrust) = self.0.lost.get() {
            return Err(StoreError::Distrusted(distrust.clone()));
        }
        if file_id(&self.0.path) != Some(self.0.opened[0]) {
            return Err(StoreError::WrongLog);
        }
        match self.missing() {
            None => Ok(()),
            Some(distrust) => {
                self.lose(distrust.clone());
                Err(StoreError::Distrusted(distrust))
            }
        }
    }

    /// Returns which of the WAL and the shared memory has lost its name, and how.
    fn missing(&self) -> Option<Distrust> {
        let Shared { names, opened, .. } = &*self.0;
        let mut removed = None;
        for (name, opened) in names.iter().zip(opened).skip(1) {
            let path = name.display().to_string();
            match file_id(name) {
                Some(found) if found == *opened => {}
                None => removed = Some(Distrust::Removed(path)),
                Some(_) => {
                    let descriptor = descriptor(*opened);
                    return Some(Distrust::Replaced { path, descriptor });
                }
            }
        }
        removed
    }

    /// Checks what [`Self::check`] does, and that no write has failed since the WAL was last copied
    /// into the database.
    pub(super) fn confirm(&self) -> Result<(), StoreError> {
        self.check()?;
        if faults::wal_failed() {
            return Err(StoreError::WalFailed);
        }
        Ok(())
    }

    /// After a failed write or flush, copies the whole WAL into the database. Until that has
    /// succeeded nothing is acknowledged: what is in the WAL may not be on the disk, and a later
    /// flush that succeeds would not tell.
    ///
    /// # Errors
    /// It failed, or a reader keeps it from being complete. The server's own readers are ended, so
    /// the next attempt succeeds unless another process reads.
    pub(super) async fn recover(&self) -> Result<(), StoreError> {
        self.check()?;
        if !faults::wal_failed() {
            return Ok(());
        }
        let mut anchor = self.0.anchor.lock().await;
        let Some(connection) = &mut *anchor else {
            return Err(StoreError::WalFailed);
        };
        // Cleared first, so that an error that comes in the meantime is not forgotten.
        faults::set_wal_failed(false);
        let copied = copy_wal(connection).await;
        if !matches!(copied, Ok(true)) {
            faults::set_wal_failed(true);
        }
        if copied? {
            self.0.ends_readers.store(false, Ordering::Relaxed);
            return Ok(());
        }
        if self.0.ends_readers.swap(true, Ordering::Relaxed) {
            let holders = lock_holders(self.0.opened[2]);
            error!(
                processes = holders,
                "another process reads the database, so that its WAL cannot be copied after an error"
            );
        } else {
            warn!("ending this server's reads, so that the WAL can be copied after an error");
        }
        Err(StoreError::WalFailed)
    }

    /// A flag that ends the statements of the pool `read` while it is set.
    pub(super) fn ends_readers(&self) -> Arc<AtomicBool> {
        self.0.ends_readers.clone()
    }

    /// If the WAL or the shared memory was removed, copies the WAL, which this process still has
    /// open, into the database. Returns whether that was done now.
    pub(super) async fn rescue(&self) -> Result<bool, StoreError> {
        let is_removed = matches!(self.0.lost.get(), Some(Distrust::Removed(_)));
        if !is_removed || self.0.is_rescued.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let mut anchor = self.0.anchor.lock().await;
        let Some(connection) = &mut *anchor else {
            return Ok(false);
        };
        if !copy_wal(connection).await? {
            return Err(StoreError::WalFailed);
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
        match self.0.lost.get().cloned().or_else(|| self.missing()) {
            None => drop(connection.close().await),
            Some(distrust) => {
                if let Distrust::Removed(_) = distrust {
                    let _ = copy_wal(&mut connection).await;
                }
                std::mem::forget(connection);
            }
        }
    }

    fn lose(&self, distrust: Distrust) {
        let message = distrust.to_string();
        if self.0.lost.set(distrust).is_ok() {
            error!("{message}");
        }
    }
}

impl super::Store {
    /// Copies the WAL into the database if a write failed or if its name was removed.
    pub(in crate::store) async fn trust_check(&self) -> Result<(), StoreError> {
        let recovered = self.files.recover().await;
        if self.files.rescue().await? {
            warn!("what the removed file held is in the database now: restart the server");
            self.close_pools().await;
        }
        recovered
    }

    /// Returns the number of names that the file has now.
    pub(in crate::store) fn file_links(&self) -> u64 {
        fs::metadata(&self.files.0.path).map_or(1, |file| file.nlink())
    }

    /// Whether the file is in memory.
    pub(in crate::store) fn is_volatile(&self) -> bool {
        place::is_volatile(&self.files.0.path)
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

/// Returns the name under which an open file of this process can still be read.
fn descriptor(opened: FileId) -> String {
    let own = format!("/proc/{}/fd", process::id());
    let found = fs::read_dir(&own).ok().and_then(|entries| {
        let mut paths = entries.flatten().map(|entry| entry.path());
        paths.find(|path| file_id(path) == Some(opened))
    });
    found.map_or(own, |path| path.display().to_string())
}

/// Returns the other processes that hold a lock on a file, as far as the system tells.
fn lock_holders(file: FileId) -> String {
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    let own = process::id().to_string();
    let mut holders: Vec<String> = locks
        .lines()
        .filter_map(|line| {
            // Number, class, mode, access, process, device and inode, first and last byte.
            let mut words = line.split_whitespace().skip(4);
            let (process, file_of_lock) = (words.next()?, words.next()?);
            let inode = file_of_lock.rsplit(':').next()?;
            let is_other = process != own && inode == file.1.to_string();
            is_other.then(|| {
                let name = fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
                format!("{process} {}", name.trim_end())
            })
        })
        .collect();
    holders.sort();
    holders.dedup();
    if holders.is_empty() {
        "unknown".to_owned()
    } else {
        holders.join(", ")
    }
}
