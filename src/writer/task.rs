//! The task of a partition: takes what waits, does together what can be done together, answers.

use tokio::sync::mpsc;

use super::group::Group;
use super::{Job, Record, Reply, Settled, WriteError};
use crate::billable::{Entry, Void};
use crate::store::StoreError;

/// Entries in one commit, unless a single job has more. 500 entries of 300 bytes are 150 kB and
/// commit in some 7 ms on PostgreSQL.
const MAX_GROUP: usize = 500;

/// Runs until every handle to the queue is gone, and everything in it is done.
pub(super) async fn run(mut group: Group, mut queue: mpsc::Receiver<Job>) {
    let mut records = Vec::new();
    let mut next = None;
    loop {
        let Some(first) = (match next.take() {
            Some(job) => Some(job),
            None => queue.recv().await,
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
                // Whoever gave up was told that nothing is certain; under overload this is the
                // work that need not be done.
                records.retain(|record| !record.reply.is_closed());
                if !records.is_empty() {
                    commit(&mut group, &mut records).await;
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
        for Record {
            entries,
            reply,
            _claim,
        } in jobs.drain(..)
        {
            let alone = group
                .commit(&[&entries])
                .await
                .map(|mut outcomes| outcomes.remove(0));
            // A caller that has gone needs no answer.
            let _ = reply.send(alone.map_err(|error| failed(&error)));
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
