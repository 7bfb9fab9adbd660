//! What is asked of the totals, and what is answered.

/// The widths of buckets, finest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// 15 minutes. Since 1980, the days of every time zone consist of whole quarter hours.
    QuarterHour,
    /// A UTC day.
    Day,
    /// A UTC calendar month.
    Month,
}

impl Level {
    pub(in crate::store) fn code(self) -> i16 {
        match self {
            Self::QuarterHour => 1,
            Self::Day => 2,
            Self::Month => 3,
        }
    }
}

/// A range of buckets that is added to a row of the result, or subtracted from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BucketRange {
    /// The row of the result.
    pub row: i64,
    /// The width of the buckets.
    pub level: Level,
    /// The start of the first bucket, in microseconds since 1970.
    pub from: i64,
    /// The end of the last bucket.
    pub until: i64,
    /// 1 to add, -1 to subtract.
    pub sign: i64,
}

/// Where a page of totals begins: after this row of the result, account and customer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TotalsKey {
    /// The row of the result.
    pub row: i64,
    /// Empty for billables that are not billed to any pair yet.
    pub account_id: String,
    pub customer_id: String,
}

impl TotalsKey {
    /// The key before all others.
    pub const START: Self = Self {
        row: -1,
        account_id: String::new(),
        customer_id: String::new(),
    };
}

/// How totals are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TotalsSource {
    /// From the buckets, and the entries between the watermarks and the cut.
    Buckets,
    /// From the account's entries in the range of time. They are fewer than the entries between the
    /// watermarks and a cut that is old.
    Account,
}

/// The maximum number of entries that are read for a total.
pub(in crate::store) const MAX_READ: i64 = 5_000_000;

/// A read by day is refused if its tail gives this many rows: the totals are far behind. 400,000
/// rows of some 150 bytes are 60 MB.
pub(super) const MAX_TAIL: usize = 400_000;

#[derive(Clone, Debug)]
pub struct TotalsQuery<'a> {
    /// The ranges of buckets that make up the rows.
    pub ranges: &'a [BucketRange],
    /// Calls at or after this, in microseconds since 1970.
    pub from: i64,
    /// Calls before this.
    pub until: i64,
    /// Only this account; all if `None`.
    pub account: Option<&'a str>,
    /// Only this customer; all if `None`.
    pub customer: Option<&'a str>,
    /// Whether to count billables that are not billed to any pair yet.
    pub with_unattributed: bool,
    /// The last included position of each partition; the last one of the log if `None`.
    pub cut: Option<&'a [i64]>,
    /// How the totals are counted; chosen if `None`.
    pub source: Option<TotalsSource>,
    /// Only the totals after this key.
    pub after: &'a TotalsKey,
    /// The maximum number of rows from buckets.
    pub limit: usize,
    /// The width of the quarter hours of the tail, in microseconds, or more than any time to make it
    /// one row for each customer.
    pub tail_width: i64,
}

impl TotalsQuery<'_> {
    /// Returns the account that stands for unattributed billables, if the query includes them.
    pub(super) fn nobody(&self) -> Option<&'static str> {
        self.with_unattributed.then_some("")
    }

    /// Whether the tail has one row for each customer, in the order of the keys.
    pub(super) fn has_ordered_tail(&self) -> bool {
        self.tail_width > QUARTER_HOUR
    }

    /// The customer that the rows of an ordered tail are after, unless they begin with the first.
    pub(super) fn after_customer(&self) -> Option<&str> {
        let is_after = self.has_ordered_tail() && *self.after != TotalsKey::START;
        is_after.then_some(&self.after.customer_id)
    }

    /// The maximum number of rows of a partition's tail.
    pub(super) fn tail_limit(&self) -> usize {
        if self.has_ordered_tail() {
            self.limit
        } else {
            MAX_TAIL
        }
    }
}

/// The width of the finest buckets, in microseconds.
pub const QUARTER_HOUR: i64 = 900_000_000;

/// A row that adds to a total. The account and the customer are empty for billables that are not
/// billed to any pair yet.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct TotalsRow {
    /// The index of the result row if this row comes from buckets, else the start of its quarter
    /// hour.
    pub group_key: i64,
    pub account_id: String,
    pub customer_id: String,
    pub billable_count: i64,
    pub voided_count: i64,
}

impl TotalsRow {
    /// The key of a row whose `group_key` is the row of the result.
    pub fn key(&self) -> TotalsKey {
        TotalsKey {
            row: self.group_key,
            account_id: self.account_id.clone(),
            customer_id: self.customer_id.clone(),
        }
    }
}

/// Totals as rows, and the positions at which they are exact.
#[derive(Clone, Debug)]
pub struct Totals {
    /// Rows from buckets, in the order of their keys; `group_key` is the row.
    pub bucketed: Vec<TotalsRow>,
    /// Rows from the entries between the watermarks and the cut, in no particular order;
    /// `group_key` is the start of a quarter hour, or 0. Those that the buckets have beyond the cut
    /// are negative.
    pub tail: Vec<TotalsRow>,
    /// The last key up to which the tail is complete; `None` if all of it is.
    pub tail_end: Option<TotalsKey>,
    /// The last included position of each partition.
    pub cut: Vec<i64>,
    pub source: TotalsSource,
}
