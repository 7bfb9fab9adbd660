//! The entries of the log, and the state of a billable that results from its entries.

use std::collections::HashMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::identity::{call_prefix, first_part_of};
use super::{ClientName, Field, FirstPart, Identity, Report, Reported, Text, Timestamp};

/// The maximum number of partitions. Each costs a head row, and a writer in every process.
pub const MAX_PARTITIONS: u32 = 256;

/// What an entry says about its billable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntryKind {
    /// The billable was reported.
    Recorded,
    /// The billable's session was given a pair. The billable is billed to it from now on.
    Attributed,
    /// The billable must not be billed.
    Voided,
}

impl EntryKind {
    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::Attributed => "attributed",
            Self::Voided => "voided",
        }
    }

    /// The number that the store uses for it.
    pub fn code(self) -> i16 {
        match self {
            Self::Recorded => 1,
            Self::Attributed => 2,
            Self::Voided => 3,
        }
    }

    /// Returns the kind with this number.
    pub fn from_code(code: i16) -> Option<Self> {
        [Self::Recorded, Self::Attributed, Self::Voided]
            .into_iter()
            .find(|kind| kind.code() == code)
    }
}

/// The account and the customer that a billable is billed to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pair {
    pub account_id: Text,
    pub customer_id: Text,
}

impl Pair {
    /// Returns the fields in which two pairs differ.
    pub fn differing(&self, other: &Self) -> Vec<Field> {
        let halves = [
            (Field::AccountId, self.account_id == other.account_id),
            (Field::CustomerId, self.customer_id == other.customer_id),
        ];
        let differing = halves.into_iter().filter(|(_, is_same)| !is_same);
        differing.map(|(field, _)| field).collect()
    }
}

/// The decision about which pair a session is billed to. The decision is made once for each
/// session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribution {
    pub session_id: Text,
    /// The pair that its billables are billed to, unless their reports name another account or
    /// customer.
    pub pair: Pair,
    /// The client that decided.
    pub client: ClientName,
    pub decided_at: Timestamp,
}

/// A request to void a billable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Void {
    pub billable_id: Uuid,
    pub reason: Option<Text>,
    /// The client that sent the request.
    pub client: ClientName,
    pub at: Timestamp,
    /// The accounts that the client is limited to. It may only void their billables.
    pub accounts: Option<Arc<[String]>>,
}

impl Void {
    /// Whether the client may void a billable.
    pub fn may_void(&self, billable: &Billable) -> bool {
        let account = billable.account_id().map(Text::as_str);
        self.accounts
            .as_ref()
            .is_none_or(|own| own.iter().any(|own| Some(&**own) == account))
    }
}

/// The sort key of lists: the time of the call, then the id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListKey {
    pub occurred_at: Timestamp,
    pub billable_id: Uuid,
}

/// An entry and its position in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// The partition of its billable.
    pub partition: u32,
    /// Its position in the partition. Positions increase strictly in commit order, with gaps.
    pub position: i64,
    pub entry: Entry,
}

/// Four bytes that tell an entry from any other that may come to have its position.
pub type EntryMark = [u8; 4];

impl LogEntry {
    /// Returns the first bytes of the SHA-256 of its billable, kind, position and time.
    pub fn mark(&self) -> EntryMark {
        let mut sha = Sha256::new();
        sha.update(self.entry.billable_id);
        sha.update(self.entry.kind.code().to_be_bytes());
        sha.update(self.position.to_be_bytes());
        sha.update(self.entry.recorded_at.as_micros().to_be_bytes());
        let digest = sha.finalize();
        *digest.first_chunk().expect("SHA-256 has 32 bytes")
    }
}

/// A point in a partition of the log, between two entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogPoint {
    /// The point is after the entry at this position, or the last one before it.
    pub position: i64,
    /// The mark of that entry; zeros if there is none.
    pub mark: EntryMark,
}

impl LogPoint {
    /// Returns the point after an entry.
    pub fn after(log_entry: &LogEntry) -> Self {
        Self {
            position: log_entry.position,
            mark: log_entry.mark(),
        }
    }
}

/// One entry of the log. Never changed once stored. The log has at most one of each kind for each
/// billable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The billable that this entry is about.
    pub billable_id: Uuid,
    pub kind: EntryKind,
    /// The four fields as reported.
    pub reported: Reported,
    /// The pair that is billed, if any.
    pub pair: Option<Pair>,
    /// When the call happened.
    pub occurred_at: Timestamp,
    /// When the server accepted this entry.
    pub recorded_at: Timestamp,
    /// The client that made this entry.
    pub client: ClientName,
    /// How repeats of the report are detected.
    pub identity: Identity,
    /// Why the billable was voided; only for `voided`.
    pub reason: Option<Text>,
}

impl Entry {
    /// Creates the entry that records a report, billed to the reported pair if both ids are given.
    pub fn recorded(
        id: Uuid,
        report: Report,
        identity: Identity,
        client: ClientName,
        now: Timestamp,
    ) -> Self {
        let Report {
            reported,
            occurred_at,
        } = report;
        let pair = match (&reported.account_id, &reported.customer_id) {
            (Some(account_id), Some(customer_id)) => Some(Pair {
                account_id: account_id.clone(),
                customer_id: customer_id.clone(),
            }),
            _ => None,
        };
        Self {
            billable_id: id,
            kind: EntryKind::Recorded,
            reported,
            pair,
            occurred_at: occurred_at.unwrap_or(now),
            recorded_at: now,
            client,
            identity,
            reason: None,
        }
    }

    /// Whether its session's attribution, which may already be decided, can give it a pair.
    pub fn awaits_pair(&self) -> bool {
        self.pair.is_none() && self.reported.session_id.is_some()
    }

    /// Whether it may be billed to its session's pair: the report names no other account or
    /// customer. If it does, the billable is never billed, because a token that is limited to one
    /// account must not be able to bill another.
    pub fn accepts(&self, pair: &Pair) -> bool {
        let allows =
            |named: &Option<Text>, billed| named.as_ref().is_none_or(|named| named == billed);
        allows(&self.reported.account_id, &pair.account_id)
            && allows(&self.reported.customer_id, &pair.customer_id)
    }

    /// Returns the first part of the ids of its call, if its billable's id has another one: the id
    /// was computed from a key, or elsewhere. A lookup by call then needs it.
    pub fn call_prefix(&self) -> Option<FirstPart> {
        let prefix = call_prefix(self.reported.call_sid.as_ref()?.as_str());
        (first_part_of(self.billable_id) != Some(prefix)).then_some(prefix)
    }

    /// Creates the entry that attributes the billable of this recorded entry.
    pub fn attributed(&self, attribution: &Attribution) -> Self {
        Self {
            kind: EntryKind::Attributed,
            pair: Some(attribution.pair.clone()),
            recorded_at: attribution.decided_at,
            client: attribution.client.clone(),
            ..self.clone()
        }
    }

    /// The sort key of its billable in lists.
    pub fn list_key(&self) -> ListKey {
        ListKey {
            occurred_at: self.occurred_at,
            billable_id: self.billable_id,
        }
    }
}

/// Returns the partition of a billable and of all its entries, in a log of `partitions`.
///
/// It is computed from the first four bytes of a version-8 id, so that neighbours share a partition.
/// Other ids may begin with a timestamp, so the last four bytes of those are used.
pub fn partition_of(billable: Uuid, partitions: u32) -> u32 {
    let bytes = billable.as_bytes();
    let chosen = match first_part_of(billable) {
        Some(_) => bytes.first_chunk(),
        None => bytes.last_chunk(),
    };
    u32::from_be_bytes(*chosen.expect("a UUID has 16 bytes")) % partitions
}

/// Whether a billable is billed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BillableState {
    /// It has a pair and is not voided.
    Billable,
    /// It has no pair yet.
    Unattributed,
    /// It was voided, so it is not billed.
    Voided,
}

impl BillableState {
    /// Returns the state with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Billable, Self::Unattributed, Self::Voided]
            .into_iter()
            .find(|state| state.as_str() == name)
    }

    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Billable => "billable",
            Self::Unattributed => "unattributed",
            Self::Voided => "voided",
        }
    }
}

/// A billable: its entries, at most one of each kind. Most billables have only the first entry, so
/// the others are boxed to save space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Billable {
    /// The entry that recorded it.
    pub recorded: Entry,
    /// The entry that gave it its pair later, if any.
    pub attributed: Option<Box<Entry>>,
    /// The entry that voided it, if any.
    pub voided: Option<Box<Entry>>,
}

impl Billable {
    /// Creates a billable that has just been recorded.
    pub fn new(recorded: Entry) -> Self {
        Self {
            recorded,
            attributed: None,
            voided: None,
        }
    }

    pub fn id(&self) -> Uuid {
        self.recorded.billable_id
    }

    /// Assembles billables from their entries. Entries are left out if the `recorded` entry of
    /// their billable is missing.
    pub fn assemble(entries: impl IntoIterator<Item = Entry>) -> HashMap<Uuid, Self> {
        let (recorded, later): (Vec<_>, Vec<_>) = entries
            .into_iter()
            .partition(|entry| entry.kind == EntryKind::Recorded);
        let mut billables: HashMap<_, _> = recorded
            .into_iter()
            .map(|entry| (entry.billable_id, Self::new(entry)))
            .collect();
        for entry in later {
            let Some(billable) = billables.get_mut(&entry.billable_id) else {
                continue;
            };
            match entry.kind {
                EntryKind::Recorded => {}
                EntryKind::Attributed => billable.attributed = Some(Box::new(entry)),
                EntryKind::Voided => billable.voided = Some(Box::new(entry)),
            }
        }
        billables
    }

    /// Returns the pair that it is billed to, if any.
    pub fn pair(&self) -> Option<&Pair> {
        let attributed = self
            .attributed
            .as_ref()
            .and_then(|entry| entry.pair.as_ref());
        self.recorded.pair.as_ref().or(attributed)
    }

    /// Returns the account that it is billed to or, until it has a pair, the one that it names. It
    /// is never billed to another account than it names.
    pub fn account_id(&self) -> Option<&Text> {
        let billed = self.pair().map(|pair| &pair.account_id);
        billed.or(self.recorded.reported.account_id.as_ref())
    }

    /// Returns the customer that it is billed to or, until it has a pair, the one that it names.
    pub fn customer_id(&self) -> Option<&Text> {
        let billed = self.pair().map(|pair| &pair.customer_id);
        billed.or(self.recorded.reported.customer_id.as_ref())
    }

    /// Creates the entry that voids it. The entry keeps the current pair.
    pub fn void(&self, void: &Void) -> Entry {
        Entry {
            kind: EntryKind::Voided,
            pair: self.pair().cloned(),
            recorded_at: void.at,
            client: void.client.clone(),
            reason: void.reason.clone(),
            ..self.recorded.clone()
        }
    }

    pub fn state(&self) -> BillableState {
        match (&self.voided, self.pair()) {
            (Some(_), _) => BillableState::Voided,
            (None, Some(_)) => BillableState::Billable,
            (None, None) => BillableState::Unattributed,
        }
    }
}
