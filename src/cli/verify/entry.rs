//! Checks an entry on its own.

use crate::billable::entry::partition_of;
use crate::billable::{
    Entry, EntryKind, Field, Pair, RawReport, RawValue, Report, Text, Timestamp,
};
use crate::store::LogInfo;

/// Maximum number of reports in a batch; each has an index below this.
const MAX_INDEX: u32 = 10_000;

/// Returns the pair that a report names, if it names both the account and the customer.
pub(super) fn reported_pair(entry: &Entry) -> Option<Pair> {
    let reported = &entry.reported;
    let halves = reported
        .account_id
        .clone()
        .zip(reported.customer_id.clone());
    halves.map(|(account_id, customer_id)| Pair {
        account_id,
        customer_id,
    })
}

/// Returns whether a recorded entry has the id computed from its identity. Without an identity the
/// id is random, so any id is right.
pub(super) fn has_its_id(entry: &Entry) -> bool {
    let id = entry
        .identity
        .id(&entry.client, &entry.reported, || entry.billable_id);
    id == entry.billable_id
}

/// Returns what is wrong with an entry on its own. The report time of an imported entry, and the
/// origin of its id, account and customer, are unknown and not checked.
pub(super) fn faults(
    entry: &Entry,
    partition: i32,
    log: LogInfo,
    is_imported: bool,
) -> Vec<String> {
    let mut faults = values(entry, is_imported);
    let mut fault = |is_one: bool, what: &str| {
        if is_one {
            faults.push(what.to_owned());
        }
    };
    let due = partition_of(entry.billable_id, log.partitions);
    fault(
        i64::from(due) != i64::from(partition),
        &format!("its billable belongs to partition {due}"),
    );
    match entry.kind {
        EntryKind::Recorded => {
            fault(
                !is_imported && !has_its_id(entry),
                "its billable's id does not match its identity",
            );
            let named = reported_pair(entry);
            fault(
                !is_imported && named.is_some() && entry.pair != named,
                "it does not bill the account and customer that its report names",
            );
        }
        EntryKind::Attributed => {
            fault(
                entry.pair.is_none(),
                "it attributes its billable to no account and customer",
            );
        }
        EntryKind::Voided => {}
    }
    fault(
        entry.pair.as_ref().is_some_and(|pair| !entry.accepts(pair)),
        "it bills another account or customer than its report names",
    );
    fault(
        entry.kind != EntryKind::Voided && entry.reason.is_some(),
        "it has a reason but voids nothing",
    );
    faults
}

/// Returns a message for each value that no report can have.
fn values(entry: &Entry, is_imported: bool) -> Vec<String> {
    let mut raw = RawReport::default();
    for (field, value) in entry.reported.fields() {
        raw.set(field, value.map(|value| RawValue::Text(value.to_owned())));
    }
    raw.set(
        Field::OccurredAt,
        Some(RawValue::Text(entry.occurred_at.to_string())),
    );
    let now = match entry.kind {
        EntryKind::Recorded if !is_imported => entry.recorded_at,
        EntryKind::Recorded | EntryKind::Attributed | EntryKind::Voided => Timestamp::MAX,
    };
    let mut faults: Vec<String> = match Report::parse(raw, now) {
        Ok(report) if report.reported == entry.reported => Vec::new(),
        Ok(_) => vec!["one of its fields is blank".to_owned()],
        Err(errors) => errors.into_iter().map(|error| error.message).collect(),
    };
    let pair = entry.pair.iter();
    let texts = pair
        .flat_map(|pair| {
            [
                (Field::AccountId, "its billed accountId", &pair.account_id),
                (
                    Field::CustomerId,
                    "its billed customerId",
                    &pair.customer_id,
                ),
            ]
        })
        .chain(
            entry
                .reason
                .iter()
                .map(|reason| (Field::AccountId, "its reason", reason)),
        );
    for (field, what, text) in texts {
        let is_unusable = text.as_str().trim().is_empty()
            || Text::parse(field, text.as_str().to_owned()).is_err();
        if is_unusable {
            faults.push(format!("{what} is invalid"));
        }
    }
    if entry
        .identity
        .index()
        .is_some_and(|index| index >= MAX_INDEX)
    {
        faults.push("its key_index is too large for a batch".to_owned());
    }
    if entry.recorded_at < Timestamp::MIN {
        faults.push("its recorded_at is before 1970".to_owned());
    }
    faults
}
