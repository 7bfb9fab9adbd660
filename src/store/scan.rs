//! Entries in list order, newest first, one batch at a time.
//!
//! Both databases use almost the same statements, and each statement uses one index. No transaction
//! stays open between batches: entries never change, so a caller that continues from the last key
//! misses nothing that was there when it began.
//!
//! The index by customer begins with the UTC day of the call, so that a report changes only the part
//! of its day, which stays in memory however large the log is. A scan of a customer therefore goes
//! from day to day: first one day, then one, two, four and so on in a query, so that a customer with
//! few calls takes few queries.

use serde_json::json;

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
    /// Only entries that bill one of these accounts, or name it and bill none.
    pub accounts: Option<&'a [&'a str]>,
    /// Only entries after this key in list order.
    pub after: ListKey,
    /// Only entries of calls at or after this timestamp.
    pub from: Timestamp,
    /// The maximum number of entries.
    pub limit: u32,
}

/// The condition on the accounts `$5`, in each database.
macro_rules! of_accounts {
    (postgres) => {
        " and (cast($5 as text[]) is null or coalesce(billed_account_id, account_id) = any($5))"
    };
    (sqlite) => {
        " and ($5 is null
               or +coalesce(billed_account_id, account_id) in (select value from json_each($5)))"
    };
}

/// Builds a scan's statement. The row comparison lets a scan start in the middle of an index.
macro_rules! scan {
    ($dialect:ident, $condition:literal) => {
        concat!(
            "select ",
            entry_columns!(),
            " from entries where ",
            $condition,
            " (occurred_at, billable_id) < ($1, $2) and occurred_at >= $3",
            of_accounts!($dialect),
            " order by occurred_at desc, billable_id desc limit $4"
        )
    };
}

/// The length of a day in microseconds, as in the index.
const DAY: i64 = 86_400_000_000;

/// The maximum number of days in one query.
const MAX_DAYS: i64 = 512;

/// Builds the statement that selects entries of customer `$6` on day `$7`, in the order of the index.
macro_rules! on_day {
    ($dialect:ident) => {
        scan!(
            $dialect,
            "occurred_at / 86400000000 = $7 and coalesce(billed_customer_id, customer_id) = $6 and"
        )
    };
}

/// Builds the statement that selects entries of customer `$6` on days `$7`, newest first.
///
/// The unary plus hides the time from the planners, which would otherwise take the index by time for
/// the order, and read all entries of these days.
macro_rules! on_days {
    ($dialect:ident, $among:literal) => {
        concat!(
            "select ",
            entry_columns!(),
            " from entries
             where occurred_at / 86400000000 ",
            $among,
            " and coalesce(billed_customer_id, customer_id) = $6
               and (+occurred_at, billable_id) < ($1, $2) and +occurred_at >= $3",
            of_accounts!($dialect),
            " order by +occurred_at desc, billable_id desc limit $4"
        )
    };
}

/// The times of the first and the last call in the log.
pub(super) const ENDS: &str =
    "select (select min(occurred_at) from entries), (select max(occurred_at) from entries)";

macro_rules! scan_operations {
    ($dialect:ident, $among:literal, $days:expr, $accounts:expr) => {
        impl $dialect::Store {
            /// The statement on several days of a customer.
            pub(super) const ON_DAYS: &str = on_days!($dialect, $among);

            /// Returns the statement of a scan, and the value of `$6` if it has one. For a customer
            /// it is the one on a single day.
            pub(super) fn scan_statement(index: ScanIndex<'_>) -> (&'static str, Option<&str>) {
                match index {
                    ScanIndex::All => (scan!($dialect, ""), None),
                    ScanIndex::Account(id) => (
                        scan!($dialect, "coalesce(billed_account_id, account_id) = $6 and"),
                        Some(id),
                    ),
                    ScanIndex::Customer(id) => (on_day!($dialect), Some(id)),
                    ScanIndex::Session(id) => (scan!($dialect, "session_id = $6 and"), Some(id)),
                    ScanIndex::Voided => (scan!($dialect, "kind = 3 and"), None),
                    ScanIndex::WithoutPair => (
                        scan!($dialect, "kind = 1 and billed_account_id is null and"),
                        None,
                    ),
                }
            }

            pub(super) async fn entries_scan(
                &self,
                scan: Scan<'_>,
            ) -> Result<Vec<LogEntry>, StoreError> {
                if let ScanIndex::Customer(customer) = scan.index {
                    return self.entries_of_customer(scan, customer).await;
                }
                let (statement, value) = Self::scan_statement(scan.index);
                let mut query = sqlx::query_as::<_, EntryRow>(statement)
                    .bind(scan.after.occurred_at.as_micros())
                    .bind(scan.after.billable_id)
                    .bind(scan.from.as_micros())
                    .bind(i64::from(scan.limit))
                    .bind(scan.accounts.map($accounts));
                if let Some(value) = value {
                    query = query.bind(value);
                }
                log_entries(query.fetch_all(&self.read).await?)
            }

            /// Returns a batch of a customer's entries in list order.
            async fn entries_of_customer(
                &self,
                scan: Scan<'_>,
                customer: &str,
            ) -> Result<Vec<LogEntry>, StoreError> {
                let ends: (Option<i64>, Option<i64>) =
                    sqlx::query_as(ENDS).fetch_one(&self.read).await?;
                let (Some(first), Some(last)) = ends else {
                    return Ok(Vec::new());
                };
                let after = scan.after.occurred_at.as_micros();
                let newest = last.min(after) / DAY;
                let oldest = first.max(scan.from.as_micros()) / DAY;
                let limit = scan.limit as usize;
                let mut rows: Vec<EntryRow> = Vec::new();
                for (from, until) in days(newest, oldest) {
                    let statement = if from == until {
                        on_day!($dialect)
                    } else {
                        Self::ON_DAYS
                    };
                    let query = sqlx::query_as(statement)
                        .bind(after)
                        .bind(scan.after.billable_id)
                        .bind(scan.from.as_micros())
                        .bind(i64::try_from(limit - rows.len()).expect("a batch is bounded"))
                        .bind(scan.accounts.map($accounts))
                        .bind(customer);
                    let query = if from == until {
                        query.bind(from)
                    } else {
                        query.bind($days((from..=until).collect()))
                    };
                    rows.extend(query.fetch_all(&self.read).await?);
                    if rows.len() >= limit {
                        break;
                    }
                }
                log_entries(rows)
            }
        }
    };
}

scan_operations!(
    postgres,
    "= any($7::bigint[])",
    |days: Vec<i64>| days,
    <[&str]>::to_vec
);
scan_operations!(
    sqlite,
    "in (select value from json_each($7))",
    |days: Vec<i64>| json!(days).to_string(),
    |accounts: &[&str]| json!(accounts).to_string()
);

/// Divides the days from `newest` back to `oldest` into ranges, newest first: one day, one, two,
/// four and so on.
fn days(newest: i64, oldest: i64) -> impl Iterator<Item = (i64, i64)> {
    let ranges = std::iter::successors(Some((newest, newest)), move |(from, until)| {
        let is_first = *until == newest;
        let count = if is_first { 1 } else { (until - from + 1) * 2 };
        Some((from - count.min(MAX_DAYS), from - 1))
    });
    ranges
        .take_while(move |(_, until)| *until >= oldest)
        .map(move |(from, until)| (from.max(oldest), until))
}

#[cfg(test)]
mod tests {
    use super::days;

    #[test]
    fn ranges_of_days_cover_all_days_once() {
        let ranges: Vec<_> = days(100, 88).collect();
        assert_eq!(ranges, [(100, 100), (99, 99), (97, 98), (93, 96), (88, 92)]);
        assert_eq!(days(5, 5).collect::<Vec<_>>(), [(5, 5)]);
        assert_eq!(days(4, 5).count(), 0);
        let many: Vec<_> = days(20_000, 0).collect();
        assert!(many.len() < 60);
        let mut next = 20_000;
        for (from, until) in many {
            assert_eq!(until, next);
            next = from - 1;
        }
        assert_eq!(next, -1);
    }
}
