//! Writes a file under a temporary name. The file gets its final name once it is complete and
//! flushed, so that a partial file is never taken for a complete one.
//!
//! Only the owner may read it. It is always created, so that nothing is written through a link that
//! somebody else made. What a killed process left is removed by the next one.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::Failure;
use crate::token::random_bytes;

/// The names of incomplete files: the final name, this, eight random digits and [`PARTIAL`].
const MARK: &str = ".billables-";
const PARTIAL: &str = ".partial";

/// An incomplete file. Dropping it removes the file.
#[derive(Debug)]
pub(super) struct AtomicFile {
    path: PathBuf,
    /// Locked for as long as this process writes the file.
    file: File,
}

impl AtomicFile {
    /// Creates a file under a temporary name in the directory of its final path.
    pub(super) fn beside(path: &Path) -> Result<Self, Failure> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        if name.is_empty() || path.is_dir() {
            let reason = format!("{} does not name a file", path.display());
            return Err(Failure::Usage(reason));
        }
        let existing = path.symlink_metadata();
        if existing.is_ok_and(|existing| !existing.is_file() && !existing.is_symlink()) {
            let reason = format!("{} is not a file that can be replaced", path.display());
            return Err(Failure::Usage(reason));
        }
        remove_abandoned(path);
        let random = random_bytes::<4>()
            .map_err(|error| Failure::Failed(format!("cannot get random bytes: {error}")))?;
        let random = u32::from_be_bytes(random);
        name.push(format!("{MARK}{random:08x}{PARTIAL}"));
        let partial = path.with_file_name(name);
        let file = create(&partial).map_err(failed(&partial))?;
        Ok(Self {
            path: partial,
            file,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The file, to write to it.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Moves the file to its final path, replacing any file there.
    pub(super) fn replace(self, path: &Path) -> Result<(), Failure> {
        self.flush()
            .and_then(|()| fs::rename(&self.path, path))
            .and_then(|()| sync_directory(path))
            .map_err(failed(path))
    }

    /// Links the file to its final path, then removes the temporary path. Fails if the final path
    /// exists.
    pub(super) fn persist_new(self, path: &Path) -> Result<(), Failure> {
        self.flush()
            .and_then(|()| fs::hard_link(&self.path, path))
            .and_then(|()| sync_directory(path))
            .map_err(failed(path))
    }

    fn flush(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// Creates a file that only the owner may read, and locks it.
fn create(path: &Path) -> io::Result<File> {
    loop {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create_new(true).mode(0o600);
        let file = options.open(path)?;
        // Where files cannot be locked, none is taken for abandoned.
        let _ = file.lock();
        // Another process may have taken it for abandoned before it was locked.
        if file.metadata()?.nlink() > 0 {
            return Ok(file);
        }
    }
}

/// Removes the incomplete files for this path that no process has locked: their processes were
/// killed.
fn remove_abandoned(path: &Path) {
    let (Some(name), Some(parent)) = (path.file_name(), path.parent()) else {
        return;
    };
    let parent = if parent == Path::new("") {
        Path::new(".")
    } else {
        parent
    };
    let start = format!("{}{MARK}", name.to_string_lossy());
    for sibling in fs::read_dir(parent).into_iter().flatten().flatten() {
        let sibling_name = sibling.file_name();
        let is_partial = sibling_name.to_str().is_some_and(|sibling| {
            let id = sibling
                .strip_prefix(&start)
                .and_then(|rest| rest.strip_suffix(PARTIAL));
            id.is_some_and(|id| id.len() == 8 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
        });
        let is_file = sibling.file_type().is_ok_and(|kind| kind.is_file());
        if is_partial
            && is_file
            && let Ok(file) = File::open(sibling.path())
            && file.try_lock().is_ok()
        {
            remove(&sibling.path());
        }
    }
}

/// Removes a file, and those that SQLite may have put beside it.
fn remove(path: &Path) {
    for suffix in ["", "-journal", "-wal", "-shm"] {
        let _ = fs::remove_file(with_suffix(path, suffix));
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
