//! `billables backup`: writes a consistent copy of an SQLite database, while a server may
//! be running.

use std::fs;
use std::path::PathBuf;

use tokio::signal::unix::{SignalKind, signal};

use super::Failure;
use super::atomic_file::{AtomicFile, failed};
use crate::store::{self, Store};

/// Where to write the backup.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// File to write; it must not exist.
    file: PathBuf,
}

#[expect(clippy::print_stdout, reason = "the result of the command")]
pub(super) async fn run(url: &str, args: Args) -> Result<(), Failure> {
    let Some(database) = Store::file(url)? else {
        return Err(Failure::Usage(
            "PostgreSQL is backed up with its own tools, even while a server is running: \
             pg_dump --format=custom --file=FILE \"$DATABASE_URL\""
                .to_owned(),
        ));
    };
    let partial = AtomicFile::beside(&args.file)?;
    if args.file.symlink_metadata().is_ok() {
        let reason = format!("{} already exists", args.file.display());
        return Err(Failure::Failed(reason));
    }
    // The backup holds everything that the database does, so it gets the same permissions.
    let readers = fs::metadata(&database)
        .map_err(|error| Failure::Failed(format!("cannot read {}: {error}", database.display())))?;
    partial
        .file()
        .set_permissions(readers.permissions())
        .map_err(failed(partial.path()))?;
    let held = tokio::select! {
        copied = store::file_copy(&database, partial.path()) => copied?,
        () = interrupted() => return Err(Failure::Failed("interrupted".to_owned())),
    };
    partial.persist_new(&args.file)?;
    println!(
        "backed up {} entries of the log {}, up to position {}",
        held.entries, held.log.epoch, held.head
    );
    Ok(())
}

/// Waits for SIGTERM or SIGINT: a copy takes a while, and an interrupted one must leave no file.
async fn interrupted() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
