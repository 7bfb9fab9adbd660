//! Lists billables, newest first, as of a cut of the log.
//!
//! All entries of a billable have the same time and fields, so they are adjacent in an index
//! ordered by time and billable. If an index has only some of them (an account's index, for
//! example, if the account and customer to bill were added later), the others are looked up by id.
//!
//! No index has the billables of a call in order of time. They are read in full, at most
//! [`MAX_OF_CALL`] entries, and sorted. So are unattributed billables, as long as they are fewer.

mod entries;
mod read_ahead;
mod undecided;

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use uuid::Uuid;

use crate::billable::entry::partition_of;
use crate::billable::{
    Billable, BillableState, ClientName, Entry, ListKey, LogEntry, Text, Timestamp,
};
use crate::store::{CallLookup, LogInfo, Scan, ScanIndex, Store, StoreError};
use crate::token::Accounts;

use entries::BillableEntries;
pub use read_ahead::ReadAhead;
use undecided::Undecided;

/// The maximum number of entries per read: 2,000 of 600 bytes are 1.2 MB.
const MAX_SCAN: usize = 2000;

/// The maximum number of entries that are read to list or check calls: 20,000 of 600 bytes are
/// 12 MB.
pub const MAX_OF_CALL: usize = 20_000;

/// Selects the billables that meet every given condition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The account that the billable is billed to or, if there is none yet, that the report names.
    pub account_id: Option<Text>,
    /// The customer that the billable is billed to or, if there is none yet, that the report names.
    pub customer_id: Option<Text>,
    pub session_id: Option<Text>,
    pub call_sid: Option<Text>,
    /// Calls at this timestamp or later.
    pub from: Option<Timestamp>,
    /// Calls before this timestamp.
    pub to: Option<Timestamp>,
    /// The state, as of the cut.
    pub state: Option<BillableState>,
    /// The client that reported it. Like the two below, it only narrows what the others find.
    pub client: Option<ClientName>,
    /// Reports that were stored at this timestamp or later.
    pub recorded_from: Option<Timestamp>,
    /// Reports that were stored before this timestamp.
    pub recorded_to: Option<Timestamp>,
}

impl Filter {
    /// Whether a billable meets the conditions, except those on the time.
    fn matches(&self, billable: &Billable) -> bool {
        let reported = &billable.recorded.reported;
        let is = |wanted: &Option<Text>, has: Option<&Text>| {
            wanted.as_ref().is_none_or(|wanted| Some(wanted) == has)
        };
        is(&self.account_id, billable.account_id())
            && is(&self.customer_id, billable.customer_id())
            && is(&self.session_id, reported.session_id.as_ref())
            && is(&self.call_sid, reported.call_sid.as_ref())
            && self.state.is_none_or(|state| state == billable.state())
            && self
                .client
                .as_ref()
                .is_none_or(|client| *client == billable.recorded.client)
            && self
                .recorded_from
                .is_none_or(|from| billable.recorded.recorded_at >= from)
            && self
                .recorded_to
                .is_none_or(|to| billable.recorded.recorded_at < to)
    }
}

/// A list being read. It holds no connection between two reads.
#[derive(Clone, Debug)]
pub struct List {
    store: Store,
    log: LogInfo,
    filter: Filter,
    accounts: Accounts,
    cut: Vec<i64>,
    /// The key after which the next read starts, or `None` at the end.
    after: Option<ListKey>,
    /// The minimum number of entries in the next read; 0 for no minimum. It grows while few of them
    /// match.
    scan_limit: usize,
    /// Whether so much is unattributed that it is looked for in order of time.
    has_many_undecided: Arc<AtomicBool>,
}

impl List {
    /// Starts a list as of now.
    pub async fn begin(
        store: Store,
        log: LogInfo,
        filter: Filter,
        accounts: Accounts,
    ) -> Result<Self, StoreError> {
        let cut = store.heads(log).await?;
        let start = ListKey {
            occurred_at: filter.to.unwrap_or(Timestamp::MAX),
            billable_id: Uuid::nil(),
        };
        Ok(Self {
            store,
            log,
            filter,
            accounts,
            cut,
            after: Some(start),
            scan_limit: 0,
            has_many_undecided: Arc::default(),
        })
    }

    /// The list as of an earlier cut.
    pub fn at(self, cut: Vec<i64>) -> Self {
        Self { cut, ..self }
    }

    /// The list after `after`.
    pub fn resumed(self, after: ListKey) -> Self {
        Self {
            after: Some(after),
            ..self
        }
    }

    /// The last position of each partition that the list includes.
    pub fn cut(&self) -> &[i64] {
        &self.cut
    }

    /// Where the next read starts, or `None` when everything has been read.
    pub fn after(&self) -> Option<ListKey> {
        self.after
    }

    /// Reads up to `limit` of the next billables. The result may be empty before the end of the
    /// list: see [`Self::after`].
    pub async fn read(&mut self, limit: usize) -> Result<Vec<Billable>, StoreError> {
        let Some(after) = self.after else {
            return Ok(Vec::new());
        };
        let batch = scan_limit(limit).max(self.scan_limit).min(MAX_SCAN);
        let (rows, mut end) = self.scan(after, batch).await?;
        let mut listed = self.listed(rows).await?;
        if listed.len() >= limit {
            listed.truncate(limit);
            end = listed.last().map(|billable| billable.recorded.list_key());
        }
        self.scan_limit = if listed.len() < limit { batch * 4 } else { 0 };
        self.after = end;
        Ok(listed)
    }

    /// Returns the billables of these entries that belong in the list, in order.
    async fn listed(&self, mut rows: Vec<LogEntry>) -> Result<Vec<Billable>, StoreError> {
        rows.retain(|row| row.position <= self.cut[row.partition as usize]);
        let mut billables = self.assemble(rows).await?;
        billables.retain(|billable| self.is_seen(billable) && self.filter.matches(billable));
        Ok(billables)
    }

    /// Returns the next entries that the indexes have, newest first and complete for each billable,
    /// and where the next scan starts if there may be more.
    async fn scan(
        &self,
        after: ListKey,
        limit: usize,
    ) -> Result<(Vec<LogEntry>, Option<ListKey>), StoreError> {
        if let Some(call) = &self.filter.call_sid {
            return Ok((self.scan_call(call, after).await?, None));
        }
        let after = if self.is_of_undecided() {
            match self.find_undecided(after, limit).await? {
                Undecided::Found(rows, end) => return Ok((rows, end)),
                Undecided::After(after) => after,
            }
        } else {
            after
        };
        let mut rows: Vec<LogEntry> = Vec::new();
        let mut complete_until: Option<ListKey> = None;
        for (index, accounts) in self.indexes() {
            let scan = Scan {
                index,
                accounts: accounts.as_deref(),
                after,
                from: self.filter.from.unwrap_or(Timestamp::MIN),
                limit: u32::try_from(limit).expect("a scan is bounded"),
            };
            let found = self.store.entries_scan(scan).await?;
            // A full batch may end in the middle of its last billable.
            if let Some(last) = found.last().filter(|_| found.len() == limit) {
                complete_until = complete_until.max(Some(last.entry.list_key()));
            }
            rows.extend(found);
            sort(&mut rows);
            // Keeps at most one batch in memory, however many indexes there are.
            if let Some(excess) = rows.get(limit) {
                complete_until = complete_until.max(Some(excess.entry.list_key()));
                rows.truncate(limit);
            }
            rows.retain(|row| Some(row.entry.list_key()) > complete_until);
        }
        let end = complete_until.and_then(|_| rows.last().map(|row| row.entry.list_key()));
        Ok((rows, end))
    }

    /// Returns the entries of a call after a key, in the order of [`Self::scan`].
    async fn scan_call(&self, call: &Text, after: ListKey) -> Result<Vec<LogEntry>, StoreError> {
        let accounts = self.asked_accounts();
        let lookup = CallLookup {
            calls: &[call.as_str()],
            accounts: accounts.as_deref(),
            from: self.filter.from.unwrap_or(Timestamp::MIN),
            to: self.filter.to.unwrap_or(Timestamp::MAX),
            cut: Some(&self.cut),
            limit: MAX_OF_CALL + 1,
        };
        let mut rows = self.store.entries_of_calls(self.log, &lookup).await?;
        if rows.len() > MAX_OF_CALL {
            return Err(StoreError::TooMuch);
        }
        rows.retain(|row| row.entry.list_key() < after);
        sort(&mut rows);
        Ok(rows)
    }

    /// Returns the accounts that the list is limited to: the filter's or else the reader's.
    fn asked_accounts(&self) -> Option<Vec<&str>> {
        // The caller has checked that a requested account is one of the reader's.
        match (text(&self.filter.account_id), &self.accounts) {
            (Some(asked), _) => Some(vec![asked]),
            (None, Some(own)) => Some(own.iter().map(|account| &**account).collect()),
            (None, None) => None,
        }
    }

    /// Chooses the indexes that together cover the list, each with the accounts to filter by. An
    /// account-limited reader uses its accounts' index, so that other accounts' volume does not slow
    /// it down, except for a session.
    fn indexes(&self) -> Vec<(ScanIndex<'_>, Option<Vec<&str>>)> {
        let filter = &self.filter;
        let session = text(&filter.session_id);
        let account = text(&filter.account_id);
        if self.accounts.is_some() {
            let asked = self.asked_accounts().unwrap_or_default();
            return match session {
                Some(session) => vec![(ScanIndex::Session(session), Some(asked))],
                None => {
                    let asked = asked.into_iter();
                    asked.map(|own| (ScanIndex::Account(own), None)).collect()
                }
            };
        }
        let index = match (session, filter.state, text(&filter.customer_id)) {
            (Some(session), ..) => return vec![(ScanIndex::Session(session), None)],
            (None, Some(BillableState::Voided), _) => ScanIndex::Voided,
            (None, _, Some(customer)) => ScanIndex::Customer(customer),
            (None, _, None) => match account {
                Some(account) => return vec![(ScanIndex::Account(account), None)],
                None => ScanIndex::All,
            },
        };
        vec![(index, self.asked_accounts())]
    }

    /// Assembles billables in the order of the rows, and looks up their entries missing from the
    /// scan.
    async fn assemble(&self, rows: Vec<LogEntry>) -> Result<Vec<Billable>, StoreError> {
        let is_whole = if self.filter.call_sid.is_some() {
            self.asked_accounts().is_none()
        } else if self.is_of_undecided() {
            false
        } else {
            let indexes = self.indexes();
            indexes.iter().all(|(index, accounts)| {
                matches!(index, ScanIndex::All | ScanIndex::Session(_)) && accounts.is_none()
            })
        };
        let mut groups: Vec<BillableEntries> = Vec::with_capacity(rows.len());
        for row in rows {
            match groups.last_mut() {
                Some(group) if group.id == row.entry.billable_id => group.add(row.entry),
                _ => groups.push(BillableEntries::of(row.entry)),
            }
        }
        if !is_whole {
            // If the recorded entry has a pair, the index also has all later entries.
            let open = groups.iter().filter(|group| {
                let recorded = group.recorded.as_ref();
                recorded.is_none_or(|entry| entry.pair.is_none())
            });
            let ids: Vec<_> = open
                .map(|group| (partition_of(group.id, self.log.partitions), group.id))
                .collect();
            if !ids.is_empty() {
                let mut found: HashMap<Uuid, Vec<Entry>> = HashMap::new();
                for row in self.store.entries_find(&ids).await? {
                    if row.position <= self.cut[row.partition as usize] {
                        let of = found.entry(row.entry.billable_id).or_default();
                        of.push(row.entry);
                    }
                }
                for group in &mut groups {
                    for entry in found.remove(&group.id).unwrap_or_default() {
                        group.add(entry);
                    }
                }
            }
        }
        Ok(groups
            .into_iter()
            .filter_map(BillableEntries::into_billable)
            .collect())
    }

    fn is_seen(&self, billable: &Billable) -> bool {
        let Some(own) = &self.accounts else {
            return true;
        };
        let account = billable.account_id();
        account.is_some_and(|account| own.iter().any(|own| own == account.as_str()))
    }
}

/// Sorts entries newest first, those of a billable together, without duplicates.
fn sort(rows: &mut Vec<LogEntry>) {
    let order = |row: &LogEntry| (row.entry.list_key(), row.entry.kind);
    rows.sort_by_key(|row| Reverse(order(row)));
    rows.dedup_by_key(|row| order(row));
}

/// How many entries to read for a number of billables: some have several entries, some are not
/// listed. With fewer than four entries a batch might not contain a whole billable.
fn scan_limit(billables: usize) -> usize {
    (billables + billables / 8 + 4).min(MAX_SCAN)
}

fn text(text: &Option<Text>) -> Option<&str> {
    text.as_ref().map(Text::as_str)
}
