//! The writer task of a partition: takes queued commands, commits them in groups, and answers.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::group::Group;
use super::log::Log;
use super::{Append, Command, Reply, VoidOutcomes, WriteError};
use crate::billable::{Entry, Void};
use crate::metrics::{Limit, METRICS};
use crate::store::StoreError;

/// Once a group has this many entries, it takes no more commands. 500 entries of 300 bytes are
/// 150 kB and commit in some 7 ms on PostgreSQL.
const MAX_GROUP: usize = 500;

/// If the queue has been non-empty for this long, it is overloaded: old reports are then refused. A
/// burst is over by then.
const OVERLOADED_AFTER: Duration = Duration::from_millis(500);

/// How long a report may wait in an overloaded queue, or twice the last turn if that is longer.
const MAX_WAIT: Duration = Duration::from_millis(1500);

/// Detects whether the queue keeps up with the load.
///
/// Under overload, a bounded queue alone would make every caller wait for its whole length.
/// Refusing the reports that have waited too long, without storing them, keeps the wait of the
/// others short.
#[derive(Debug)]
struct OverloadDetector {
    emptied_at: Instant,
    last_turn: Duration,
}

impl OverloadDetector {
    /// Notes whether the queue is empty.
    fn look(&mut self, queue: &mpsc::Receiver<Command>) {
        if queue.is_empty() {
            self.emptied_at = Instant::now();
        }
    }

    /// Notes how long a turn took. After a long turn or an outage the queue counts as just emptied,
    /// so that the commands that arrived meanwhile are not refused at once.
    fn done(&mut self, took: Duration) {
        self.last_turn = took;
        if took >= OVERLOADED_AFTER {
            self.emptied_at = Instant::now();
        }
    }

    /// Refuses reports that have waited too long. While the store is failing, all of them wait.
    fn refuse(&self, appends: &mut Vec<Append>, is_retrying: bool) {
        if is_retrying || self.emptied_at.elapsed() < OVERLOADED_AFTER {
            return;
        }
        let limit = MAX_WAIT.max(self.last_turn * 2);
        let late = appends.extract_if(.., |append| append.queued_at.elapsed() > limit);
        for append in late {
            METRICS.refused(Limit::Queue);
            let _ = append.reply.send(Err(WriteError::Full));
        }
    }
}

/// The commands of one turn.
#[derive(Default)]
struct Batch {
    appends: Vec<Append>,
    voids: Vec<(Vec<Void>, Reply<VoidOutcomes>)>,
    probes: Vec<Reply<()>>,
    /// A step of an attribution, which gets a separate transaction.
    step: Option<Command>,
    entries: usize,
}

impl Batch {
    /// Adds a command. Returns whether there is room for more.
    fn add(&mut self, command: Command) -> bool {
        match command {
            Command::Append(append) => {
                self.entries += append.entries.len();
                self.appends.push(append);
            }
            Command::Void(voids, reply) => {
                self.entries += voids.len();
                self.voids.push((voids, reply));
            }
            Command::Probe(reply) => self.probes.push(reply),
            step @ Command::Attribute(..) => self.step = Some(step),
        }
        self.entries < MAX_GROUP && self.step.is_none()
    }
}

/// Runs until every handle to the queue is dropped and every command in it is done.
pub(super) async fn run<L: Log>(mut group: Group<L>, mut queue: mpsc::Receiver<Command>) {
    let mut overload = OverloadDetector {
        emptied_at: Instant::now(),
        last_turn: Duration::ZERO,
    };
    loop {
        let was_empty = queue.is_empty();
        let Some(first) = queue.recv().await else {
            return;
        };
        if was_empty {
            overload.emptied_at = Instant::now();
        }
        let mut batch = Batch::default();
        let mut has_room = batch.add(first);
        while has_room && let Ok(command) = queue.try_recv() {
            has_room = batch.add(command);
        }
        overload.look(&queue);
        let Batch {
            mut appends,
            mut voids,
            probes,
            step,
            ..
        } = batch;
        // Callers that gave up were told that the outcome is unknown, or have disconnected.
        // Skipping their commands saves work under overload.
        appends.retain(|append| !append.reply.is_closed());
        overload.refuse(&mut appends, group.is_retrying());
        voids.retain(|(_, reply)| !reply.is_closed());
        let started = Instant::now();
        if !appends.is_empty() {
            commit(&mut group, &mut appends).await;
        }
        if !voids.is_empty() {
            void(&mut group, voids).await;
        }
        if let Some(Command::Attribute(attributions, after, reply)) = step
            && !reply.is_closed()
        {
            let done = group.attribute(&attributions, after).await;
            let _ = reply.send(done.map_err(|error| failed(&error)));
        }
        for reply in probes.into_iter().filter(|reply| !reply.is_closed()) {
            let probed = group.probe().await;
            let _ = reply.send(probed.map_err(|error| failed(&error)));
        }
        overload.done(started.elapsed());
    }
}

/// Commits the appends together, or each one separately if an entry or a stored row with its id is
/// invalid. Then only the caller of the invalid one fails.
async fn commit<L: Log>(group: &mut Group<L>, appends: &mut Vec<Append>) {
    let together: Vec<&[Entry]> = appends.iter().map(|append| &*append.entries).collect();
    let result = group.commit(&together, false).await;
    let is_alone = appends.len() <= 1;
    match result {
        Ok(mut committed) => {
            for append in appends.drain(..) {
                // The caller may have disconnected.
                let _ = append.reply.send(Ok(committed.outcomes(append.entries)));
            }
        }
        Err(error) if is_alone || !concerns_one_command(&error) => {
            for append in appends.drain(..) {
                let _ = append.reply.send(Err(failed(&error)));
            }
        }
        Err(_) => {
            for append in appends.drain(..) {
                let alone = group.commit(&[&append.entries], true).await;
                let alone = alone.map(|mut committed| committed.outcomes(append.entries));
                let _ = append.reply.send(alone.map_err(|error| failed(&error)));
            }
        }
    }
}

/// Runs several void commands together, or separately on error, as [`commit`] does.
async fn void<L: Log>(group: &mut Group<L>, commands: Vec<(Vec<Void>, Reply<VoidOutcomes>)>) {
    let together: Vec<_> = commands
        .iter()
        .flat_map(|(voids, _)| voids.clone())
        .collect();
    let result = group.void(&together).await;
    let is_alone = commands.len() <= 1;
    let mut outcomes = match result {
        Ok(outcomes) => outcomes.into_iter(),
        Err(error) if is_alone || !concerns_one_command(&error) => {
            for (_, reply) in commands {
                let _ = reply.send(Err(failed(&error)));
            }
            return;
        }
        Err(_) => {
            for (voids, reply) in commands {
                let alone = group.void(&voids).await;
                let _ = reply.send(alone.map_err(|error| failed(&error)));
            }
            return;
        }
    };
    assert_eq!(outcomes.len(), together.len(), "an outcome for each void");
    for (voids, reply) in commands {
        let _ = reply.send(Ok(outcomes.by_ref().take(voids.len()).collect()));
    }
}

/// Returns whether an error may concern only one of the commands, so that the others can succeed
/// separately.
fn concerns_one_command(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Refused(_) | StoreError::Corrupt { .. } | StoreError::NotStored(_)
    )
}

fn failed(error: &StoreError) -> WriteError {
    if error.is_transient() {
        WriteError::Unavailable
    } else {
        WriteError::Refused
    }
}
