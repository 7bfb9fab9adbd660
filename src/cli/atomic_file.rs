//! Writes a file under a temporary name. The file gets its final name once it is complete and
//! flushed, so that a partial file is never taken for a complete one.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::Failure;

/// The temporary path of an incomplete file. Dropping it removes the file.
pub(super) struct AtomicFile(PathBuf);

impl AtomicFile {
    /// Chooses a temporary path in the directory of the file's final path.
    pub(super) fn beside(path: &Path) -> Result<Self, Failure> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        if name.is_empty() || path.is_dir() {
            let reason = format!("{} does not name a file", path.display());
            return Err(Failure::Usage(reason));
        }
        name.push(format!(".{}.partial", std::process::id()));
        Ok(Self(path.with_file_name(name)))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Moves the file to its final path, replacing any file there.
    pub(super) fn replace(self, path: &Path) -> Result<(), Failure> {
        self.flush()
            .and_then(|()| fs::rename(&self.0, path))
            .and_then(|()| sync_directory(path))
            .map_err(failed(path))
    }

    /// Links the file to its final path, then removes the temporary path. Fails if the final path
    /// exists.
    pub(super) fn persist_new(self, path: &Path) -> Result<(), Failure> {
        self.flush()
            .and_then(|()| fs::hard_link(&self.0, path))
            .and_then(|()| sync_directory(path))
            .map_err(failed(path))
    }

    fn flush(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        // Also removes the files that SQLite may have put beside it.
        for suffix in ["", "-journal", "-wal", "-shm"] {
            let _ = fs::remove_file(with_suffix(&self.0, suffix));
        }
    }
}

/// Appends a suffix to the file name of a path.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// Returns the failure to write a file.
pub(super) fn failed(path: &Path) -> impl Fn(io::Error) -> Failure {
    move |error| Failure::Failed(format!("cannot write {}: {error}", path.display()))
}

fn sync_directory(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}
