//! Which other processes have a file locked, as far as the system tells.

use std::fs;
use std::process;

use super::paths::FileId;

/// How often the list is read before it counts as one without a holder: the kernel leaves out a
/// lock if the list changes while it is read.
const READS: usize = 5;

/// Returns the other processes that hold a lock on a file, each with its id and name. It may miss
/// some: other systems than Linux do not list them, and neither does a container list those of
/// others.
pub(super) fn holders(file: FileId) -> Vec<String> {
    let mut found = (0..READS).map(|_| listed_holders(file));
    found
        .find(|holders| !holders.is_empty())
        .unwrap_or_default()
}

fn listed_holders(file: FileId) -> Vec<String> {
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    let own = process::id().to_string();
    let inode = file.1.to_string();
    let mut holders: Vec<_> = locks
        .lines()
        .filter_map(|line| {
            // Number, class, mode, access, process, device and inode, first and last byte.
            let mut words = line.split_whitespace().skip(4);
            let (process, file_of_lock) = (words.next()?, words.next()?);
            let is_other = process != own && file_of_lock.rsplit(':').next()? == inode;
            is_other.then(|| {
                let name = fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
                format!("{process} {}", name.trim_end())
            })
        })
        .collect();
    holders.sort();
    holders.dedup();
    holders
}
