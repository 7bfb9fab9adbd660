//! Digests to compare rows with, small enough for a dry run to keep one per row.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::billable::{Billable, Entry, Field, Timestamp};

/// The digest of what the log, or an earlier row, has under an id.
#[derive(Debug)]
pub(super) struct Seen {
    reported: u64,
    pair: Option<u64>,
    occurred_at: Timestamp,
    pub(super) is_voided: bool,
}

/// How a row differs from what was seen under its id. The texts are sentences.
#[derive(Debug)]
pub(super) enum Difference {
    /// In what is billed: the row is refused.
    Content(String),
    /// Only in the time: it is another call with the same id, or a clock that differs.
    Time(String),
}

impl Seen {
    pub(super) fn new(entry: &Entry) -> Self {
        Self {
            reported: digest(&entry.reported),
            pair: entry.pair.as_ref().map(digest),
            occurred_at: entry.occurred_at,
            is_voided: false,
        }
    }

    pub(super) fn of(billable: &Billable) -> Self {
        Self {
            pair: billable.pair().map(digest),
            is_voided: billable.voided.is_some(),
            ..Self::new(&billable.recorded)
        }
    }

    /// Returns how an entry differs from what was seen under its id. A missing account and customer
    /// is no difference, because the row may have been exported before its session was attributed.
    /// `is_timed` says whether the row gives the time.
    pub(super) fn differs(
        &self,
        entry: &Entry,
        of_log: Option<&Billable>,
        is_timed: bool,
    ) -> Option<Difference> {
        if self.reported != digest(&entry.reported) {
            let fields = of_log.map(|known| known.recorded.reported.differing(&entry.reported));
            let reason = other_content(&fields.unwrap_or_default());
            return Some(Difference::Content(reason));
        }
        let is_other_pair = entry.pair.is_some() && self.pair != entry.pair.as_ref().map(digest);
        if is_other_pair {
            let reason = match (of_log, self.pair) {
                (None, _) => "an earlier row has the same id with another account or customer",
                (_, Some(_)) => {
                    "the billable with this id is already billed to another account or customer"
                }
                (_, None) => {
                    "the billable with this id is stored but unattributed: attribute its session first"
                }
            };
            return Some(Difference::Content(reason.to_owned()));
        }
        let is_other_time = is_timed && self.occurred_at != entry.occurred_at;
        is_other_time.then(|| Difference::Time(other_time(self.occurred_at, entry.occurred_at)))
    }
}

/// Returns what is wrong with a row whose id has another time.
pub(super) fn other_time(known: Timestamp, given: Timestamp) -> String {
    format!(
        "the billable with this id occurred at {known}, and the row's at {given}: it is another call, or the same one by another clock"
    )
}

fn digest(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Returns the reason to refuse a row if its id is stored with other content in these fields.
pub(super) fn other_content(fields: &[Field]) -> String {
    let names: Vec<_> = fields.iter().map(|field| field.camel()).collect();
    if names.is_empty() {
        "an earlier row has the same id with other content".to_owned()
    } else {
        format!(
            "the billable with this id is stored with another {}",
            names.join(", ")
        )
    }
}
