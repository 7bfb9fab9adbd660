//! Checks the attributions of sessions, and each partition's copies of them.

use std::collections::{HashMap, HashSet};

use super::Findings;
use crate::billable::{Field, Text};
use crate::store::{LogInfo, SessionFound, Store, StoreError};

/// Checks all attributions; returns how many are not completed yet, which is not a fault.
pub(super) async fn check(
    store: &Store,
    log: LogInfo,
    findings: &mut Findings,
) -> Result<u64, StoreError> {
    let mut pending = 0;
    let mut after = String::new();
    loop {
        let sessions = store.sessions_read_after(&after).await?;
        let Some((last, _)) = sessions.last() else {
            break;
        };
        after.clone_from(last);
        let mut complete = Vec::new();
        for (id, found) in &sessions {
            match found {
                Err(reason) => findings.add(named(id), reason),
                Ok(found) if !is_usable(found) => {
                    findings.add(named(id), "its values are invalid");
                }
                Ok(found) if found.is_complete => complete.push(id.as_str()),
                Ok(_) => pending += 1,
            }
        }
        for partition in 0..log.partitions {
            let found = store.pairs_read_of(partition, &complete).await?;
            let copies: HashSet<_> = found.iter().map(String::as_str).collect();
            for id in complete.iter().filter(|id| !copies.contains(**id)) {
                let reason = format_args!("partition {partition} has no copy of it");
                findings.add(named(id), reason);
            }
        }
    }
    for partition in 0..log.partitions {
        check_copies(store, partition, findings).await?;
    }
    Ok(pending)
}

/// Checks a partition's copies. Each copy is written after its attribution.
async fn check_copies(
    store: &Store,
    partition: u32,
    findings: &mut Findings,
) -> Result<(), StoreError> {
    let mut after = String::new();
    loop {
        let copies = store.pairs_read_after(partition, &after).await?;
        let Some((last, _)) = copies.last() else {
            return Ok(());
        };
        after.clone_from(last);
        let ids: Vec<_> = copies.iter().map(|(id, _)| id.as_str()).collect();
        let found: HashMap<_, _> = store.sessions_read_of(&ids).await?.into_iter().collect();
        for (id, pair) in &copies {
            let reason = match found.get(id) {
                None => "the attribution is missing",
                Some(Ok(found)) if found.attribution.pair != *pair => {
                    "the attribution is to another account or customer"
                }
                // An unusable attribution is reported by `check`.
                Some(_) => continue,
            };
            let reason = format_args!("partition {partition} has a copy of it, but {reason}");
            findings.add(named(id), reason);
        }
    }
}

/// Returns whether all its texts are valid values.
fn is_usable(found: &SessionFound) -> bool {
    let attribution = &found.attribution;
    let texts = [
        (Field::SessionId, &attribution.session_id),
        (Field::AccountId, &attribution.pair.account_id),
        (Field::CustomerId, &attribution.pair.customer_id),
    ];
    texts.into_iter().all(|(field, text)| {
        let text = text.as_str();
        !text.trim().is_empty() && Text::parse(field, text.to_owned()).is_ok()
    })
}

fn named(id: &str) -> String {
    format!("the attribution of the session {id:?}")
}
