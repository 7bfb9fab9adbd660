//! Where a database file is, and what kind of file it is. Some places lose what was committed.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::store::OpenError;

/// The `application_id` of a backup, `Bbak` in ASCII. A database has 0.
const BACKUP: u32 = 1_113_743_723;

/// Marks a file as a backup.
pub(in crate::store) const MARK: &str = "pragma application_id = 1113743723";

/// Makes a restored backup a database.
pub(in crate::store) const UNMARK: &str = "pragma application_id = 0";

/// The bytes of SQLite's header that hold the `application_id`, big-endian.
const APPLICATION_ID: std::ops::Range<usize> = 68..72;

/// Returns whether a file is a backup that `billables backup` wrote.
///
/// It reads the file itself, because SQLite would read the first page from a WAL that another
/// database left. No connection of this process may have the file open.
fn is_backup(path: &Path) -> bool {
    let mut header = [0; 100];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut header));
    read.is_ok() && header[APPLICATION_ID] == BACKUP.to_be_bytes()
}

/// Refuses a backup, which only `billables restore` may put in place.
pub(in crate::store) fn refuse_backup(path: &Path, label: &str) -> Result<(), OpenError> {
    if is_backup(path) {
        return Err(OpenError::IsBackup(label.to_owned()));
    }
    Ok(())
}

/// Refuses a file with a second name or that is mounted by itself: the WAL beside one name is not
/// beside the other, so what is committed under one is missing under the other.
pub(super) fn check(path: &Path, label: &str) -> Result<(), OpenError> {
    // If there is no file, connecting reports why.
    let Ok(file) = fs::metadata(path) else {
        return Ok(());
    };
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
