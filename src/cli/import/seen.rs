//! Digests to compare rows with, small enough for a dry run to keep one per row.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::billable::{Billable, Entry, Field};

/// The digest of what the log, or an earlier row, has under an id.
#[derive(Debug)]
pub(super) struct Seen {
    reported: u64,
    pair: Option<u64>,
    pub(super) is_voided: bool,
}

impl Seen {
    pub(super) fn new(entry: &Entry) -> Self {
        Self {
            reported: digest(&entry.reported),
            pair: entry.pair.as_ref().map(digest),
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

    /// Returns why an entry differs from what was seen under its id. A missing account and customer
    /// is no difference, because the row may have been exported before its session was attributed.
    pub(super) fn differs(&self, entry: &Entry, of_log: Option<&Billable>) -> Option<String> {
        if self.reported != digest(&entry.reported) {
            let fields = of_log.map(|known| known.recorded.reported.differing(&entry.reported));
            return Some(other_content(&fields.unwrap_or_default()));
        }
        let is_other_pair = entry.pair.is_some() && self.pair != entry.pair.as_ref().map(digest);
        is_other_pair.then(|| match (of_log, self.pair) {
            (None, _) => {
                "an earlier row has the same id with another account or customer".to_owned()
            }
            (_, Some(_)) => {
                "the billable with this id is already billed to another account or customer"
                    .to_owned()
            }
            (_, None) => {
                "the billable with this id is stored but unattributed: attribute its session first"
                    .to_owned()
            }
        })
    }
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
