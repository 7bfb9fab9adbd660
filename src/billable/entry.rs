//! The entries of the log, and the state of a billable that results from its entries.

use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;

use super::{ClientName, Field, Identity, Report, Reported, Text, Timestamp, identity};

/// The maximum number of partitions. Each costs a head row, and a writer in every process.
pub const MAX_PARTITIONS: u32 = 1024;

/// What an entry says about its billable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// The billable was reported. This entry's id is the billable's id.
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
    /// The pair that its billables are billed to, unless they name a pair themselves.
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

/// One entry of the log. Never changed once stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The billable's id for `recorded`, else derived from the billable's id and the kind.
    pub id: Uuid,
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
            id,
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

    /// Whether it gets its pair from its session's attribution, which may already be decided.
    pub fn awaits_pair(&self) -> bool {
        self.pair.is_none() && self.reported.session_id.is_some()
    }

    /// Creates the entry that attributes the billable of this recorded entry.
    pub fn attributed(&self, attribution: &Attribution) -> Self {
        Self {
            id: identity::attributed_id(self.billable_id),
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
/// The last 32 bits of the id decide: they are hash bits in a version-8 id and random bits in a
/// version-7 id. The first bits of a version-7 id are a timestamp.
pub fn partition_of(billable: Uuid, partitions: u32) -> u32 {
    let last = billable
        .as_bytes()
        .last_chunk::<4>()
        .expect("a UUID has 16 bytes");
    u32::from_be_bytes(*last) % partitions
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

    /// Returns the ids of the entries that a billable may get after it was recorded.
    pub fn later_ids(billable: Uuid) -> [Uuid; 2] {
        [
            identity::attributed_id(billable),
            identity::voided_id(billable),
        ]
    }

    /// Returns the ids of every entry that a billable may have.
    pub fn all_ids(billable: Uuid) -> [Uuid; 3] {
        let [attributed, voided] = Self::later_ids(billable);
        [billable, attributed, voided]
    }

    /// Assembles billables from their entries. Entries are left out if the `recorded` entry of
    /// their billable is missing.
    pub fn assemble(entries: impl IntoIterator<Item = Entry>) -> HashMap<Uuid, Self> {
        let (recorded, later): (Vec<_>, Vec<_>) = entries
            .into_iter()
            .partition(|entry| entry.kind == EntryKind::Recorded);
        let mut billables: HashMap<_, _> = recorded
            .into_iter()
            .map(|entry| (entry.id, Self::new(entry)))
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

    /// Returns the accounts that may see it: the one it names and the one it is billed to.
    pub fn accounts(&self) -> impl Iterator<Item = &Text> {
        let named = self.recorded.reported.account_id.as_ref();
        named
            .into_iter()
            .chain(self.pair().map(|pair| &pair.account_id))
    }

    /// Returns the account that it is billed to or, until it has a pair, the one that it names.
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
            id: identity::voided_id(self.recorded.id),
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
