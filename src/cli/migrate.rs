//! `billables migrate`: migrates the database schema and creates the log.

use super::{Failure, open_or_create};
use crate::billable::Timestamp;
use crate::billable::entry::MAX_PARTITIONS;

/// How to create the log.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Args {
    /// Number of partitions of a new log, from 1 to 256; 1 if omitted, and fixed once the log
    /// exists.
    ///
    /// More than one is for PostgreSQL on many cores, and for Citus.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_PARTITIONS)))]
    partitions: Option<u32>,
}

#[expect(clippy::print_stdout, reason = "the result of the command")]
pub(super) async fn run(url: &str, args: Args) -> Result<(), Failure> {
    let store = open_or_create(url).await?;
    let log = store.log_prepare(args.partitions, Timestamp::now()).await?;
    store.close().await;
    println!(
        "the log has the epoch {} and {} partition(s)",
        log.epoch, log.partitions
    );
    Ok(())
}
