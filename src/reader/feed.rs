//! The feed: entries in the order of commits within each partition.

use crate::billable::{LogEntry, LogPoint};
use crate::store::{AccountFilter, PositionRange, Store, StoreError};
use crate::token::Accounts;

/// A page of the feed.
#[derive(Debug)]
pub struct FeedPage {
    pub entries: Vec<LogEntry>,
    /// Where to continue in each partition: after the last entry that has been read.
    pub after: Vec<LogPoint>,
}

/// Reads up to `limit` entries at positions above `after` and up to `heads`. An account-limited
/// reader gets the entries that bill or name one of its accounts, and skips the others.
pub async fn read_feed(
    store: &Store,
    accounts: &Accounts,
    after: &[LogPoint],
    heads: &[i64],
    limit: usize,
) -> Result<FeedPage, StoreError> {
    let mut page = FeedPage {
        entries: Vec::new(),
        after: after.to_vec(),
    };
    for (partition, head) in (0..).zip(heads) {
        let after = &mut page.after[partition as usize];
        let room = limit - page.entries.len();
        if after.position < *head && room > 0 {
            let range = PositionRange {
                partition,
                after: after.position,
                filter: AccountFilter::All,
                limit: u32::try_from(room).expect("a page is bounded"),
            };
            let entries = read_range(store, accounts, range, *head).await?;
            *after = entries.last().map_or(*after, LogPoint::after);
            page.entries.extend(entries);
        }
    }
    Ok(page)
}

/// Returns the first entries of a range up to `head`.
async fn read_range(
    store: &Store,
    accounts: &Accounts,
    range: PositionRange<'_>,
    head: i64,
) -> Result<Vec<LogEntry>, StoreError> {
    let filters: Vec<_> = match accounts {
        None => vec![AccountFilter::All],
        Some(accounts) => accounts
            .iter()
            .map(|account| AccountFilter::Account(account))
            .collect(),
    };
    let most = range.limit as usize;
    let mut until = head;
    let mut entries: Vec<LogEntry> = Vec::new();
    for filter in filters {
        let found = store
            .entries_after(PositionRange { filter, ..range })
            .await?;
        // A full batch may be followed by more entries.
        if let Some(last) = found.last().filter(|_| found.len() == most) {
            until = until.min(last.position);
        }
        entries.extend(found);
        entries.sort_by_key(|log_entry| log_entry.position);
        entries.dedup_by_key(|log_entry| log_entry.position);
        // Keeps at most one page in memory, however many accounts there are.
        if let Some(last) = entries.get(most - 1) {
            until = until.min(last.position);
        }
        entries.retain(|log_entry| log_entry.position <= until);
    }
    Ok(entries)
}
