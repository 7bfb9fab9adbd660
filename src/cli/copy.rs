//! `billables copy`: copies a whole log to another database.
//!
//! The target first takes over the log's epoch, then the cursor key, the tokens and the sessions,
//! then each partition's entries in the order of their positions, and finally the heads. An
//! interrupted copy can be resumed.

use super::progress::Progress;
use super::{Failure, open_log, open_or_create};
use crate::store::{AccountFilter, LogInfo, PositionRange, Store};

/// Entries per transaction.
const COPY_BATCH: u32 = 5000;

/// The databases to copy from and to.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// URL of the database that has the log.
    from: String,
    /// URL of an empty database or of an interrupted copy; no server may be running on it.
    to: String,
}

#[expect(clippy::print_stdout, reason = "the result of the command")]
pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let (from, _) = open_log(&args.from).await?;
    let to = open_or_create(&args.to).await?;
    let Some((log, made_at)) = from.log_find().await? else {
        return Err(refused("there is no log to copy"));
    };
    if to.is_embedded() && log.partitions != 1 {
        return Err(refused(
            "a log on SQLite has one partition, but this log has more",
        ));
    }
    let heads = from.heads(log).await?;
    let is_done = match to.log_find().await? {
        Some((known, _)) if known == log => is_finished(&to, log, &heads).await?,
        _ if to.log_is_empty().await? => {
            to.log_adopt(log, made_at).await?;
            false
        }
        _ => {
            return Err(refused(
                "the target database already has another log, which is not empty",
            ));
        }
    };
    if !is_done {
        to.secrets_copy(&from).await?;
        to.sessions_copy(&from, log).await?;
        copy_entries(&from, &to, &heads).await?;
    }
    let (copied, expected) = (to.entries_count().await?, from.entries_count().await?);
    if from.heads(log).await? != heads {
        return Err(refused(
            "the log has grown during the copy: stop its server and copy again, which resumes from here",
        ));
    }
    if copied != expected {
        return Err(Failure::Failed(format!(
            "the copy has {copied} entries instead of {expected}: copy the log again, to an empty database"
        )));
    }
    if !is_done {
        to.heads_set(&heads).await?;
    }
    from.close().await;
    to.close().await;
    println!("copied {copied} entries of the log {}", log.epoch);
    Ok(())
}

/// Returns whether a copy is finished, that is, has the heads of the original. An interrupted copy
/// has all heads at 0. Any other heads mean that one of the two has been written to.
async fn is_finished(to: &Store, log: LogInfo, heads: &[i64]) -> Result<bool, Failure> {
    let there = to.heads(log).await?;
    if there.iter().all(|head| *head == 0) {
        return Ok(false);
    }
    if there == heads {
        Ok(true)
    } else {
        Err(refused(
            "the target database is a finished copy, and one of the two has been written to since",
        ))
    }
}

async fn copy_entries(from: &Store, to: &Store, heads: &[i64]) -> Result<(), Failure> {
    let total: i64 = heads.iter().sum();
    let mut progress = Progress::new("copying", Some(total.unsigned_abs()));
    let (mut before, mut rows) = (0, 0);
    for (partition, until) in (0_u32..).zip(heads) {
        let mut after = to.entries_last(partition).await?;
        loop {
            let range = PositionRange {
                partition,
                after,
                filter: AccountFilter::All,
                limit: COPY_BATCH,
            };
            let mut entries = from.entries_after(range).await?;
            entries.retain(|log_entry| log_entry.position <= *until);
            let Some(last) = entries.last() else {
                break;
            };
            after = last.position;
            rows += entries.len() as u64;
            to.entries_import(&entries).await?;
            progress.at((before + after).unsigned_abs(), rows);
        }
        before += until;
    }
    Ok(())
}

fn refused(reason: &str) -> Failure {
    Failure::Failed(reason.to_owned())
}
