//! A history: commands of several callers to one or two writers of a partition, and the promises
//! that they must keep.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::caller::{FOREVER, Process, Told, report, start, writer};
use super::kind::Kind;
use super::log::{REFUSED, SimulatedLog};
use super::random::Random;
use crate::billable::{
    Attribution, ClientName, Entry, EntryKind, Field, IdempotencyKey, Identity, Pair, Reported,
    Text, Timestamp, Void,
};

/// A random history.
pub(super) struct History {
    seed: u64,
    random: Random,
    log: SimulatedLog,
    queue: usize,
    processes: Vec<Process>,
    /// What callers were told.
    told: Arc<Mutex<Told>>,
    kinds: Vec<Kind>,
    /// The number of entries made so far. Each has a time of its own, by which it is recognised in
    /// the log.
    entries: i64,
}

impl History {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed, "writer");
        let fault_rate = *random.of(&[0, 3, 8, 8, 20, 50]);
        let is_slow = random.once_in(4);
        let slowness = Duration::from_millis(if is_slow { 1500 } else { 20 });
        let log = SimulatedLog::new(Random::new(seed, "log"), fault_rate, slowness);
        let mut kinds = Vec::new();
        if is_slow {
            kinds.push(Kind::Slowness);
        }
        let queue = if random.once_in(3) { 3 } else { 100 };
        let has_two = random.once_in(3);
        if has_two {
            kinds.push(Kind::TwoWriters);
        }
        Self {
            seed,
            random,
            log,
            queue,
            processes: Vec::new(),
            told: Arc::default(),
            kinds,
            entries: 0,
        }
    }

    /// Runs the history. Returns what was a part of it.
    pub(super) async fn run(mut self) -> Vec<Kind> {
        let writers = 1 + usize::from(self.kinds.contains(&Kind::TwoWriters));
        for _ in 0..writers {
            let process = start(&self.log, self.queue);
            self.processes.push(Arc::new(Mutex::new(process)));
        }
        let mut callers = JoinSet::new();
        let spread = *self.random.of(&[1, 50, 2000]);
        for _ in 0..20 + self.random.below(20) {
            let begins = Duration::from_millis(self.random.below(spread) as u64);
            let process = self.random.of(&self.processes).clone();
            match self.random.below(20) {
                0 if self.random.once_in(4) => {
                    let (log, queue) = (self.log.clone(), self.queue);
                    self.kinds.push(Kind::ProcessRestart);
                    callers.spawn(async move {
                        sleep(begins).await;
                        let restarted = start(&log, queue);
                        let mut process = process.lock().expect("nothing panics");
                        process.1.abort();
                        *process = restarted;
                    });
                }
                0 | 1 => {
                    let attributions = self.attributions();
                    self.kinds.push(Kind::Decision);
                    callers.spawn(async move {
                        sleep(begins).await;
                        let writer = writer(&process);
                        let done = timeout(FOREVER, writer.attribute(0, attributions, None));
                        let _ = done.await.expect("everybody is answered");
                    });
                }
                2..=4 => {
                    let void = self.void();
                    let told = self.told.clone();
                    callers.spawn(async move {
                        sleep(begins).await;
                        let writer = writer(&process);
                        let done = timeout(FOREVER, writer.void(vec![void.clone()])).await;
                        if let Ok(outcomes) = done.expect("everybody is answered")
                            && outcomes[0].is_some()
                        {
                            told.lock().expect("nothing panics").voided.push(void);
                        }
                    });
                }
                _ => {
                    let tries: Vec<_> = self.tries();
                    let told = self.told.clone();
                    let patience = self.random.once_in(8).then(|| {
                        let millis = self.random.below(100) as u64;
                        Duration::from_millis(millis)
                    });
                    callers.spawn(async move {
                        sleep(begins).await;
                        report(&process, tries, patience, &told).await;
                    });
                }
            }
        }
        while let Some(done) = callers.join_next().await {
            if done.is_err() {
                panic!("BILLABLES_SIMULATION_SEED={}", self.seed);
            }
        }
        self.log.end();
        self.check();
        for process in &self.processes {
            process.lock().expect("nothing panics").1.abort();
        }
        let told = self.told.lock().expect("nothing panics");
        self.kinds.extend(&told.kinds);
        self.kinds.extend(&self.log.partition().seen);
        self.kinds.sort();
        self.kinds.dedup();
        std::mem::take(&mut self.kinds)
    }

    /// Makes the entries of a report or a batch, once for each try of its caller.
    fn tries(&mut self) -> Vec<Vec<Entry>> {
        let count = if self.random.once_in(4) {
            1 + self.random.below(5)
        } else {
            1
        };
        let mut tries = vec![Vec::new(); 3];
        for _ in 0..count {
            let entry = self.entry();
            for again in &mut tries {
                again.push(Entry {
                    recorded_at: self.now(),
                    ..entry.clone()
                });
            }
        }
        tries
    }

    /// The content of a report, and how repeats of it are detected.
    fn draft(&mut self) -> (Reported, Identity) {
        let text = |field, text: String| Text::parse(field, text).expect("a text");
        let number = self.random.below(6);
        let has_pair = self.random.once_in(2);
        let mut reported = Reported {
            session_id: Some(text(Field::SessionId, format!("S{}", number % 3))),
            call_sid: Some(text(Field::CallSid, format!("CA{number}"))),
            ..Reported::default()
        };
        if has_pair {
            reported.account_id = Some(text(Field::AccountId, "a".to_owned()));
            reported.customer_id = Some(text(Field::CustomerId, format!("c{}", number % 2)));
        }
        match self.random.below(20) {
            0 => {
                reported.call_sid = Some(text(Field::CallSid, REFUSED.to_owned()));
                self.kinds.push(Kind::Refusal);
                (reported, Identity::Call)
            }
            1..=6 => {
                // The same key with other content is a conflict.
                let key = format!("K{}", self.random.below(4));
                let key = IdempotencyKey::parse(key.as_bytes()).expect("a key");
                (reported, Identity::Key { key, index: None })
            }
            7..=9 => {
                reported.call_sid = None;
                (reported, Identity::None)
            }
            _ => (reported, Identity::Call),
        }
    }

    fn now(&mut self) -> Timestamp {
        self.entries += 1;
        Timestamp::from_micros(1_800_000_000_000_000 + self.entries).expect("a time")
    }

    fn entry(&mut self) -> Entry {
        let (reported, identity) = self.draft();
        let now = self.now();
        let client = ClientName::parse("client").expect("a client");
        let random = Uuid::from_u128(
            0x7000_8000_0000_0000_0000 + u128::try_from(self.entries).expect("positive"),
        );
        let pair = match (&reported.account_id, &reported.customer_id) {
            (Some(account_id), Some(customer_id)) => Some(Pair {
                account_id: account_id.clone(),
                customer_id: customer_id.clone(),
            }),
            _ => None,
        };
        Entry {
            billable_id: identity.id(&client, &reported, || random),
            kind: EntryKind::Recorded,
            reported,
            pair,
            occurred_at: now,
            recorded_at: now,
            client,
            identity,
            reason: None,
        }
    }

    fn void(&mut self) -> Void {
        let entry = self.entry();
        Void {
            billable_id: entry.billable_id,
            reason: None,
            client: entry.client,
            at: self.now(),
            accounts: None,
        }
    }

    /// One to three sessions.
    fn attributions(&mut self) -> Arc<[Attribution]> {
        let text = |field, text: String| Text::parse(field, text).expect("a text");
        let first = self.random.below(3);
        let decided_at = self.now();
        let sessions = first..=(first + self.random.below(3 - first));
        let attributions = sessions.map(|session| Attribution {
            session_id: text(Field::SessionId, format!("S{session}")),
            pair: Pair {
                account_id: text(Field::AccountId, "a".to_owned()),
                customer_id: text(Field::CustomerId, "c0".to_owned()),
            },
            client: ClientName::parse("client").expect("a client"),
            decided_at,
        });
        attributions.collect()
    }

    /// Checks what callers were told against the log.
    fn check(&mut self) {
        let (seed, told) = (self.seed, self.told.lock().expect("nothing panics"));
        let partition = self.log.partition();
        let mut keys = HashMap::new();
        for entry in &partition.entries {
            let times = keys.entry((entry.billable_id, entry.kind)).or_insert(0);
            *times += 1;
            assert_eq!(*times, 1, "an entry is in the log once; seed {seed}");
        }
        let mut new = HashMap::new();
        for (sent, billable, is_new) in &told.acknowledged {
            let stored = partition.recorded(sent.billable_id);
            let stored = stored.unwrap_or_else(|| panic!("{sent:?} is lost; seed {seed}"));
            assert_eq!(
                stored.reported, sent.reported,
                "the content is the acknowledged one; seed {seed}"
            );
            assert_eq!(
                *stored, billable.recorded,
                "what was answered is stored; seed {seed}"
            );
            if *is_new {
                assert_eq!(
                    stored.recorded_at, sent.recorded_at,
                    "{sent:?} is the new one; seed {seed}"
                );
                let times = new.entry(sent.billable_id).or_insert(0);
                *times += 1;
                assert_eq!(*times, 1, "only one caller is told 201; seed {seed}");
            }
        }
        for sent in &told.conflicts {
            let stored = partition
                .recorded(sent.billable_id)
                .expect("what it differs from");
            assert_ne!(stored.reported, sent.reported, "seed {seed}");
        }
        for sent in &told.full {
            let stored = partition.recorded(sent.billable_id);
            assert!(
                stored.is_none_or(|stored| stored.recorded_at != sent.recorded_at),
                "{sent:?} was refused, and is stored; seed {seed}"
            );
        }
        for void in &told.voided {
            assert!(
                partition.voided(void.billable_id).is_some(),
                "{void:?} is lost; seed {seed}"
            );
        }
    }
}
