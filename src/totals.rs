//! Totals: the number of billables of each customer in a range of days, exact at a log position.
//!
//! Totals are kept in buckets of 15 minutes, days and calendar months of UTC, up to a watermark in
//! each partition. Each read adds the entries after the watermark, in the same snapshot. A range is
//! covered by the coarse buckets between the bucket boundaries nearest to its ends, plus or minus a
//! few finer buckets.

mod calendar;
mod compare;
mod roller;
mod watch;

use std::collections::BTreeMap;

use crate::store::{LogInfo, Store, StoreError, TotalsQuery, TotalsRow};

pub use calendar::{Days, DaysError, Zone};
pub use compare::compare;
pub use roller::{keep_rolling, rebuild};
pub use watch::keep_watching;

#[derive(Clone, Debug)]
pub struct TotalsOf<'a> {
    pub days: &'a Days,
    /// Whether to return a total for each day.
    pub by_day: bool,
    /// Only this account.
    pub account: Option<&'a str>,
    /// Only this customer.
    pub customer: Option<&'a str>,
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

/// Totals, and the log positions at which they are exact.
#[derive(Clone, Debug)]
pub struct Totals {
    /// Ordered by day, account and customer. Customers without billables are left out.
    pub customers: Vec<Total>,
    /// The number of unattributed billables in the range, whatever their account; 0 unless requested.
    pub unattributed_count: i64,
    /// The last included position of each partition.
    pub heads: Vec<i64>,
}

/// Reads totals in one snapshot. Returns `None` if they have too many rows.
pub async fn read_totals(
    store: &Store,
    log: LogInfo,
    of: TotalsOf<'_>,
) -> Result<Option<Totals>, StoreError> {
    let boundaries = of.days.boundaries(of.by_day);
    let ranges = calendar::ranges(&boundaries);
    let (Some(from), Some(until)) = (boundaries.first(), boundaries.last()) else {
        unreachable!("a range of days has two ends");
    };
    let query = TotalsQuery {
        ranges: &ranges,
        from: *from,
        until: *until,
        account: of.account,
        customer: of.customer,
        with_unattributed: of.with_unattributed,
    };
    let Some(read) = store.totals_read(log, &query).await? else {
        return Ok(None);
    };
    let mut totals: BTreeMap<(usize, String, String), (i64, i64)> = BTreeMap::new();
    let mut add = |day: usize, row: TotalsRow| {
        let total = totals
            .entry((day, row.account_id, row.customer_id))
            .or_default();
        total.0 += row.billable_count;
        total.1 += row.voided_count;
    };
    for row in read.bucketed {
        add(usize::try_from(row.group_key).unwrap_or_default(), row);
    }
    for row in read.tail {
        // The day of this quarter of an hour is the last one that begins at or before it.
        let begun = boundaries.partition_point(|boundary| *boundary <= row.group_key);
        add(begun - 1, row);
    }
    let mut unattributed_count = 0;
    let mut customers = Vec::new();
    for ((day, account_id, customer_id), (billable_count, voided_count)) in totals {
        if account_id.is_empty() {
            unattributed_count += billable_count;
        } else if (billable_count, voided_count) != (0, 0) {
            customers.push(Total {
                day,
                account_id,
                customer_id,
                billable_count,
                voided_count,
            });
        }
    }
    Ok(Some(Totals {
        customers,
        unattributed_count,
        heads: read.heads,
    }))
}
