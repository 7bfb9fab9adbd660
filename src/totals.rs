//! Totals: the number of billables of each customer in a range of days, exact at a log position.
//!
//! Totals are kept in buckets of 15 minutes, days and calendar months of UTC, up to a watermark in
//! each partition. Each read adds the entries between the watermark and its cut, in the same
//! snapshot, or subtracts them if the watermark is beyond the cut. A range is covered by the coarse
//! buckets between the bucket boundaries nearest to its ends, plus or minus a few finer buckets.

mod compare;
mod ranges;
mod roller;
mod watch;

use std::collections::BTreeMap;

use crate::billable::Text;
use crate::calendar::Days;
use crate::store::{
    BucketRange, LogInfo, QUARTER_HOUR, Store, StoreError, TotalsKey, TotalsQuery, TotalsRow,
    TotalsSource,
};

pub use compare::{compare, compare_derived};
pub use roller::{keep_rolling, rebuild};
pub use watch::keep_watching;

/// The maximum number of totals in a page. A row has some 100 bytes, and 2 KB at most, so a page has
/// 2 to 40 MB.
const PAGE: usize = 20_000;

/// The width of the tail's rows if there is one for each customer: more than any time.
const ALL_DAYS: i64 = i64::MAX;

/// What to count.
#[derive(Clone, Debug)]
pub struct TotalsOf {
    pub days: Days,
    /// Whether to return a total for each day.
    pub by_day: bool,
    /// Only this account.
    pub account: Option<Text>,
    /// Only this customer.
    pub customer: Option<Text>,
    /// Whether to count unattributed billables.
    pub with_unattributed: bool,
}

/// A total of one customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Total {
    /// The index of the day, or 0 if the total covers all days.
    pub day: usize,
    pub account_id: String,
    pub customer_id: String,
    /// Billables that are not voided.
    pub billable_count: i64,
    pub voided_count: i64,
}

/// Totals, read in pages, each in a snapshot of its own. All pages are exact at the positions that
/// the first one fixes.
#[derive(Debug)]
pub struct TotalsPages {
    store: Store,
    log: LogInfo,
    of: TotalsOf,
    boundaries: Vec<i64>,
    ranges: Vec<BucketRange>,
    cut: Option<Vec<i64>>,
    /// Whether the cut was given.
    is_earlier: bool,
    /// How the pages are counted, once the first was read.
    source: Option<TotalsSource>,
    after: TotalsKey,
    unattributed_count: i64,
    is_done: bool,
}

impl TotalsPages {
    /// Reads nothing yet.
    pub fn new(store: Store, log: LogInfo, of: TotalsOf) -> Self {
        let boundaries = of.days.boundaries(of.by_day);
        let ranges = ranges::ranges(&boundaries);
        Self {
            store,
            log,
            of,
            boundaries,
            ranges,
            cut: None,
            is_earlier: false,
            source: None,
            after: TotalsKey::START,
            unattributed_count: 0,
            is_done: false,
        }
    }

    /// The totals at an earlier cut of the log.
    pub fn at(self, cut: Vec<i64>) -> Self {
        Self {
            cut: Some(cut),
            is_earlier: true,
            ..self
        }
    }

    /// The last included position of each partition, once a page was read.
    pub fn cut(&self) -> &[i64] {
        self.cut.as_deref().unwrap_or_default()
    }

    /// The number of unattributed billables in the pages read so far, whatever their account; 0
    /// unless requested. `None` for an account at an earlier cut, where they would have to be searched.
    pub fn unattributed_count(&self) -> Option<i64> {
        let is_known = !self.is_earlier || self.of.account.is_none();
        is_known.then_some(self.unattributed_count)
    }

    /// Whether all pages were read.
    pub fn are_done(&self) -> bool {
        self.is_done
    }

    /// Reads the next page, ordered by day, account and customer. Customers without billables are
    /// left out.
    ///
    /// # Errors
    /// See [`Store::totals_read`].
    pub async fn next(&mut self) -> Result<Vec<Total>, StoreError> {
        let (Some(from), Some(until)) = (self.boundaries.first(), self.boundaries.last()) else {
            unreachable!("a range of days has two ends");
        };
        self.ranges.retain(|range| range.row >= self.after.row);
        let query = TotalsQuery {
            ranges: &self.ranges,
            from: *from,
            until: *until,
            account: self.of.account.as_ref().map(Text::as_str),
            customer: self.of.customer.as_ref().map(Text::as_str),
            with_unattributed: self.of.with_unattributed,
            cut: self.cut.as_deref(),
            source: self.source,
            after: &self.after,
            limit: PAGE,
            tail_width: if self.of.by_day {
                QUARTER_HOUR
            } else {
                ALL_DAYS
            },
        };
        let read = self.store.totals_read(self.log, &query).await?;
        // A page ends where the first of both ends; the other may have later ones.
        let last = read.bucketed.last().filter(|_| read.bucketed.len() == PAGE);
        let last = last
            .map(TotalsRow::key)
            .into_iter()
            .chain(read.tail_end)
            .min();
        let mut totals: BTreeMap<TotalsKey, (i64, i64)> = BTreeMap::new();
        let mut add = |row: i64, added: TotalsRow| {
            let key = TotalsKey {
                row,
                account_id: added.account_id,
                customer_id: added.customer_id,
            };
            let total = totals.entry(key).or_default();
            total.0 += added.billable_count;
            total.1 += added.voided_count;
        };
        for row in read.bucketed {
            add(row.group_key, row);
        }
        for row in read.tail {
            add(self.row_of_tail(row.group_key), row);
        }
        totals.retain(|key, _| *key > self.after && last.as_ref().is_none_or(|last| key <= last));
        self.cut = Some(read.cut);
        self.source = Some(read.source);
        self.is_done = last.is_none();
        if let Some(last) = last {
            self.after = last;
        }
        let mut page = Vec::new();
        for (key, (billable_count, voided_count)) in totals {
            let TotalsKey {
                row,
                account_id,
                customer_id,
            } = key;
            if account_id.is_empty() {
                self.unattributed_count += billable_count;
            } else if (billable_count, voided_count) != (0, 0) {
                page.push(Total {
                    day: usize::try_from(row).unwrap_or_default(),
                    account_id,
                    customer_id,
                    billable_count,
                    voided_count,
                });
            }
        }
        Ok(page)
    }

    /// Returns the row of the result that a row of the tail belongs to: the last day that begins at
    /// or before it.
    fn row_of_tail(&self, group_key: i64) -> i64 {
        if !self.of.by_day {
            return 0;
        }
        let begun = self
            .boundaries
            .partition_point(|boundary| *boundary <= group_key);
        i64::try_from(begun).unwrap_or(i64::MAX) - 1
    }
}
