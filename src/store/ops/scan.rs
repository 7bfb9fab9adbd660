//! Entries in list order, newest first, one batch at a time.
//!
//! Each statement uses one index. No transaction stays open between batches: entries never change,
//! so a caller that continues from the last key misses nothing that was there when it began.
//!
//! The index by customer begins with the UTC day of the call, so that a report changes only the part
//! of its day, which stays in memory however large the log is. A scan of a customer therefore goes
//! from day to day: first one day, then one, two, four and so on in a query, so that a customer with
//! few calls takes few queries.

use crate::billable::{ListKey, LogEntry, Timestamp};
use crate::store::backend::Backend;
use crate::store::dialect::Dialect;
use crate::store::error::StoreError;
use crate::store::query::query;
use crate::store::row::{ENTRY_COLUMNS, EntryRow, log_entries};
use crate::store::sql::Sql;
use crate::store::table::Column;

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

/// The length of a day in microseconds, as in the index.
const DAY: i64 = 86_400_000_000;

/// The maximum number of days in one query.
const MAX_DAYS: i64 = 512;

/// The times of the first and the last call in the log.
pub(in crate::store) const ENDS: &str =
    "select (select min(occurred_at) from entries), (select max(occurred_at) from entries)";

/// Builds the statement of a scan, and returns the value of `$6` if it has one. For a customer it is
/// the one on the single day `$7`.
///
/// The row comparison lets a scan start in the middle of an index.
pub(in crate::store) fn scan_statement<D: Dialect>(index: ScanIndex<'_>) -> (Sql, Option<&str>) {
    let (condition, value) = match index {
        ScanIndex::All => ("", None),
        ScanIndex::Account(id) => ("coalesce(billed_account_id, account_id) = $6 and", Some(id)),
        ScanIndex::Customer(id) => (
            "occurred_at / 86400000000 = $7 and coalesce(billed_customer_id, customer_id) = $6 and",
            Some(id),
        ),
        ScanIndex::Session(id) => ("session_id = $6 and", Some(id)),
        ScanIndex::Voided => ("kind = 3 and", None),
    };
    let sql = Sql::from("select ")
        + ENTRY_COLUMNS
        + " from entries where "
        + condition
        + " (occurred_at, billable_id) < ($1, $2) and occurred_at >= $3 and "
        + D::of_accounts(5)
        + " order by occurred_at desc, billable_id desc limit $4";
    (sql, value)
}

/// Builds the statement that selects entries of customer `$6` on the days `$7`, newest first.
///
/// The unary plus hides the time from the planners, which would otherwise take the index by time for
/// the order, and read all entries of these days.
pub(in crate::store) fn on_days<D: Dialect>() -> Sql {
    Sql::from("select ")
        + ENTRY_COLUMNS
        + " from entries where occurred_at / 86400000000 "
        + D::among(7)
        + " and coalesce(billed_customer_id, customer_id) = $6
            and (+occurred_at, billable_id) < ($1, $2) and +occurred_at >= $3 and "
        + D::of_accounts(5)
        + " order by +occurred_at desc, billable_id desc limit $4"
}

impl<D: Dialect> Backend<D> {
    pub(in crate::store) async fn entries_scan(
        &self,
        scan: Scan<'_>,
    ) -> Result<Vec<LogEntry>, StoreError> {
        if let ScanIndex::Customer(customer) = scan.index {
            return self.entries_of_customer(scan, customer).await;
        }
        let (sql, value) = scan_statement::<D>(scan.index);
        let mut statement = query::<D>(sql)
            .bind(scan.after.occurred_at.as_micros())
            .bind(scan.after.billable_id)
            .bind(scan.from.as_micros())
            .bind(i64::from(scan.limit))
            .bind_accounts(scan.accounts);
        if let Some(value) = value {
            statement = statement.bind(value);
        }
        log_entries(statement.fetch_all(&self.read).await?)
    }

    /// Returns a batch of a customer's entries in list order.
    async fn entries_of_customer(
        &self,
        scan: Scan<'_>,
        customer: &str,
    ) -> Result<Vec<LogEntry>, StoreError> {
        let ends: (Option<i64>, Option<i64>) = query::<D>(ENDS).fetch_one(&self.read).await?;
        let (Some(first), Some(last)) = ends else {
            return Ok(Vec::new());
        };
        let after = scan.after.occurred_at.as_micros();
        let newest = last.min(after) / DAY;
        let oldest = first.max(scan.from.as_micros()) / DAY;
        let limit = scan.limit as usize;
        let mut rows: Vec<EntryRow> = Vec::new();
        for (from, until) in days(newest, oldest) {
            let is_one_day = from == until;
            let sql = if is_one_day {
                scan_statement::<D>(scan.index).0
            } else {
                on_days::<D>()
            };
            let statement = query::<D>(sql)
                .bind(after)
                .bind(scan.after.billable_id)
                .bind(scan.from.as_micros())
                .bind(i64::try_from(limit - rows.len()).expect("a batch is bounded"))
                .bind_accounts(scan.accounts)
                .bind(customer);
            let statement = if is_one_day {
                statement.bind(from)
            } else {
                statement.bind_list(Column::bigints(from..=until))
            };
            let found: Vec<EntryRow> = statement.fetch_all(&self.read).await?;
            rows.extend(found);
            if rows.len() >= limit {
                break;
            }
        }
        log_entries(rows)
    }
}

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
