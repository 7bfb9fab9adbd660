//! `billables rebuild-totals`: rebuilds the totals from the log.

use super::{Failure, open_log};
use crate::totals;

#[expect(clippy::print_stdout, reason = "the result of the command")]
pub(super) async fn run(url: &str) -> Result<(), Failure> {
    let (store, log) = open_log(url).await?;
    totals::rebuild(&store, log).await?;
    store.close().await;
    println!("rebuilt the totals of {} partition(s)", log.partitions);
    Ok(())
}
