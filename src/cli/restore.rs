//! `billables restore`: copies a backup to the database's path, where no database may exist,
//! and gives its log a new epoch.
//!
//! A restored log continues from an earlier state, so positions that were already assigned will be
//! assigned to other entries. With a new epoch, a request with an earlier cursor gets
//! `410 CursorGone`. The key that seals cursors is kept, so that earlier cursors can still be told
//! from forged ones.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::atomic_file::{AtomicFile, with_suffix};
use super::{Failure, open_log, token};
use crate::billable::Timestamp;
use crate::issuing::{readable, token_record};
use crate::store::{self, Store};

/// The backup to restore.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// SQLite backup to copy to DATABASE_URL, where no database may exist; omit it if the database
    /// was restored by other means, such as pg_restore.
    file: Option<PathBuf>,
}

#[expect(clippy::print_stdout, reason = "the result of the command")]
pub(super) async fn run(url: &str, args: Args) -> Result<(), Failure> {
    let database = Store::file(url)?;
    match (args.file, database) {
        (Some(file), Some(database)) => {
            let held = restore(&file, &database).await?;
            println!(
                "restored {} entries, up to position {}; the log has the new epoch {}",
                held.entries, held.head, held.log.epoch
            );
            let (store, _) = open_log(url).await?;
            print!("{}", live_tokens(&store).await?);
            store.close().await;
        }
        (Some(_), None) => {
            return Err(Failure::Usage(
                "PostgreSQL is restored with its own tools: run pg_restore --exit-on-error --no-owner \
                 --dbname=\"$DATABASE_URL\" FILE into an empty database, then `billables restore` without FILE"
                    .to_owned(),
            ));
        }
        (None, _) => {
            let (store, _) = open_log(url).await?;
            let epoch = store.log_renew().await?;
            println!("the log has the new epoch {epoch}");
            print!("{}", live_tokens(&store).await?);
            store.close().await;
        }
    }
    Ok(())
}

/// Lists the tokens that are valid: those that were revoked after the backup are among them.
async fn live_tokens(store: &Store) -> Result<String, Failure> {
    let now = Timestamp::now();
    let mut tokens = readable(store).await?;
    tokens.retain(|token| !token.has_expired(now));
    if tokens.is_empty() {
        return Ok("no token is valid in this database\n".to_owned());
    }
    let tokens: Vec<_> = tokens
        .iter()
        .map(token_record)
        .map(token::json_of)
        .collect();
    Ok(format!(
        "these tokens are valid, also if they were revoked after the backup; revoke those again with `billables token revoke ID`:\n{}",
        token::tokens_table(&tokens)
    ))
}

/// Copies a backup to the database's path, where no database may exist, checks the copy, and gives
/// its log a new epoch.
async fn restore(file: &Path, database: &Path) -> Result<store::FileContents, Failure> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let path = with_suffix(database, suffix);
        if path.symlink_metadata().is_ok() {
            return Err(Failure::Failed(format!(
                "{} already exists: stop the server and move the database's files away first",
                path.display()
            )));
        }
    }
    let rest = with_suffix(file, "-wal");
    if fs::metadata(&rest).is_ok_and(|rest| rest.len() > 0) {
        return Err(Failure::Failed(format!(
            "{} is a database in use and not a backup: part of it is in {}",
            file.display(),
            rest.display()
        )));
    }
    let partial = AtomicFile::beside(database)?;
    let copied = File::open(file).and_then(|mut from| io::copy(&mut from, &mut partial.file()));
    copied.map_err(|error| {
        Failure::Failed(format!(
            "cannot copy {} to {}: {error}",
            file.display(),
            partial.path().display()
        ))
    })?;
    let held = store::file_check_and_renew(partial.path(), file).await?;
    partial.persist_new(database)?;
    Ok(held)
}
