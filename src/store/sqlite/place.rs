//! Where a database file is, and what kind of file it is. Some places lose what was committed.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

#[cfg(target_os = "linux")]
use rustix::fs::Access;

use super::locks;
use super::paths::{BESIDE, KEPT, beside, file_id, read_at};
use crate::store::OpenError;

/// The `application_id` of a backup, `Bbak` in ASCII. A database has 0.
const BACKUP: u32 = 1_113_743_723;

/// Marks a file as a backup.
pub(in crate::store) const MARK: &str = "pragma application_id = 1113743723";

/// Makes a restored backup a database.
pub(in crate::store) const UNMARK: &str = "pragma application_id = 0";

/// The place of the `application_id` in SQLite's header, where it is big-endian.
const APPLICATION_ID: u64 = 68;

/// The place of the byte in SQLite's header that says how the file is written, and its value in WAL
/// mode.
const WRITE_VERSION: u64 = 18;
const WAL_MODE: u8 = 2;

/// Returns whether a file is a backup that `billables backup` wrote.
///
/// It reads the file itself, because SQLite would read the first page from a WAL that another
/// database left.
pub(super) fn is_backup(file: &File) -> bool {
    read_at(file, APPLICATION_ID) == Some(BACKUP.to_be_bytes())
}

/// Opens an existing file that is to be a database. The handle must be open for as long as SQLite
/// has the file open.
///
/// # Errors
/// There is no database, but a WAL that belongs to one; or the file is a backup; or another process
/// has it open under another name. `Ok(None)` if there is no file, or an empty one.
pub(in crate::store) fn open(path: &Path, label: &str) -> Result<Option<File>, OpenError> {
    let resolved = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    // Looked for first: a process that creates a database writes to it before it makes a WAL.
    let rest = BESIDE.map(|suffix| beside(&resolved, suffix));
    let rest = rest.iter().find(|file| file.exists());
    let file = File::open(path).ok();
    let size = file.as_ref().and_then(|file| file.metadata().ok());
    let Some(file) = file.filter(|_| size.is_some_and(|file| file.len() > 0)) else {
        return match rest {
            None => Ok(None),
            Some(rest) => Err(OpenError::Orphan {
                label: label.to_owned(),
                rest: rest.display().to_string(),
            }),
        };
    };
    if is_backup(&file) {
        return Err(OpenError::IsBackup(label.to_owned()));
    }
    if let Some(kept) = kept_wal(&resolved) {
        return Err(OpenError::KeptWal {
            label: label.to_owned(),
            kept,
        });
    }
    Ok(Some(file))
}

/// Returns why SQLite cannot open or create a database, as far as this is known: SQLite itself says
/// only that it cannot.
#[cfg(not(target_os = "linux"))]
pub(super) fn obstacle(_: &Path) -> Option<String> {
    None
}

/// Returns why SQLite cannot open or create a database, if the operating system does not allow it:
/// SQLite itself says only that it cannot.
#[cfg(target_os = "linux")]
pub(super) fn obstacle(path: &Path) -> Option<String> {
    let user = user();
    let resolved = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let directory = match resolved.parent() {
        Some(directory) if directory != Path::new("") => directory,
        _ => Path::new("."),
    };
    let listed = directory.display();
    if let Err(error) = fs::metadata(directory) {
        return Some(format!("its directory {listed} cannot be used: {error}"));
    }
    if path.exists()
        && let Err(error) = may(path, Access::READ_OK | Access::WRITE_OK)
    {
        return Some(format!("{user} may not read and write it: {error}"));
    }
    let error = may(directory, Access::WRITE_OK | Access::EXEC_OK).err()?;
    Some(format!(
        "{user} may not create files in its directory {listed}, which SQLite needs: {error}"
    ))
}

/// Asks the operating system without opening the file, because closing it would drop SQLite's
/// locks.
#[cfg(target_os = "linux")]
fn may(path: &Path, access: Access) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD, accessat};
    Ok(accessat(CWD, path, access, AtFlags::EACCESS)?)
}

/// Names the user of this process.
#[cfg(target_os = "linux")]
fn user() -> String {
    let id = fs::metadata("/proc/self").map_or(0, |process| process.uid());
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut cells = line.split(':');
        let (name, number) = (cells.next()?, cells.nth(1)?);
        (number == id.to_string()).then(|| name.to_owned())
    });
    match name {
        Some(name) => format!("the user {name}"),
        None => format!("the user with the id {id}"),
    }
}

/// Returns the name of a WAL that a server kept because it could not copy it into the database.
fn kept_wal(database: &Path) -> Option<String> {
    let start = beside(database, KEPT);
    let start = start.to_str()?;
    let siblings = fs::read_dir(database.parent()?).ok()?;
    let mut names = siblings
        .flatten()
        .map(|sibling| sibling.path().display().to_string());
    names.find(|name| name.starts_with(start))
}

/// Returns the other processes that have the database open, if there is no WAL beside it: they have
/// one under another name.
pub(super) fn detached_users(path: &Path, file: &File) -> Vec<String> {
    let resolved = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let is_in_wal_mode = read_at(file, WRITE_VERSION) == Some([WAL_MODE]);
    match file_id(path) {
        Some(id) if is_in_wal_mode && !beside(&resolved, "-wal").exists() => locks::holders(id),
        _ => Vec::new(),
    }
}

/// Refuses a file with a second name or that is mounted by itself: the WAL beside one name is not
/// beside the other, so what is committed under one is missing under the other.
pub(super) fn check(path: &Path, label: &str) -> Result<(), OpenError> {
    // If there is no file, connecting reports why.
    let Ok(file) = fs::metadata(path) else {
        return Ok(());
    };
    if file.is_dir() {
        return Err(OpenError::File {
            label: label.to_owned(),
            reason: "it is a directory".to_owned(),
        });
    }
    let not_durable = |setting: String, remedy| {
        Err(OpenError::NotDurable {
            label: label.to_owned(),
            setting,
            remedy,
        })
    };
    if file.nlink() > 1 {
        return not_durable(
            format!("it has {} names (hard links)", file.nlink()),
            "remove the others",
        );
    }
    if is_mount_root(path).unwrap_or_default() {
        return not_durable(
            "it is mounted as a single file".to_owned(),
            "mount its directory, because SQLite keeps what is committed in a second file there",
        );
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn is_mount_root(path: &Path) -> io::Result<bool> {
    use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
    let file = statx(CWD, path, AtFlags::empty(), StatxFlags::BASIC_STATS)?;
    Ok(file.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

#[cfg(not(target_os = "linux"))]
fn is_mount_root(_: &Path) -> io::Result<bool> {
    Ok(false)
}

/// Returns whether a file is in memory, which a restart of the machine empties.
#[cfg(target_os = "linux")]
pub(super) fn is_volatile(path: &Path) -> bool {
    /// tmpfs and ramfs, as in Linux's `magic.h`.
    const IN_MEMORY: [i128; 2] = [0x0102_1994, 0x8584_58f6];
    rustix::fs::statfs(path).is_ok_and(|system| IN_MEMORY.contains(&i128::from(system.f_type)))
}

/// Returns whether a file is in memory, as far as this is known.
#[cfg(not(target_os = "linux"))]
pub(super) fn is_volatile(_: &Path) -> bool {
    false
}
