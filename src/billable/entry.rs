//! The log's entries, and the state that a billable's entries add up to.

use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;

use super::{ClientName, Field, Identity, Report, Reported, Text, Timestamp, identity};

/// The most partitions a log can have. Each costs a head row, and a writer in every process.
pub const MAX_PARTITIONS: u32 = 1024;

/// What an entry says of its billable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// It was reported; this entry's id is the billable's id.
    Recorded,
    /// Its session was given a pair, so it is billed to that pair from now on.
    Attributed,
    /// It is not to be billed.
    Voided,
}

impl EntryKind {
    /// As the API says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::Attributed => "attributed",
            Self::Voided => "voided",
        }
    }

    /// The number that stands for it in the store.
    pub fn code(self) -> i16 {
        match self {
            Self::Recorded => 1,
            Self::Attributed => 2,
            Self::Voided => 3,
        }
    }

    /// The kind with that number.
    pub fn from_code(code: i16) -> Option<Self> {
        [Self::Recorded, Self::Attributed, Self::Voided]
            .into_iter()
            .find(|kind| kind.code() == code)
    }
}

/// Whom a billable is billed to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pair {
    pub account_id: Text,
    pub customer_id: Text,
}

impl Pair {
    /// The fields in which two pairs differ.
    pub fn differing(&self, other: &Self) -> Vec<Field> {
        let halves = [
            (Field::AccountId, self.account_id == other.account_id),
            (Field::CustomerId, self.customer_id == other.customer_id),
        ];
        let differing = halves.into_iter().filter(|(_, is_same)| !is_same);
        differing.map(|(field, _)| field).collect()
    }
}

/// The decision to whom a session is billed. Made once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribution {
    pub session_id: Text,
    /// Whom its billables are billed to, unless they name a pair themselves.
    pub pair: Pair,
    /// The client that decided.
    pub client: ClientName,
    pub decided_at: Timestamp,
}

/// The wish to void a billable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Void {
    pub billable_id: Uuid,
    pub reason: Option<Text>,
    /// The client that wishes so.
    pub client: ClientName,
    pub at: Timestamp,
    /// The accounts that the client is limited to: what is billed to another is not his to void.
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

/// The order of lists: by the time of the call, then by id.
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
    /// Its position there: strictly increasing in the order of commits, with gaps.
    pub position: i64,
    pub entry: Entry,
}

/// One entry of the log. Never changed once stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// For `recorded` the billable's id, else derived from it and the kind.
    pub id: Uuid,
    /// The billable that this entry is about.
    pub billable_id: Uuid,
    pub kind: EntryKind,
    /// The four fields as reported.
    pub reported: Reported,
    /// The pair it bills, if any.
    pub pair: Option<Pair>,
    /// When the call happened.
    pub occurred_at: Timestamp,
    /// When the server took this entry.
    pub recorded_at: Timestamp,
    /// The client that made this entry.
    pub client: ClientName,
    /// What the report is recognised by.
    pub identity: Identity,
    /// Why it was voided; `voided` only.
    pub reason: Option<Text>,
}

impl Entry {
    /// The entry that records a report, billed to the reported pair if both halves are given.
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

    /// Whether it bills whomever its session is attributed to, which may have been decided already.
    pub fn awaits_pair(&self) -> bool {
        self.pair.is_none() && self.reported.session_id.is_some()
    }

    /// The entry that attributes the billable of this recorded one.
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

    /// Its key in the order of lists.
    pub fn list_key(&self) -> ListKey {
        ListKey {
            occurred_at: self.occurred_at,
            billable_id: self.billable_id,
        }
    }
}

/// The partition of a billable and of all its entries, in a log of `partitions`.
///
/// The last 32 bits of the id decide: they are hash bits in a version-8 id and random bits in a
/// version-7 id, whereas the first ones of the latter are a clock.
pub fn partition_of(billable: Uuid, partitions: u32) -> u32 {
    let last = billable
        .as_bytes()
        .last_chunk::<4>()
        .expect("a UUID has 16 bytes");
    u32::from_be_bytes(*last) % partitions
}

/// Whether a billable is to be billed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BillableState {
    /// It has a pair and is not voided.
    Billable,
    /// It has no pair yet.
    Unattributed,
    /// It was taken back.
    Voided,
}

impl BillableState {
    /// The state of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Billable, Self::Unattributed, Self::Voided]
            .into_iter()
            .find(|state| state.as_str() == name)
    }

    /// As the API says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Billable => "billable",
            Self::Unattributed => "unattributed",
            Self::Voided => "voided",
        }
    }
}

/// A billable: its entries, at most one of each kind. Most have only the first, so the others
/// take no room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Billable {
    /// How it was reported.
    pub recorded: Entry,
    /// How it got its pair later, if it did.
    pub attributed: Option<Box<Entry>>,
    /// How it was voided, if it was.
    pub voided: Option<Box<Entry>>,
}

impl Billable {
    /// A billable that has just been recorded.
    pub fn new(recorded: Entry) -> Self {
        Self {
            recorded,
            attributed: None,
            voided: None,
        }
    }

    /// The ids of the entries that a billable may get after it was recorded.
    pub fn later_ids(billable: Uuid) -> [Uuid; 2] {
        [
            identity::attributed_id(billable),
            identity::voided_id(billable),
        ]
    }

    /// The ids of every entry that a billable may have.
    pub fn all_ids(billable: Uuid) -> [Uuid; 3] {
        let [attributed, voided] = Self::later_ids(billable);
        [billable, attributed, voided]
    }

    /// Puts billables together from their entries. Entries whose billable was never recorded
    /// are left out.
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

    /// Whom it is billed to.
    pub fn pair(&self) -> Option<&Pair> {
        let attributed = self
            .attributed
            .as_ref()
            .and_then(|entry| entry.pair.as_ref());
        self.recorded.pair.as_ref().or(attributed)
    }

    /// The accounts that may see it: the one that it names and the one that it is billed to.
    pub fn accounts(&self) -> impl Iterator<Item = &Text> {
        let named = self.recorded.reported.account_id.as_ref();
        named
            .into_iter()
            .chain(self.pair().map(|pair| &pair.account_id))
    }

    /// The account that it is billed to or, while there is none, the one that it names.
    pub fn account_id(&self) -> Option<&Text> {
        let billed = self.pair().map(|pair| &pair.account_id);
        billed.or(self.recorded.reported.account_id.as_ref())
    }

    /// The customer that it is billed to or, while there is none, the one that it names.
    pub fn customer_id(&self) -> Option<&Text> {
        let billed = self.pair().map(|pair| &pair.customer_id);
        billed.or(self.recorded.reported.customer_id.as_ref())
    }

    /// The entry that voids it, with the pair in force.
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
