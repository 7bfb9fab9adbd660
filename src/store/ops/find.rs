//! Lookups by billable.

use uuid::Uuid;

use crate::billable::{Entry, LogEntry};
use crate::store::backend::Backend;
use crate::store::dialect::Dialect;
use crate::store::driver::AnyRow;
use crate::store::error::StoreError;
use crate::store::query::query;
use crate::store::row::{ENTRY_COLUMNS, EntryRow, entries, log_entries};
use crate::store::sql::Sql;
use crate::store::table::{Column, Table};

impl<D: Dialect> Backend<D> {
    pub(in crate::store) async fn entries_find(
        &self,
        ids: &[(u32, Uuid)],
    ) -> Result<Vec<LogEntry>, StoreError> {
        log_entries(self.entry_rows_find(ids).await?)
    }

    /// Returns the rows of these billables, given as (partition, id), in no particular order.
    pub(in crate::store) async fn entry_rows_find<T: AnyRow>(
        &self,
        ids: &[(u32, Uuid)],
    ) -> Result<Vec<T>, StoreError> {
        let wanted = wanted(ids);
        let found = query::<D>(in_partitions::<D>(&wanted))
            .bind_table(wanted)
            .fetch_all(&self.read);
        Ok(found.await?)
    }

    pub(in crate::store) async fn entries_find_of(
        &self,
        ids: &[(u32, Uuid)],
        accounts: &[&str],
    ) -> Result<Vec<LogEntry>, StoreError> {
        let wanted = wanted(ids);
        let found = query::<D>(of_accounts::<D>(&wanted))
            .bind_accounts(Some(accounts))
            .bind_table(wanted)
            .fetch_all(&self.read);
        log_entries(found.await?)
    }
}

/// Returns billables, given as (partition, id), as a table.
pub(in crate::store) fn wanted(ids: &[(u32, Uuid)]) -> Table<'static> {
    let partitions = ids.iter().map(|(partition, _)| partition.cast_signed());
    let ids = ids.iter().map(|(_, id)| *id);
    Table(vec![
        ("partition", Column::Integers(partitions.collect())),
        ("billable_id", Column::Ids(ids.collect())),
    ])
}

/// Selects the entries of the billables in a table.
pub(in crate::store) fn in_partitions<D: Dialect>(wanted: &Table<'_>) -> Sql {
    Sql::from("select ")
        + ENTRY_COLUMNS
        + " from "
        + D::table(wanted, 1, "wanted")
        + " join entries on entries.partition = wanted.partition
             and entries.billable_id = wanted.billable_id"
}

/// Selects the entries of the billables in a table that belong to the accounts `$1`.
pub(in crate::store) fn of_accounts<D: Dialect>(wanted: &Table<'_>) -> Sql {
    Sql::from("select ")
        + ENTRY_COLUMNS
        + " from "
        + D::table(wanted, 2, "wanted")
        + D::THREE_OF_EACH
        + " and "
        + D::of_accounts(1)
}

/// Selects the entries of the billables `$2` in the partition `$1`.
pub(in crate::store) fn in_partition<D: Dialect>() -> Sql {
    Sql::from("select ")
        + ENTRY_COLUMNS
        + " from entries where partition = $1 and billable_id "
        + D::among_ids(2)
}

/// Returns the entries of a partition's billables, in no particular order.
pub(in crate::store) async fn find<D: Dialect>(
    connection: &mut D::Connection,
    partition: i32,
    ids: &[Uuid],
) -> Result<Vec<Entry>, StoreError> {
    let rows: Vec<EntryRow> = query::<D>(in_partition::<D>())
        .bind(partition)
        .bind_list(Column::Ids(ids.to_vec()))
        .fetch_all(connection)
        .await?;
    entries(rows)
}
