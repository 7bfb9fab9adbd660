//! A file that is not whole yet, under a name beside its own that says so. It gets its name when
//! it is whole and flushed, so that nobody takes a part for the whole.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::Failure;

/// The name of a file that is not whole yet. Dropped, there is nothing of that name.
pub(super) struct AtomicFile(PathBuf);

impl AtomicFile {
    /// The name beside the one that the file will have.
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

    /// Puts the file where it belongs, over whatever has the name.
    pub(super) fn replace(self, path: &Path) -> Result<(), Failure> {
        self.flush()
            .and_then(|()| fs::rename(&self.0, path))
            .and_then(|()| flush_name(path))
            .map_err(failed(path))
    }

    /// Puts the file where it belongs, if nothing has the name: two names, then one.
    pub(super) fn persist_new(self, path: &Path) -> Result<(), Failure> {
        self.flush()
            .and_then(|()| fs::hard_link(&self.0, path))
            .and_then(|()| flush_name(path))
            .map_err(failed(path))
    }

    fn flush(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        // What SQLite may have put beside it too.
        for suffix in ["", "-journal", "-wal", "-shm"] {
            let _ = fs::remove_file(with_suffix(&self.0, suffix));
        }
    }
}

/// A path with something behind its name.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// Why a file could not be written.
pub(super) fn failed(path: &Path) -> impl Fn(io::Error) -> Failure {
    move |error| Failure::Failed(format!("cannot write {}: {error}", path.display()))
}

fn flush_name(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}
