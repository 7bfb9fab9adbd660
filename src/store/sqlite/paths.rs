//! The names of SQLite's files, and which files they are.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// A file's device and inode numbers, which identify it regardless of its name.
pub(super) type FileId = (u64, u64);

/// The files that SQLite keeps beside the database, by the end of their names.
pub(super) const BESIDE: [&str; 2] = ["-wal", "-shm"];

/// The end of the name of a WAL that was kept, before the id of the process that kept it.
pub(super) const KEPT: &str = "-wal-kept-";

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

/// Reads bytes of an open file.
pub(super) fn read_at<const N: usize>(file: &File, offset: u64) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    file.read_exact_at(&mut bytes, offset).ok()?;
    Some(bytes)
}
