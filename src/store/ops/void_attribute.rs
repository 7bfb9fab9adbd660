//! The appends in this module depend on the log's contents: voiding and attributing. They are
//! decided under the lock of the partition's head, so a later transaction sees what an earlier one
//! did.

use std::collections::HashMap;

use sqlx::Connection;
use uuid::Uuid;

use super::append::Appender;
use super::find::find;
use crate::billable::{Attribution, Billable, Entry, EntryKind, ListKey, Text, Timestamp, Void};
use crate::store::dialect::Dialect;
use crate::store::error::StoreError;
use crate::store::query::query;
use crate::store::row::{ENTRY_COLUMNS, EntryRow, entries};
use crate::store::sql::Sql;
use crate::store::table::{Column, Table};

/// The result of voiding: for each request the billable and whether it was already voided; `None`
/// if there is no billable that the client may void.
pub type Voided = Vec<Option<(Billable, bool)>>;

/// The maximum number of entries in one step of an attribution: some 50 ms under the lock.
pub const STEP: u32 = 5000;

/// What a step of an attribution leaves to do in its partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttributionStep {
    /// Nothing.
    Done,
    /// Entries of the only session that are after this key.
    After(ListKey),
    /// Everything: the sessions together have too many entries for one step.
    TooMany,
}

/// Selects a session's `recorded` entries without a pair, and its `voided` entries. The entries of
/// one billable are adjacent.
pub(in crate::store) fn of_session<D: Dialect>() -> Sql {
    Sql::from("select ")
        + ENTRY_COLUMNS
        + " from entries where "
        + D::OF_PARTITION
        + " and session_id = $2 and (occurred_at, billable_id) > ($3, $4)
            and (kind = 3 or (kind = 1 and billed_account_id is null))
            order by occurred_at, billable_id limit $5"
}

/// Selects the entries of several sessions like [`of_session`], in no particular order.
pub(in crate::store) fn of_sessions<D: Dialect>() -> Sql {
    Sql::from("select ")
        + ENTRY_COLUMNS
        + " from entries where "
        + D::OF_PARTITION
        + " and session_id "
        + D::among(2)
        + " and (kind = 3 or (kind = 1 and billed_account_id is null)) limit $3"
}

/// Copies decisions into the partition `$1`.
fn copy_decisions<D: Dialect>(decisions: &Table<'_>) -> Sql {
    Sql::from(
        "insert into session_pairs (partition, session_id, account_id, customer_id)
             select cast($1 as integer), session_id, account_id, customer_id from ",
    ) + D::table(decisions, 2, "decided")
        + " where true on conflict (partition, session_id) do nothing"
}

impl<D: Dialect> Appender<D> {
    fn no_head(&self) -> StoreError {
        StoreError::NoHead {
            table: "log_heads",
            partition: self.partition,
        }
    }

    /// Appends an entry for each billable that is not voided yet, with the current pair.
    pub(in crate::store) async fn entries_void(
        &mut self,
        voids: &[Void],
    ) -> Result<Voided, StoreError> {
        let mut link = self.take_link().await?;
        let mut transaction = link.begin().await?;
        let latest = voids.iter().map(|void| void.at).max();
        let has_head = self
            .lock_head(&mut transaction, voids.len(), latest)
            .await?;
        if let (Some(void), false) = (voids.first(), has_head) {
            return Err(StoreError::NotStored(void.billable_id));
        }
        let ids: Vec<_> = voids.iter().map(|void| void.billable_id).collect();
        let found = find::<D>(&mut transaction, self.partition, &ids).await?;
        let (fresh, billables) = voided(Billable::assemble(found), voids);
        let fresh: Vec<_> = fresh.iter().collect();
        let new = self
            .insertion
            .insert(&mut transaction, self.partition, &fresh)
            .await?;
        if let Some(lost) = fresh
            .iter()
            .find(|entry| !new.contains_key(&entry.billable_id))
        {
            return Err(StoreError::NotStored(lost.billable_id));
        }
        transaction.commit().await?;
        self.confirm(link)?;
        Ok(billables)
    }

    pub(in crate::store) async fn probe(
        &mut self,
        sample: Option<&Entry>,
    ) -> Result<(), StoreError> {
        let mut link = self.take_link().await?;
        let mut transaction = link.begin().await?;
        if !self.lock_head(&mut transaction, 0, None).await? {
            return Err(self.no_head());
        }
        if let Some(sample) = sample {
            let mut inner = transaction.begin().await?;
            self.lock_head(&mut inner, 1, None).await?;
            self.insertion
                .insert(&mut inner, self.partition, &[sample])
                .await?;
            inner.rollback().await?;
        }
        transaction.commit().await?;
        self.confirm(link)
    }

    /// Writes the partition's copies of decisions. Reads at most [`STEP`] of the sessions' entries and
    /// attributes their billables.
    pub(in crate::store) async fn entries_attribute(
        &mut self,
        attributions: &[Attribution],
        after: Option<ListKey>,
    ) -> Result<AttributionStep, StoreError> {
        let mut link = self.take_link().await?;
        let mut transaction = link.begin().await?;
        if !self.lock_head(&mut transaction, 0, None).await? {
            return Err(self.no_head());
        }
        let text = |value: fn(&Attribution) -> &Text| {
            Column::texts(attributions.iter().map(|one| value(one).as_str()))
        };
        let decisions = Table(vec![
            ("session_id", text(|one| &one.session_id)),
            ("account_id", text(|one| &one.pair.account_id)),
            ("customer_id", text(|one| &one.pair.customer_id)),
        ]);
        query::<D>(copy_decisions::<D>(&decisions))
            .bind(self.partition)
            .bind_table(decisions)
            .execute(&mut *transaction)
            .await?;
        let (rows, is_ordered): (Vec<EntryRow>, _) = match attributions {
            [only] => {
                let start = after.unwrap_or(ListKey {
                    occurred_at: Timestamp::MIN,
                    billable_id: Uuid::nil(),
                });
                let found = query::<D>(of_session::<D>())
                    .bind(self.partition)
                    .bind(only.session_id.as_str())
                    .bind(start.occurred_at.as_micros())
                    .bind(start.billable_id)
                    .bind(i64::from(STEP))
                    .fetch_all(&mut *transaction);
                (found.await?, true)
            }
            several => {
                let sessions = several.iter().map(|one| one.session_id.as_str());
                let found = query::<D>(of_sessions::<D>())
                    .bind(self.partition)
                    .bind_list(Column::texts(sessions))
                    .bind(i64::from(STEP))
                    .fetch_all(&mut *transaction);
                (found.await?, false)
            }
        };
        let is_full = rows.len() == STEP as usize;
        let (fresh, step) = if is_full && !is_ordered {
            (Vec::new(), AttributionStep::TooMany)
        } else {
            attributed(entries(rows)?, attributions)
        };
        if !fresh.is_empty() {
            let fresh: Vec<_> = fresh.iter().collect();
            let latest = attributions.iter().map(|one| one.decided_at).max();
            self.lock_head(&mut transaction, fresh.len(), latest)
                .await?;
            // Entries that an earlier try stored are left as they are.
            self.insertion
                .insert(&mut transaction, self.partition, &fresh)
                .await?;
        }
        transaction.commit().await?;
        self.confirm(link)?;
        Ok(step)
    }
}

/// Returns the entries to append, and for each request its billable and whether it was already
/// voided. A billable that an earlier attempt of the same request voided is not reported as already
/// voided.
///
/// An earlier attempt is recognised by its timestamp and client.
fn voided(mut billables: HashMap<Uuid, Billable>, voids: &[Void]) -> (Vec<Entry>, Voided) {
    let mut fresh = Vec::new();
    let settled = voids.iter().map(|void| {
        let billable = billables
            .get_mut(&void.billable_id)
            .filter(|billable| void.may_void(billable))?;
        let is_replayed = match &billable.voided {
            Some(entry) => entry.recorded_at != void.at || entry.client != void.client,
            None => {
                let entry = billable.void(void);
                billable.voided = Some(Box::new(entry.clone()));
                fresh.push(entry);
                false
            }
        };
        Some((billable.clone(), is_replayed))
    });
    let settled = settled.collect();
    (fresh, settled)
}

/// Returns the entries that attribute the billables that accept their session's pair, and what is left
/// to do.
///
/// If the batch is full, its last billable is left for the next step, because its entries may be
/// incomplete.
fn attributed(found: Vec<Entry>, attributions: &[Attribution]) -> (Vec<Entry>, AttributionStep) {
    let is_full = found.len() == STEP as usize;
    let last = found.last().map(Entry::list_key).filter(|_| is_full);
    let whole: Vec<_> = found
        .into_iter()
        .filter(|entry| Some(entry.list_key()) != last)
        .collect();
    let next = whole.last().map(Entry::list_key).filter(|_| is_full);
    let of_session: HashMap<_, _> = attributions
        .iter()
        .map(|attribution| (&attribution.session_id, attribution))
        .collect();
    let billables = Billable::assemble(whole).into_values();
    let open = billables.filter(|billable| billable.voided.is_none());
    let attributed = open.filter_map(|billable| {
        let session = billable.recorded.reported.session_id.as_ref()?;
        let attribution = of_session.get(session)?;
        let accepts = billable.recorded.accepts(&attribution.pair);
        accepts.then(|| billable.recorded.attributed(attribution))
    });
    let mut fresh: Vec<_> = attributed.collect();
    // Sort by list key, because the map has no order.
    fresh.sort_by_key(Entry::list_key);
    debug_assert!(
        fresh
            .iter()
            .all(|entry| entry.kind == EntryKind::Attributed)
    );
    let step = next.map_or(AttributionStep::Done, AttributionStep::After);
    (fresh, step)
}
