//! The task of a partition: takes what waits, does together what can be done together, answers.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::group::Group;
use super::{Append, Command, Reply, VoidOutcomes, WriteError};
use crate::billable::{Entry, Void};
use crate::metrics::{Limit, METRICS};
use crate::store::StoreError;

/// Entries in one commit, unless a single command has more. 500 entries of 300 bytes are 150 kB and
/// commit in some 7 ms on PostgreSQL.
const MAX_GROUP: usize = 500;

/// How long the queue may stand, never emptied, before reports that waited for long are refused. A
/// burst is over by then.
const STANDS_AFTER: Duration = Duration::from_millis(500);

/// How long a report may wait in a queue that stands; or two commits, if those take longer.
const MAX_WAIT: Duration = Duration::from_millis(1500);

/// Whether the queue keeps up with what comes. Under overload a queue that is only bounded makes
/// everybody wait for its whole length; refusing who has waited for long, which stores nothing,
/// keeps the wait of the others short.
#[derive(Debug)]
struct OverloadDetector {
    emptied_at: Instant,
    commit: Duration,
}

impl OverloadDetector {
    /// Notes whether the queue is empty.
    fn look(&mut self, queue: &mpsc::Receiver<Command>) {
        if queue.is_empty() {
            self.emptied_at = Instant::now();
        }
    }

    /// Notes how long a turn took. After a long one, or the end of an outage, whatever came
    /// meanwhile is a burst.
    fn done(&mut self, took: Duration) {
        self.commit = took;
        if took >= STANDS_AFTER {
            self.emptied_at = Instant::now();
        }
    }

    /// Refuses those that have waited for too long. While the store is in trouble all wait for it.
    fn refuse(&self, appends: &mut Vec<Append>, is_retrying: bool) {
        if is_retrying || self.emptied_at.elapsed() < STANDS_AFTER {
            return;
        }
        let limit = MAX_WAIT.max(self.commit * 2);
        let late = appends.extract_if(.., |append| append.queued_at.elapsed() > limit);
        for append in late {
            METRICS.refused(Limit::Queue);
            let _ = append.reply.send(Err(WriteError::Full));
        }
    }
}

/// What was taken from the queue at once.
#[derive(Default)]
struct Taken {
    appends: Vec<Append>,
    voids: Vec<(Vec<Void>, Reply<VoidOutcomes>)>,
    /// A step of an attribution, which is done by itself.
    step: Option<Command>,
    entries: usize,
}

impl Taken {
    /// Adds a command; whether there is room for more.
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
            step @ Command::Attribute(..) => self.step = Some(step),
        }
        self.entries < MAX_GROUP && self.step.is_none()
    }
}

/// Runs until every handle to the queue is gone, and everything in it is done.
pub(super) async fn run(mut group: Group, mut queue: mpsc::Receiver<Command>) {
    let mut overload = OverloadDetector {
        emptied_at: Instant::now(),
        commit: Duration::ZERO,
    };
    loop {
        let was_empty = queue.is_empty();
        let Some(first) = queue.recv().await else {
            return;
        };
        if was_empty {
            overload.emptied_at = Instant::now();
        }
        let mut taken = Taken::default();
        let mut has_room = taken.add(first);
        while has_room && let Ok(command) = queue.try_recv() {
            has_room = taken.add(command);
        }
        overload.look(&queue);
        let Taken {
            mut appends,
            mut voids,
            step,
            ..
        } = taken;
        // Whoever gave up was told that nothing is certain; under overload this is the work that
        // need not be done.
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
        if let Some(Command::Attribute(attribution, after, reply)) = step
            && !reply.is_closed()
        {
            let done = group.attribute(&attribution, after).await;
            let _ = reply.send(done.map_err(|error| failed(&error)));
        }
        overload.done(started.elapsed());
    }
}

/// Commits the appends together; if something is wrong with one of them, or with what is stored
/// under its ids, each by itself, so that it fails only its own caller.
async fn commit(group: &mut Group, appends: &mut Vec<Append>) {
    let together: Vec<&[Entry]> = appends.iter().map(|append| &*append.entries).collect();
    let result = group.commit(&together, false).await;
    if result.as_ref().is_err_and(is_about_one) && appends.len() > 1 {
        for append in appends.drain(..) {
            let alone = group
                .commit(&[&append.entries], true)
                .await
                .map(|mut outcomes| outcomes.remove(0));
            // A caller that has gone needs no answer.
            let _ = append.reply.send(alone.map_err(|error| failed(&error)));
        }
        return;
    }
    match result {
        Ok(outcomes) => {
            assert_eq!(appends.len(), outcomes.len(), "outcomes for each append");
            for (append, outcomes) in appends.drain(..).zip(outcomes) {
                let _ = append.reply.send(Ok(outcomes));
            }
        }
        Err(error) => {
            for append in appends.drain(..) {
                let _ = append.reply.send(Err(failed(&error)));
            }
        }
    }
}

/// Voids together what was asked for by several, as [`commit`] does.
async fn void(group: &mut Group, commands: Vec<(Vec<Void>, Reply<VoidOutcomes>)>) {
    let together: Vec<_> = commands
        .iter()
        .flat_map(|(voids, _)| voids.clone())
        .collect();
    let result = group.void(&together).await;
    let is_alone = commands.len() <= 1;
    let mut outcomes = match result {
        Ok(outcomes) => outcomes.into_iter(),
        Err(error) if is_alone || !is_about_one(&error) => {
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

/// Whether an error is about what was to be written, and not about the database.
fn is_about_one(error: &StoreError) -> bool {
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
