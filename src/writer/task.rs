//! The task of a partition: takes what waits, does together what can be done together, answers.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::group::Group;
use super::{Job, Record, Reply, Settled, WriteError};
use crate::billable::{Entry, Void};
use crate::metrics::{Limit, METRICS};
use crate::store::StoreError;

/// Entries in one commit, unless a single job has more. 500 entries of 300 bytes are 150 kB and
/// commit in some 7 ms on PostgreSQL.
const MAX_GROUP: usize = 500;

/// How long the queue may stand, never emptied, before reports that waited for long are refused. A
/// burst is over by then.
const STANDS_AFTER: Duration = Duration::from_millis(500);

/// How long a report may wait in a queue that stands; or two commits, if those take longer.
const MAX_WAIT: Duration = Duration::from_millis(100);

/// Whether the queue keeps up with what comes. Under overload a queue that is only bounded makes
/// everybody wait for its whole length; refusing who has waited for long, which stores nothing,
/// keeps the wait of the others short.
#[derive(Debug)]
struct Standing {
    emptied_at: Instant,
    commit: Duration,
}

impl Standing {
    /// Notes whether the queue is empty.
    fn look(&mut self, queue: &mpsc::Receiver<Job>) {
        if queue.is_empty() {
            self.emptied_at = Instant::now();
        }
    }

    /// Refuses those that have waited for too long. While the store is in trouble all wait for it.
    fn refuse(&self, records: &mut Vec<Record>, is_troubled: bool) {
        if is_troubled || self.emptied_at.elapsed() < STANDS_AFTER {
            return;
        }
        let limit = MAX_WAIT.max(self.commit * 2);
        let late = records.extract_if(.., |record| record.queued_at.elapsed() > limit);
        for record in late {
            METRICS.refused(Limit::Queue);
            let _ = record.reply.send(Err(WriteError::Full));
        }
    }
}

/// Runs until every handle to the queue is gone, and everything in it is done.
pub(super) async fn run(mut group: Group, mut queue: mpsc::Receiver<Job>) {
    let mut records = Vec::new();
    let mut next = None;
    let mut standing = Standing {
        emptied_at: Instant::now(),
        commit: Duration::ZERO,
    };
    loop {
        let Some(first) = (match next.take() {
            Some(job) => Some(job),
            None => {
                let was_empty = queue.is_empty();
                let job = queue.recv().await;
                if was_empty {
                    standing.emptied_at = Instant::now();
                }
                job
            }
        }) else {
            return;
        };
        match first {
            Job::Record(record) => {
                let mut rows = record.entries.len();
                records.push(record);
                while rows < MAX_GROUP {
                    match queue.try_recv() {
                        Ok(Job::Record(record)) => {
                            rows += record.entries.len();
                            records.push(record);
                        }
                        Ok(other) => {
                            next = Some(other);
                            break;
                        }
                        Err(_) => break,
                    }
                }
                standing.look(&queue);
                // Whoever gave up was told that nothing is certain; under overload this is the
                // work that need not be done.
                records.retain(|record| !record.reply.is_closed());
                standing.refuse(&mut records, group.is_troubled());
                if !records.is_empty() {
                    let started = Instant::now();
                    commit(&mut group, &mut records).await;
                    standing.commit = started.elapsed();
                }
            }
            Job::Void(first, reply) => {
                let mut count = first.len();
                let mut voids = vec![(first, reply)];
                while count < MAX_GROUP {
                    match queue.try_recv() {
                        Ok(Job::Void(more, reply)) => {
                            count += more.len();
                            voids.push((more, reply));
                        }
                        Ok(other) => {
                            next = Some(other);
                            break;
                        }
                        Err(_) => break,
                    }
                }
                voids.retain(|(_, reply)| !reply.is_closed());
                void(&mut group, voids).await;
            }
            Job::Attribute(_, _, reply) if reply.is_closed() => {}
            Job::Attribute(attribution, after, reply) => {
                let step = group.attribute(&attribution, after).await;
                let _ = reply.send(step.map_err(|error| failed(&error)));
            }
        }
    }
}

/// Commits the jobs together; if something is wrong with one of them, or with what is stored
/// under its ids, each by itself, so that it fails only its own caller.
async fn commit(group: &mut Group, jobs: &mut Vec<Record>) {
    let together: Vec<&[Entry]> = jobs.iter().map(|job| &*job.entries).collect();
    let result = group.commit(&together).await;
    if result.as_ref().is_err_and(is_about_one) && jobs.len() > 1 {
        for job in jobs.drain(..) {
            let alone = group
                .commit(&[&job.entries])
                .await
                .map(|mut outcomes| outcomes.remove(0));
            // A caller that has gone needs no answer.
            let _ = job.reply.send(alone.map_err(|error| failed(&error)));
        }
        return;
    }
    match result {
        Ok(outcomes) => {
            for (job, outcomes) in jobs.drain(..).zip(outcomes) {
                let _ = job.reply.send(Ok(outcomes));
            }
        }
        Err(error) => {
            for job in jobs.drain(..) {
                let _ = job.reply.send(Err(failed(&error)));
            }
        }
    }
}

/// Voids together what was asked for by several, as [`commit`] does.
async fn void(group: &mut Group, jobs: Vec<(Vec<Void>, Reply<Settled>)>) {
    let together: Vec<_> = jobs.iter().flat_map(|(voids, _)| voids.clone()).collect();
    let result = group.void(&together).await;
    let is_alone = jobs.len() <= 1;
    let mut settled = match result {
        Ok(settled) => settled.into_iter(),
        Err(error) if is_alone || !is_about_one(&error) => {
            for (_, reply) in jobs {
                let _ = reply.send(Err(failed(&error)));
            }
            return;
        }
        Err(_) => {
            for (voids, reply) in jobs {
                let alone = group.void(&voids).await;
                let _ = reply.send(alone.map_err(|error| failed(&error)));
            }
            return;
        }
    };
    for (voids, reply) in jobs {
        let _ = reply.send(Ok(settled.by_ref().take(voids.len()).collect()));
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
    match error {
        StoreError::Unavailable(_) | StoreError::TimedOut => WriteError::Unavailable,
        StoreError::Refused(_) | StoreError::NotStored(_) | StoreError::Corrupt { .. } => {
            WriteError::Refused
        }
    }
}
