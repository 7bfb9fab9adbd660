//! `billables clock`: shows whether this machine's clock is plausible, and accepts it after a report
//! was recorded at a wrong time.

use tracing::warn;

use super::{Failure, open_log};
use crate::api::{check_clock, is_after_commit};
use crate::billable::Timestamp;
use crate::store::ClockReference;

/// What to do about the clock.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Args {
    /// Accept this machine's clock, although a report was recorded later than now.
    ///
    /// Use it after the clock was ahead. Running servers store reports again within a second.
    #[arg(long)]
    accept: bool,
}

#[expect(clippy::print_stdout, reason = "the result of the command")]
pub(super) async fn run(url: &str, args: Args) -> Result<(), Failure> {
    let (store, _) = open_log(url).await?;
    let now = Timestamp::now();
    println!("this machine's clock: {now}");
    let (reference, fault) = check_clock(&store, now).await?;
    match reference {
        ClockReference::Now(database) => println!("the database's clock: {database}"),
        ClockReference::Latest(Some(latest)) => {
            println!("the latest report was recorded: {latest}")
        }
        ClockReference::Latest(None) => println!("no report was recorded yet"),
    }
    if args.accept {
        if !is_after_commit(now) {
            return Err(Failure::Failed(
                "this machine's clock is before the program was written: set it".to_owned(),
            ));
        }
        if !store.clock_accept(now).await? {
            return Err(Failure::Usage(
                "PostgreSQL has a clock of its own: set the clocks of both machines".to_owned(),
            ));
        }
        warn!(clock = %now, was = ?reference, "this machine's clock was accepted");
        println!("accepted");
    }
    store.close().await;
    match fault {
        Some(fault) if !args.accept => Err(Failure::Failed(format!(
            "the clock is implausible: {fault}"
        ))),
        _ => Ok(()),
    }
}
