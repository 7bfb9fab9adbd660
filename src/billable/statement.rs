//! What is on a statement.
//!
//! A statement has a cut of the log and an end of its period. Its content is what the account has
//! before both, less what it had before those of the statement before it. The ends grow and the cuts
//! never fall, so each billable is billed once, on the first statement that it lies before, and
//! credited at most once, if it is voided later.

use uuid::Uuid;

use super::{EntryKind, LogEntry, Text, Timestamp};

/// The cut and the end of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boundary {
    /// The last included position of each partition.
    pub cut: Vec<i64>,
    /// Only calls before this timestamp.
    pub until: Timestamp,
}

impl Boundary {
    /// Whether an entry lies before it.
    fn has(&self, log_entry: &LogEntry) -> bool {
        let LogEntry {
            partition,
            position,
            entry,
        } = log_entry;
        let last = self.cut.get(*partition as usize);
        last.is_some_and(|last| position <= last) && entry.occurred_at < self.until
    }
}

/// What decides about the lines of a statement.
#[derive(Clone, Debug)]
pub struct Terms {
    pub account_id: Text,
    /// The cut of the account's first statement, and its start: what lies before was billed
    /// elsewhere. `None` if the first statement has no start.
    pub opening: Option<Boundary>,
    /// That of the statement before it; `None` for the first.
    pub previous: Option<Boundary>,
    pub own: Boundary,
}

/// What a line says about its billable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LineKind {
    /// It is billed.
    Billed,
    /// It came and was voided within this statement, so it is not billed.
    Voided,
    /// It was billed on an earlier statement, or elsewhere, and has been voided since.
    Credited,
}

impl LineKind {
    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Billed => "billed",
            Self::Voided => "voided",
            Self::Credited => "credited",
        }
    }
}

/// A line of a statement: one billable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub kind: LineKind,
    /// Whether the call happened before the end of the previous statement, or before the start of
    /// the first. Never of a credited one.
    pub is_late: bool,
    /// Whether a credited billable was billed elsewhere, before the first statement.
    pub is_opening: bool,
    pub billable_id: Uuid,
    /// The customer that it is billed to.
    pub customer_id: Text,
    pub session_id: Option<Text>,
    pub call_sid: Option<Text>,
    pub occurred_at: Timestamp,
    pub recorded_at: Timestamp,
    pub attributed_at: Option<Timestamp>,
    pub voided_at: Option<Timestamp>,
    pub void_reason: Option<Text>,
}

/// The entries of a billable that matter to a statement.
#[derive(Clone, Copy)]
struct Entries<'a> {
    recorded: &'a LogEntry,
    /// The entry that bills it: the recorded or the attributed one.
    billed: &'a LogEntry,
    voided: Option<&'a LogEntry>,
}

impl Entries<'_> {
    fn is_billed(&self, before: &Boundary) -> bool {
        before.has(self.billed)
    }

    fn is_voided(&self, before: &Boundary) -> bool {
        self.voided.is_some_and(|voided| before.has(voided))
    }
}

impl Terms {
    /// What lies before the statement: the statement before it, or the opening of the first.
    fn before(&self) -> Option<&Boundary> {
        self.previous.as_ref().or(self.opening.as_ref())
    }

    /// Returns the line of a billable, given by all its entries, if the statement has one.
    ///
    /// The account is the one that is billed, whatever the report names: what bills nobody is on no
    /// statement.
    pub fn line(&self, entries: &[LogEntry]) -> Option<Line> {
        let of = |kind| entries.iter().find(|one| one.entry.kind == kind);
        let recorded = of(EntryKind::Recorded)?;
        let bills = |one: &&LogEntry| {
            let pair = one.entry.pair.as_ref();
            pair.is_some_and(|pair| pair.account_id == self.account_id)
        };
        let billed = Some(recorded).filter(bills);
        let billed = billed.or_else(|| of(EntryKind::Attributed).filter(bills))?;
        let entries = Entries {
            recorded,
            billed,
            voided: of(EntryKind::Voided).filter(bills),
        };
        if !entries.is_billed(&self.own) {
            return None;
        }
        let is_voided = entries.is_voided(&self.own);
        let was_billed = self
            .before()
            .is_some_and(|before| entries.is_billed(before));
        let kind = match (was_billed, is_voided) {
            (false, false) => LineKind::Billed,
            (false, true) => LineKind::Voided,
            (true, true) => {
                let was_voided = self
                    .before()
                    .is_some_and(|before| entries.is_voided(before));
                if was_voided {
                    return None;
                }
                LineKind::Credited
            }
            (true, false) => return None,
        };
        Some(self.shown(kind, &entries))
    }

    fn shown(&self, kind: LineKind, entries: &Entries<'_>) -> Line {
        let Entries {
            recorded,
            billed,
            voided,
        } = entries;
        let entry = &recorded.entry;
        let is_credited = kind == LineKind::Credited;
        let happened_before = self
            .before()
            .is_some_and(|before| entry.occurred_at < before.until);
        let was_elsewhere = self
            .opening
            .as_ref()
            .is_some_and(|opening| entries.is_billed(opening));
        let pair = billed.entry.pair.as_ref().expect("it bills the account");
        let is_attributed = billed.entry.kind == EntryKind::Attributed;
        let voided = voided.filter(|_| kind != LineKind::Billed);
        Line {
            kind,
            is_late: happened_before && !is_credited,
            is_opening: was_elsewhere && is_credited,
            billable_id: entry.billable_id,
            customer_id: pair.customer_id.clone(),
            session_id: entry.reported.session_id.clone(),
            call_sid: entry.reported.call_sid.clone(),
            occurred_at: entry.occurred_at,
            recorded_at: entry.recorded_at,
            attributed_at: is_attributed.then_some(billed.entry.recorded_at),
            voided_at: voided.map(|voided| voided.entry.recorded_at),
            void_reason: voided.and_then(|voided| voided.entry.reason.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap, HashSet};

    use proptest::prelude::*;

    use super::*;
    use crate::billable::entry::partition_of;
    use crate::billable::{
        Attribution, Billable, ClientName, Entry, Field, Identity, Pair, Report, Reported, Void,
    };

    const ACCOUNTS: [&str; 2] = ["a", "b"];
    const PARTITIONS: u32 = 3;

    #[derive(Clone, Debug)]
    enum Step {
        /// An account, a customer, a session and a day.
        Report(Option<usize>, Option<usize>, usize, i64),
        /// A session, an account and a customer.
        Attribute(usize, usize, usize),
        Void(prop::sample::Index),
        /// Makes a statement of an account whose end is this many days after the one before. The
        /// first one may have a start.
        Make(usize, i64, bool),
        /// Takes the last statement of an account back.
        Withdraw(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let maybe = || prop::option::of(0..2_usize);
        let step = prop_oneof![
            8 => (maybe(), maybe(), 0..4_usize, 0..40_i64)
                .prop_map(|(account, customer, session, day)| Step::Report(account, customer, session, day)),
            2 => (0..4_usize, 0..2_usize, 0..2_usize)
                .prop_map(|(session, account, customer)| Step::Attribute(session, account, customer)),
            3 => any::<prop::sample::Index>().prop_map(Step::Void),
            3 => (0..2_usize, 1..12_i64, any::<bool>())
                .prop_map(|(account, days, has_start)| Step::Make(account, days, has_start)),
            1 => (0..2_usize).prop_map(Step::Withdraw),
        ];
        prop::collection::vec(step, 1..80)
    }

    fn text(field: Field, value: String) -> Text {
        Text::parse(field, value).expect("a text")
    }

    fn pair(account: usize, customer: usize) -> Pair {
        Pair {
            account_id: text(Field::AccountId, ACCOUNTS[account].to_owned()),
            customer_id: text(Field::CustomerId, format!("c{customer}")),
        }
    }

    fn day(day: i64) -> Timestamp {
        Timestamp::from_micros(1_767_225_600_000_000 + day * 86_400_000_000).expect("a time")
    }

    /// A log in memory, with the statements of each account.
    #[derive(Default)]
    struct Log {
        entries: HashMap<Uuid, Vec<LogEntry>>,
        heads: [i64; PARTITIONS as usize],
        sessions: HashMap<usize, Pair>,
        known: Vec<Uuid>,
        statements: [Vec<Terms>; 2],
        now: i64,
    }

    impl Log {
        fn append(&mut self, entry: Entry) {
            let partition = partition_of(entry.billable_id, PARTITIONS);
            let head = &mut self.heads[partition as usize];
            *head += 1;
            let position = *head;
            let of = self.entries.entry(entry.billable_id).or_default();
            of.push(LogEntry {
                partition,
                position,
                entry,
            });
        }

        fn billable(&self, id: Uuid) -> Billable {
            let entries = self.entries[&id].iter().map(|one| one.entry.clone());
            let assembled = Billable::assemble(entries);
            assembled.into_values().next().expect("a billable")
        }

        fn apply(&mut self, step: &Step) {
            self.now += 1;
            let at = Timestamp::from_micros(1_800_000_000_000_000 + self.now).expect("a time");
            let client = ClientName::parse("client").expect("a client");
            match *step {
                Step::Report(account, customer, session, happened) => {
                    let id = Uuid::from_u128(
                        u128::from(self.now.unsigned_abs()) << 96 | 0x8000_8000 << 48 | 7,
                    );
                    let report = Report {
                        reported: Reported {
                            account_id: account.map(|at| pair(at, 0).account_id),
                            customer_id: customer.map(|at| pair(0, at).customer_id),
                            session_id: Some(text(Field::SessionId, format!("S{session}"))),
                            call_sid: None,
                        },
                        occurred_at: Some(day(happened)),
                    };
                    let mut entry = Entry::recorded(id, report, Identity::None, client, at);
                    if entry.pair.is_none() {
                        let decided = self.sessions.get(&session);
                        entry.pair = decided.filter(|pair| entry.accepts(pair)).cloned();
                    }
                    self.append(entry);
                    self.known.push(id);
                }
                Step::Attribute(session, account, customer) => {
                    let decided = pair(account, customer);
                    let decided = self.sessions.entry(session).or_insert(decided).clone();
                    let session_id = text(Field::SessionId, format!("S{session}"));
                    let attribution = Attribution {
                        session_id: session_id.clone(),
                        pair: decided,
                        client,
                        decided_at: at,
                    };
                    for id in self.known.clone() {
                        let billable = self.billable(id);
                        let is_open = billable.pair().is_none() && billable.voided.is_none();
                        let is_of =
                            billable.recorded.reported.session_id.as_ref() == Some(&session_id);
                        if is_open && is_of && billable.recorded.accepts(&attribution.pair) {
                            self.append(billable.recorded.attributed(&attribution));
                        }
                    }
                }
                Step::Void(index) if !self.known.is_empty() => {
                    let id = self.known[index.index(self.known.len())];
                    let billable = self.billable(id);
                    if billable.voided.is_none() {
                        let void = Void {
                            billable_id: id,
                            reason: None,
                            client,
                            at,
                            accounts: None,
                        };
                        self.append(billable.void(&void));
                    }
                }
                Step::Make(account, days, has_start) => self.make(account, days, has_start),
                Step::Withdraw(account) => {
                    self.statements[account].pop();
                }
                Step::Void(_) => {}
            }
        }

        fn make(&mut self, account: usize, days: i64, has_start: bool) {
            let statements = &mut self.statements[account];
            let cut = self.heads.to_vec();
            let last = statements.last();
            let start = has_start.then(|| day(5));
            let until = match last {
                Some(last) => last.own.until.as_micros() + days * 86_400_000_000,
                None => day(5 + days).as_micros(),
            };
            let opening = match last {
                Some(last) => last.opening.clone(),
                None => start.map(|until| Boundary {
                    cut: cut.clone(),
                    until,
                }),
            };
            let terms = Terms {
                account_id: pair(account, 0).account_id,
                opening,
                previous: last.map(|last| last.own.clone()),
                own: Boundary {
                    cut,
                    until: Timestamp::from_micros(until).expect("a time"),
                },
            };
            statements.push(terms);
        }

        /// The net number of billables of each customer before a boundary, counted from the entries.
        fn net(&self, account: &Text, before: &Boundary) -> BTreeMap<String, i64> {
            let mut net = BTreeMap::new();
            for one in self.entries.values().flatten() {
                let pair = one
                    .entry
                    .pair
                    .as_ref()
                    .filter(|pair| pair.account_id == *account);
                let Some(pair) = pair.filter(|_| before.has(one)) else {
                    continue;
                };
                let count: &mut i64 = net.entry(pair.customer_id.as_str().to_owned()).or_default();
                *count += if one.entry.kind == EntryKind::Voided {
                    -1
                } else {
                    1
                };
            }
            net
        }

        /// Checks the law for an account.
        fn check(&self, account: usize) {
            let statements = &self.statements[account];
            let Some(last) = statements.last() else {
                return;
            };
            let mut sums = match &statements[0].opening {
                Some(opening) => self.net(&last.account_id, opening),
                None => BTreeMap::new(),
            };
            let (mut billed, mut credited) = (HashSet::new(), HashSet::new());
            for terms in statements {
                for entries in self.entries.values() {
                    let Some(line) = terms.line(entries) else {
                        continue;
                    };
                    let id = line.billable_id;
                    let sum = sums
                        .entry(line.customer_id.as_str().to_owned())
                        .or_default();
                    match line.kind {
                        LineKind::Billed => {
                            assert!(billed.insert(id), "billed twice");
                            *sum += 1;
                        }
                        LineKind::Credited => {
                            assert!(credited.insert(id), "credited twice");
                            assert!(
                                line.is_opening != billed.contains(&id),
                                "credited, but never billed"
                            );
                            *sum -= 1;
                        }
                        LineKind::Voided => {
                            assert!(!billed.contains(&id) && !credited.contains(&id));
                        }
                    }
                    let before = terms.before().map(|before| before.until);
                    let is_before = before.is_some_and(|until| line.occurred_at < until);
                    assert_eq!(line.is_late, is_before && line.kind != LineKind::Credited);
                }
            }
            sums.retain(|_, sum| *sum != 0);
            let mut totals = self.net(&last.account_id, &last.own);
            totals.retain(|_, total| *total != 0);
            assert_eq!(sums, totals, "opening and statements add up to the totals");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 2000,
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn statements_bill_and_credit_each_billable_once_and_add_up_to_the_totals(steps in steps()) {
            let mut log = Log::default();
            for step in steps {
                log.apply(&step);
                log.check(0);
                log.check(1);
            }
        }
    }
}
