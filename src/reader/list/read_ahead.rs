//! Reads a list in the background, one batch ahead of its reader.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::List;
use crate::billable::Billable;
use crate::store::StoreError;

/// The maximum number of entries per query in [`List::read_ahead`]. It is larger than `MAX_SCAN`,
/// because one more query costs more than reading some entries too many.
const MAX_AHEAD: usize = 5000;

/// The batches of a list that is read ahead.
#[derive(Debug)]
pub struct ReadAhead {
    batches: mpsc::Receiver<Result<Option<Vec<Billable>>, StoreError>>,
    is_over: bool,
}

impl ReadAhead {
    fn of(batches: mpsc::Receiver<Result<Option<Vec<Billable>>, StoreError>>) -> Self {
        Self {
            batches,
            is_over: false,
        }
    }

    /// Returns the next batch, or `None` at the end of the list.
    ///
    /// # Errors
    /// See [`StoreError`]. If the task that reads is lost, the list has no end:
    /// [`StoreError::ReadLost`].
    pub async fn next(&mut self) -> Result<Option<Vec<Billable>>, StoreError> {
        if self.is_over {
            return Ok(None);
        }
        let batch = self.batches.recv().await;
        let batch = batch.unwrap_or(Err(StoreError::ReadLost))?;
        self.is_over = batch.is_none();
        Ok(batch)
    }
}

impl List {
    /// Reads up to `limit` billables, one batch ahead of the receiver. Dropping the receiver stops
    /// the reading.
    pub fn read_ahead(self, limit: usize) -> ReadAhead {
        let (sender, receiver) = mpsc::channel(1);
        let list = Arc::new(self);
        tokio::spawn(async move {
            let batch = (limit.min(MAX_AHEAD) + 4).min(MAX_AHEAD);
            // The database reads the next entries while billables are assembled from these.
            let scan = |after| {
                let list = list.clone();
                tokio::spawn(async move { list.scan(after, batch).await })
            };
            let mut left = limit;
            let mut scanning = list.after.map(scan);
            while let Some(scanned) = scanning.take() {
                let read = async {
                    let (rows, end) = scanned.await.expect("a scan does not panic")?;
                    let is_enough = left == 0 || sender.is_closed();
                    scanning = end.filter(|_| !is_enough).map(scan);
                    list.listed(rows).await
                };
                let mut read = read.await;
                if let Ok(listed) = &mut read {
                    listed.truncate(left);
                    left -= listed.len();
                    if left == 0 {
                        scanning = None;
                    }
                    if listed.is_empty() {
                        continue;
                    }
                }
                let has_failed = read.is_err();
                if sender.send(read.map(Some)).await.is_err() || has_failed {
                    return;
                }
            }
            let _ = sender.send(Ok(None)).await;
        });
        ReadAhead::of(receiver)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn case_27_a_lost_task_is_not_the_end_of_the_list() {
        let (sender, receiver) = mpsc::channel(1);
        let mut read = ReadAhead::of(receiver);
        let lost = tokio::spawn(async move {
            let _ = sender.send(Ok(Some(Vec::new()))).await;
            panic!("a fault");
        });
        assert!(matches!(read.next().await, Ok(Some(_))));
        assert!(lost.await.is_err());
        assert!(matches!(read.next().await, Err(StoreError::ReadLost)));
    }
}
