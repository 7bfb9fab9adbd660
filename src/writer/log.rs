//! What the writer needs of a partition of the log.

use uuid::Uuid;

use crate::billable::{Attribution, Entry, ListKey, Void};
use crate::store::{Appended, Appender, AttributionStep, StoreError, Voided};

/// The writing side of a partition, with the one connection that appends to it.
///
/// Every change is one durable transaction. After an error that [is
/// transient](StoreError::is_transient), and after a future that was dropped, the change may or may
/// not happen, also later: but not after a later change has returned.
pub(super) trait Log: Send + 'static {
    /// See [`Appender::entries_append`].
    fn append(
        &mut self,
        entries: &[&Entry],
    ) -> impl Future<Output = Result<Appended, StoreError>> + Send;

    /// See [`Appender::entries_append_new`].
    fn append_new(
        &mut self,
        entries: &[&Entry],
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Returns the entries of these billables, in no particular order, without waiting for changes.
    fn find(&mut self, ids: &[Uuid])
    -> impl Future<Output = Result<Vec<Entry>, StoreError>> + Send;

    /// Makes sure that everything that was found is durable.
    fn confirm(&mut self) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// See [`Appender::entries_void`].
    fn void(&mut self, voids: &[Void]) -> impl Future<Output = Result<Voided, StoreError>> + Send;

    /// See [`Appender::entries_attribute`].
    fn attribute(
        &mut self,
        attributions: &[Attribution],
        after: Option<ListKey>,
    ) -> impl Future<Output = Result<AttributionStep, StoreError>> + Send;

    /// See [`Appender::probe`].
    fn probe(
        &mut self,
        sample: Option<&Entry>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

impl Log for Appender {
    async fn append(&mut self, entries: &[&Entry]) -> Result<Appended, StoreError> {
        self.entries_append(entries).await
    }

    async fn append_new(&mut self, entries: &[&Entry]) -> Result<bool, StoreError> {
        self.entries_append_new(entries).await
    }

    async fn find(&mut self, ids: &[Uuid]) -> Result<Vec<Entry>, StoreError> {
        self.entries_find(ids).await
    }

    async fn confirm(&mut self) -> Result<(), StoreError> {
        self.entries_confirm().await
    }

    async fn void(&mut self, voids: &[Void]) -> Result<Voided, StoreError> {
        self.entries_void(voids).await
    }

    async fn attribute(
        &mut self,
        attributions: &[Attribution],
        after: Option<ListKey>,
    ) -> Result<AttributionStep, StoreError> {
        self.entries_attribute(attributions, after).await
    }

    async fn probe(&mut self, sample: Option<&Entry>) -> Result<(), StoreError> {
        Self::probe(self, sample).await
    }
}
