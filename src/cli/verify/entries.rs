//! Checks the entries, partition by partition in commit order, each with its related entries.

use std::collections::HashMap;
use std::fmt;

use uuid::Uuid;

use super::Findings;
use super::entry::{faults, has_its_id, reported_pair};
use crate::billable::{ClientName, Entry, EntryKind, Identity};
use crate::cli::progress::Progress;
use crate::store::{
    AccountFilter, EntryRead, LogInfo, PositionRange, SessionFound, Store, StoreError,
};

/// Entries per batch: about 5 MB, and as much again for their related entries.
const READ_BATCH: u32 = 5000;

/// The partition, position and key of an entry, for messages.
struct EntryLabel(i32, i64, Option<(Uuid, EntryKind)>);

impl fmt::Display for EntryLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(partition, position, key) = self;
        write!(f, "the entry at {partition}/{position}")?;
        key.map_or(Ok(()), |(id, kind)| write!(f, " ({id} {})", kind.as_str()))
    }
}

/// The number of entries and billables, and of those that could not be fully checked.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct EntryCounts {
    pub(super) entries: u64,
    pub(super) billables: u64,
    /// Billables whose ids are random.
    pub(super) random: u64,
    /// Imported billables with ids that were not computed here.
    pub(super) kept: u64,
}

/// A scan of all entries.
pub(super) struct Entries<'a> {
    store: &'a Store,
    log: LogInfo,
    imported: &'a [ClientName],
    findings: &'a mut Findings,
    pub(super) counts: EntryCounts,
}

impl<'a> Entries<'a> {
    pub(super) fn new(
        store: &'a Store,
        log: LogInfo,
        imported: &'a [ClientName],
        findings: &'a mut Findings,
    ) -> Self {
        Self {
            store,
            log,
            imported,
            findings,
            counts: EntryCounts::default(),
        }
    }

    pub(super) async fn check(&mut self) -> Result<(), StoreError> {
        // Read the watermarks first, because both only grow and a watermark must not appear to be
        // above its head.
        let watermarks = self.store.watermarks(self.log).await?;
        let heads = self.store.heads(self.log).await?;
        let total: i64 = heads.iter().sum();
        let mut progress = Progress::new("verifying", Some(total.unsigned_abs()));
        let mut before = 0;
        let [buckets, accounts] = watermarks;
        for (of, watermarks) in [("totals", buckets), ("accounts", accounts)] {
            for (partition, (head, watermark)) in (0..).zip(heads.iter().zip(watermarks)) {
                if watermark > *head || watermark < 0 {
                    self.findings.add(
                        format_args!("the watermark of partition {partition} for {of}"),
                        format_args!("it is {watermark}, but the head is {head}"),
                    );
                }
            }
        }
        for (partition, head) in (0..).zip(&heads) {
            self.partition(partition, *head, before, &mut progress)
                .await?;
            self.above_head(partition).await?;
            before += head;
        }
        for (partition, position) in self.store.entries_strayed(self.log, 100).await? {
            let label = EntryLabel(partition, position, None);
            self.findings.add(label, "the log has no such partition");
        }
        Ok(())
    }

    async fn partition(
        &mut self,
        partition: u32,
        head: i64,
        before: i64,
        progress: &mut Progress,
    ) -> Result<(), StoreError> {
        let mut after = i64::MIN;
        loop {
            let range = PositionRange {
                partition,
                after,
                filter: AccountFilter::All,
                limit: READ_BATCH,
            };
            let mut rows = self.store.entries_read(range).await?;
            let is_full = rows.len() == READ_BATCH as usize;
            rows.retain(|row| row.position <= head);
            let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
                return Ok(());
            };
            let (first, last) = (first.position, last.position);
            after = last;
            if is_full && first < last {
                // Other entries may have the last position too. The next batch reads them together.
                rows.retain(|row| row.position < last);
                after = last - 1;
            }
            self.batch(&rows).await?;
            progress.at((before + last).unsigned_abs(), self.counts.entries);
            if !is_full {
                return Ok(());
            }
        }
    }

    /// Finds entries above the head. The head is read last, so that a concurrent append is not
    /// reported.
    async fn above_head(&mut self, partition: u32) -> Result<(), StoreError> {
        let at = partition as usize;
        let last = self.store.entries_last(partition).await?;
        let head = self.store.heads(self.log).await?[at];
        if last <= head {
            return Ok(());
        }
        let range = PositionRange {
            partition,
            after: head,
            filter: AccountFilter::All,
            limit: READ_BATCH,
        };
        let rows = self.store.entries_read(range).await?;
        let head = self.store.heads(self.log).await?[at];
        for row in rows.iter().filter(|row| row.position > head) {
            let reason = format_args!("it is above the head, which is {head}");
            self.findings.add(label(row), reason);
        }
        Ok(())
    }

    async fn batch(&mut self, rows: &[EntryRead]) -> Result<(), StoreError> {
        let decisions = self.decisions(rows).await?;
        let others = self.others(rows, &decisions).await?;
        let mut previous = None;
        for row in rows {
            self.counts.entries += 1;
            let mut wrong = Vec::new();
            if row.position < 1 {
                wrong.push("positions start at 1".to_owned());
            }
            if previous.replace(row.position) == Some(row.position) {
                wrong.push("another entry has the same position".to_owned());
            }
            if !row.has_its_call_prefix {
                wrong.push(
                    "its call_prefix does not match its callSid and its billable's id".to_owned(),
                );
            }
            match &row.entry {
                Err(reason) => wrong.push(reason.clone()),
                Ok(entry) => {
                    wrong.extend(self.check_alone(entry, row.partition));
                    let decision = self.decision(entry, &decisions);
                    wrong.extend(check_against_others(
                        self.imported,
                        row,
                        entry,
                        decision,
                        &others,
                    ));
                }
            }
            for reason in wrong {
                self.findings.add(label(row), reason);
            }
        }
        Ok(())
    }

    /// Returns what is wrong with an entry on its own.
    fn check_alone(&mut self, entry: &Entry, partition: i32) -> Vec<String> {
        let is_imported = self.imported.contains(&entry.client);
        if entry.kind == EntryKind::Recorded {
            self.counts.billables += 1;
            let is_random = entry.identity == Identity::None;
            let is_kept = is_imported && !has_its_id(entry);
            self.counts.random += u64::from(is_random && !is_imported);
            self.counts.kept += u64::from(is_kept || (is_random && is_imported));
        }
        faults(entry, partition, self.log, is_imported)
    }

    /// Reads the attributions of the sessions that determine whom these entries are billed to.
    async fn decisions(
        &self,
        rows: &[EntryRead],
    ) -> Result<HashMap<String, Option<SessionFound>>, StoreError> {
        let entries = rows.iter().filter_map(|row| row.entry.as_ref().ok());
        let mut sessions: Vec<_> = entries.filter_map(session_of).collect();
        sessions.sort_unstable();
        sessions.dedup();
        if sessions.is_empty() {
            return Ok(HashMap::new());
        }
        let found = self.store.sessions_read_of(&sessions).await?;
        // An unusable attribution is reported by the check of sessions.
        Ok(found
            .into_iter()
            .map(|(id, found)| (id, found.ok()))
            .collect())
    }

    fn decision<'d>(
        &self,
        entry: &Entry,
        decisions: &'d HashMap<String, Option<SessionFound>>,
    ) -> Decision<'d> {
        match session_of(entry).and_then(|session| decisions.get(session)) {
            None => Decision::None,
            Some(None) => Decision::Unusable,
            Some(Some(found)) => Decision::Made(found),
        }
    }

    /// Reads the other entries of the billables of `rows`, where they matter. They are read after the
    /// attributions, because all entries of a complete attribution are stored.
    async fn others(
        &self,
        rows: &[EntryRead],
        decisions: &HashMap<String, Option<SessionFound>>,
    ) -> Result<HashMap<(Uuid, EntryKind), EntryRead>, StoreError> {
        let mut wanted = Vec::new();
        for row in rows {
            let Ok(entry) = &row.entry else { continue };
            let has_others = match entry.kind {
                EntryKind::Attributed | EntryKind::Voided => true,
                EntryKind::Recorded => is_due(entry, self.decision(entry, decisions)),
            };
            if has_others {
                wanted.push((row.partition.cast_unsigned(), entry.billable_id));
            }
        }
        if wanted.is_empty() {
            return Ok(HashMap::new());
        }
        wanted.sort_unstable();
        wanted.dedup();
        let found = self
            .store
            .entries_read_of(&wanted)
            .await?
            .into_iter()
            .filter_map(|row| Some((row.key?, row)));
        Ok(found.collect())
    }
}

/// The attribution of an entry's session.
#[derive(Clone, Copy)]
enum Decision<'a> {
    None,
    Unusable,
    Made(&'a SessionFound),
}

/// Returns the session that determines whom the entry is billed to, if there is one.
fn session_of(entry: &Entry) -> Option<&str> {
    let is_of_session = match entry.kind {
        EntryKind::Recorded => reported_pair(entry).is_none(),
        EntryKind::Attributed => true,
        EntryKind::Voided => false,
    };
    let session = entry.reported.session_id.as_ref();
    session
        .filter(|_| is_of_session)
        .map(|session| session.as_str())
}

/// Returns whether an entry has no account and customer although its session's attribution, which
/// it accepts, is complete. Unless it was voided first, it must have been attributed.
fn is_due(entry: &Entry, decision: Decision<'_>) -> bool {
    let is_due = |found: &SessionFound| found.is_complete && entry.accepts(&found.attribution.pair);
    entry.pair.is_none() && matches!(decision, Decision::Made(found) if is_due(found))
}

/// Returns what is wrong between an entry and its related entries.
fn check_against_others(
    imported: &[ClientName],
    row: &EntryRead,
    entry: &Entry,
    decision: Decision<'_>,
    others: &HashMap<(Uuid, EntryKind), EntryRead>,
) -> Vec<String> {
    let other = |kind| others.get(&(entry.billable_id, kind));
    let mut wrong = Vec::new();
    let mut fault = |is_one: bool, what: &str| {
        if is_one {
            wrong.push(what.to_owned());
        }
    };
    let decided = match decision {
        Decision::Made(found) => Some(&found.attribution.pair),
        Decision::None | Decision::Unusable => None,
    };
    let is_known = !matches!(decision, Decision::Unusable);
    if entry.kind == EntryKind::Recorded {
        let is_free = reported_pair(entry).is_none() && !imported.contains(&entry.client);
        fault(
            is_free && is_known && entry.pair.is_some() && entry.pair.as_ref() != decided,
            "it bills an account and customer that neither its report nor its session has",
        );
        let is_left = is_due(entry, decision)
            && other(EntryKind::Attributed).is_none()
            && other(EntryKind::Voided).is_none();
        fault(
            is_left,
            "its session's attribution is complete, but its billable was not attributed",
        );
        return wrong;
    }
    let Some(recorded) = other(EntryKind::Recorded) else {
        fault(true, "its billable was never recorded");
        return wrong;
    };
    fault(
        row.position <= recorded.position,
        "it comes before the entry that records its billable",
    );
    // Faults of the recorded entry itself are reported at its own position.
    let Ok(first) = &recorded.entry else {
        return wrong;
    };
    let is_same = (&first.reported, first.occurred_at, &first.identity)
        == (&entry.reported, entry.occurred_at, &entry.identity);
    fault(
        !is_same,
        "its fields differ from the entry that records its billable",
    );
    if entry.kind == EntryKind::Attributed {
        fault(
            first.pair.is_some(),
            "its billable was already billed to an account and customer",
        );
        fault(
            is_known && entry.pair.as_ref() != decided,
            "its account and customer differ from those of its session",
        );
        return wrong;
    }
    let attributed = other(EntryKind::Attributed);
    let is_late = attributed.is_some_and(|attributed| attributed.position > row.position);
    fault(is_late, "its billable was attributed after it was voided");
    let later = attributed.map(|attributed| attributed.entry.as_ref());
    match later {
        Some(Err(_)) => {}
        _ if is_late => {}
        Some(Ok(later)) => fault(
            entry.pair != first.pair.clone().or(later.pair.clone()),
            "its account and customer differ from those that were billed",
        ),
        None => fault(
            entry.pair != first.pair,
            "its account and customer differ from those that were billed",
        ),
    }
    wrong
}

fn label(row: &EntryRead) -> EntryLabel {
    EntryLabel(row.partition, row.position, row.key)
}
