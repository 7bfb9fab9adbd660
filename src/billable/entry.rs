//! The log's entries, and the state that a billable's entries add up to.

use std::collections::HashMap;

use uuid::Uuid;

use super::{ClientName, Identity, Instant, Report, Reported, Text, identity};

/// The most partitions a log can have. Each costs a head row, and a writer in every process.
pub const MAX_PARTITIONS: u32 = 1024;

/// What an entry says of its billable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// It was reported; this entry's id is the billable's id.
    Recorded,
    /// Its session was given a pair, so it is billed to that pair from now on.
    Attributed,
    /// It is not to be billed.
    Voided,
}

impl Kind {
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
    /// The account.
    pub account_id: Text,
    /// The customer.
    pub customer_id: Text,
}

/// One entry of the log. Never changed once stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// For `recorded` the billable's id, else derived from it and the kind.
    pub id: Uuid,
    /// The billable that this entry is about.
    pub billable_id: Uuid,
    /// What it says.
    pub kind: Kind,
    /// The four fields as reported.
    pub reported: Reported,
    /// The pair it bills, if any.
    pub pair: Option<Pair>,
    /// When the call happened.
    pub occurred_at: Instant,
    /// When the server took this entry.
    pub recorded_at: Instant,
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
        now: Instant,
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
            kind: Kind::Recorded,
            reported,
            pair,
            occurred_at: occurred_at.unwrap_or(now),
            recorded_at: now,
            client,
            identity,
            reason: None,
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
pub enum State {
    /// It has a pair and is not voided.
    Billable,
    /// It has no pair yet.
    Unattributed,
    /// It was taken back.
    Voided,
}

impl State {
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

    /// Puts billables together from their entries. Entries whose billable was never recorded
    /// are left out.
    pub fn assemble(entries: Vec<Entry>) -> HashMap<Uuid, Self> {
        let (recorded, later): (Vec<_>, Vec<_>) = entries
            .into_iter()
            .partition(|entry| entry.kind == Kind::Recorded);
        let mut billables: HashMap<_, _> = recorded
            .into_iter()
            .map(|entry| (entry.id, Self::new(entry)))
            .collect();
        for entry in later {
            let Some(billable) = billables.get_mut(&entry.billable_id) else {
                continue;
            };
            match entry.kind {
                Kind::Recorded => {}
                Kind::Attributed => billable.attributed = Some(Box::new(entry)),
                Kind::Voided => billable.voided = Some(Box::new(entry)),
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

    /// Its state.
    pub fn state(&self) -> State {
        match (&self.voided, self.pair()) {
            (Some(_), _) => State::Voided,
            (None, Some(_)) => State::Billable,
            (None, None) => State::Unattributed,
        }
    }
}
