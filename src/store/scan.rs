//! Entries in list order, newest first, one batch at a time.
//!
//! Both databases use the same statements, and each statement uses one index. No transaction stays
//! open between batches: entries never change, so a caller that continues from the last key misses
//! nothing that was there when it began.

use super::row::{EntryRow, entry_columns, log_entries};
use super::{StoreError, postgres, sqlite};
use crate::billable::{ListKey, LogEntry, Timestamp};

/// The index that a scan uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanIndex<'a> {
    All,
    /// Entries that bill this account, or name it and bill none.
    Account(&'a str),
    /// Entries that bill this customer, or name it and bill none.
    Customer(&'a str),
    /// Entries of this session.
    Session(&'a str),
    /// `voided` entries.
    Voided,
    /// `recorded` entries without a pair.
    WithoutPair,
}

/// A batch of entries, newest first.
#[derive(Clone, Copy, Debug)]
pub struct Scan<'a> {
    pub index: ScanIndex<'a>,
    /// Only entries that bill this account, or name it and bill none.
    pub account: Option<&'a str>,
    /// Only entries after this key in list order.
    pub after: ListKey,
    /// Only entries of calls at or after this timestamp.
    pub from: Timestamp,
    /// The maximum number of entries.
    pub limit: u32,
}

/// Builds a scan's statement. `$5` is the account as a filter. The row comparison lets a scan start
/// in the middle of an index.
macro_rules! scan {
    ($condition:literal) => {
        concat!(
            "select ",
            entry_columns!(),
            " from entries where ",
            $condition,
            " (occurred_at, billable_id) < ($1, $2) and occurred_at >= $3
               and (cast($5 as text) is null or coalesce(billed_account_id, account_id) = $5)
             order by occurred_at desc, billable_id desc limit $4"
        )
    };
}

impl<'a> ScanIndex<'a> {
    /// Returns the statement, and the value of `$6` if it has one.
    pub(super) fn statement(self) -> (&'static str, Option<&'a str>) {
        match self {
            Self::All => (scan!(""), None),
            Self::Account(id) => (
                scan!("coalesce(billed_account_id, account_id) = $6 and"),
                Some(id),
            ),
            Self::Customer(id) => (
                scan!("coalesce(billed_customer_id, customer_id) = $6 and"),
                Some(id),
            ),
            Self::Session(id) => (scan!("session_id = $6 and"), Some(id)),
            Self::Voided => (scan!("kind = 3 and"), None),
            Self::WithoutPair => (scan!("kind = 1 and billed_account_id is null and"), None),
        }
    }
}

macro_rules! scan_operations {
    ($store:ty) => {
        impl $store {
            pub(super) async fn entries_scan(
                &self,
                scan: Scan<'_>,
            ) -> Result<Vec<LogEntry>, StoreError> {
                let (statement, value) = scan.index.statement();
                let mut query = sqlx::query_as::<_, EntryRow>(statement)
                    .bind(scan.after.occurred_at.as_micros())
                    .bind(scan.after.billable_id)
                    .bind(scan.from.as_micros())
                    .bind(i64::from(scan.limit))
                    .bind(scan.account);
                if let Some(value) = value {
                    query = query.bind(value);
                }
                log_entries(query.fetch_all(&self.read).await?)
            }
        }
    };
}

scan_operations!(postgres::Store);
scan_operations!(sqlite::Store);
