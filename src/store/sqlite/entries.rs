//! Entries in SQLite: appending a group, and lookups by billable.

use serde_json::json;
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{Connection, FromRow, SqliteConnection};
use uuid::Uuid;

use super::BEGIN;
use super::connect::connect_checked;
use super::files::Files;
use super::insertion::{insert, insert_new};
use crate::billable::{Entry, LogEntry, Timestamp};
use crate::store::head::begin_locked_at;
use crate::store::row::{EntryRow, LOG, LogRow, entries, entry_columns, log_entries};
use crate::store::{Appended, LogInfo, OpenError, Origin, StoreError};

/// SQLite has no arrays, so a list is bound as one JSON text.
pub(in crate::store) const FIND: &str = concat!(
    "select ",
    entry_columns!(),
    " from entries
     where partition = $1 and billable_id in (select unhex(value) from json_each($2))"
);

pub(in crate::store) const FIND_IN_PARTITIONS: &str = concat!(
    "select ",
    entry_columns!(),
    " from json_each($1) as wanted
     join entries on entries.partition = wanted.value ->> 0
         and entries.billable_id = unhex(wanted.value ->> 1)"
);

/// Selects the entries of accounts, and reads three entries for each id, whether the id exists or
/// not: the time that a check takes must not tell whether another account has an id. A billable has
/// at most three entries.
pub(in crate::store) const FIND_OF_ACCOUNTS: &str = concat!(
    "select ",
    entry_columns!(),
    " from json_each($1) as wanted
     cross join entries on entries.position in (
         select position from entries as next
         where next.billable_id >= unhex(wanted.value ->> 1)
         order by next.billable_id, next.kind limit 3)
     where +entries.partition = wanted.value ->> 0
         and +entries.billable_id = unhex(wanted.value ->> 1)
         and +coalesce(billed_account_id, account_id) in (select value from json_each($2))"
);

impl super::Store {
    pub(in crate::store) async fn entries_find_of(
        &self,
        ids: &[(u32, Uuid)],
        accounts: &[&str],
    ) -> Result<Vec<LogEntry>, StoreError> {
        let rows: Vec<EntryRow> = sqlx::query_as(FIND_OF_ACCOUNTS)
            .bind(pairs_json(ids))
            .bind(json!(accounts).to_string())
            .fetch_all(&self.read)
            .await?;
        log_entries(rows)
    }

    pub(in crate::store) async fn entries_find(
        &self,
        ids: &[(u32, Uuid)],
    ) -> Result<Vec<LogEntry>, StoreError> {
        let rows: Result<Vec<_>, _> = self
            .entry_rows_find(ids)
            .await?
            .iter()
            .map(EntryRow::from_row)
            .collect();
        log_entries(rows?)
    }

    pub(in crate::store) async fn entry_rows_find(
        &self,
        ids: &[(u32, Uuid)],
    ) -> Result<Vec<SqliteRow>, StoreError> {
        let rows = sqlx::query(FIND_IN_PARTITIONS)
            .bind(pairs_json(ids))
            .fetch_all(&self.read);
        Ok(rows.await?)
    }
}

/// The writing side of the one partition, with the one connection that appends to it.
#[derive(Debug)]
pub struct Appender {
    options: SqliteConnectOptions,
    label: String,
    log: LogInfo,
    pub(in crate::store) partition: i32,
    pub(in crate::store) connection: Option<SqliteConnection>,
    files: Files,
    origin: Origin,
}

impl Appender {
    pub(super) fn new(
        options: SqliteConnectOptions,
        label: String,
        files: Files,
        log: LogInfo,
        partition: u32,
        origin: Origin,
    ) -> Self {
        Self {
            origin,
            options,
            label,
            log,
            partition: partition.cast_signed(),
            connection: None,
            files,
        }
    }

    pub(in crate::store) async fn entries_find(
        &mut self,
        ids: &[Uuid],
    ) -> Result<Vec<Entry>, StoreError> {
        let mut connection = self.take_connection().await?;
        let found = find(&mut connection, self.partition, ids).await?;
        self.connection = Some(connection);
        Ok(found)
    }

    /// Appends a group. `begin immediate` takes the only write lock immediately. The head's row is
    /// updated anyway, because positions come from it.
    pub(in crate::store) async fn entries_append(
        &mut self,
        entries: &[&Entry],
    ) -> Result<Appended, StoreError> {
        let mut connection = self.take_connection().await?;
        let latest = entries.iter().map(|entry| entry.recorded_at).max();
        let latest = self.of_server(latest);
        let begin = begin_locked_at(BEGIN, self.partition, entries.len(), latest);
        let mut transaction = connection.begin_with(begin).await?;
        // Nothing is inserted if the head is missing, which the caller sees from the returned ids.
        let new = insert(&mut transaction, self.partition, entries.len(), entries).await?;
        transaction.commit().await?;
        self.confirm()?;
        self.connection = Some(connection);
        Ok(new)
    }

    pub(in crate::store) async fn entries_append_new(
        &mut self,
        entries: &[&Entry],
    ) -> Result<bool, StoreError> {
        let mut connection = self.take_connection().await?;
        let latest = entries.iter().map(|entry| entry.recorded_at).max();
        let latest = self.of_server(latest);
        let begin = begin_locked_at(BEGIN, self.partition, entries.len(), latest);
        let mut transaction = connection.begin_with(begin).await?;
        let are_stored = insert_new(&mut transaction, self.partition, entries).await?;
        if are_stored {
            transaction.commit().await?;
            self.confirm()?;
        } else {
            transaction.rollback().await?;
        }
        self.connection = Some(connection);
        Ok(are_stored)
    }

    /// Takes `count` positions at a time of the server's clock. Returns false if there is no head.
    pub(in crate::store) async fn lock_head(
        &self,
        connection: &mut SqliteConnection,
        count: usize,
        recorded_at: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        let locked = sqlx::query(
            "update log_heads set next_position = next_position + $1,
                 recorded_at = max(recorded_at, $2)
             where partition = $3",
        )
        .bind(i64::try_from(count).expect("a group is bounded"))
        .bind(self.of_server(recorded_at))
        .bind(self.partition)
        .execute(connection)
        .await?;
        Ok(locked.rows_affected() == 1)
    }

    /// Returns a time if a server's clock gave it, in microseconds since 1970; else 0.
    fn of_server(&self, recorded_at: Option<Timestamp>) -> i64 {
        match (self.origin, recorded_at) {
            (Origin::Server, Some(at)) => at.as_micros(),
            _ => 0,
        }
    }

    /// Checks that what was committed or read may be acknowledged: [`Files::confirm`].
    pub(in crate::store) fn confirm(&self) -> Result<(), StoreError> {
        self.files.confirm()
    }

    /// Takes the connection out of the appender, so that it is dropped unless the operation
    /// succeeds.
    ///
    /// Checks the files and the log each time. A restore gives the log a new epoch.
    pub(in crate::store) async fn take_connection(
        &mut self,
    ) -> Result<SqliteConnection, StoreError> {
        let connection = self.connection.take();
        self.files.recover().await?;
        let mut connection = match connection {
            Some(connection) => connection,
            None => connect_checked(&self.options, &self.label)
                .await
                .map_err(OpenError::while_running)?,
        };
        let log: LogRow = sqlx::query_as(LOG).fetch_one(&mut connection).await?;
        if LogInfo::from(log) == self.log {
            Ok(connection)
        } else {
            Err(StoreError::WrongLog)
        }
    }
}

/// Returns the entries of a partition's billables, in no particular order.
pub(in crate::store) async fn find(
    connection: &mut SqliteConnection,
    partition: i32,
    ids: &[Uuid],
) -> Result<Vec<Entry>, StoreError> {
    let rows: Vec<EntryRow> = sqlx::query_as(FIND)
        .bind(partition)
        .bind(ids_json(ids))
        .fetch_all(connection)
        .await?;
    entries(rows)
}

fn pairs_json(ids: &[(u32, Uuid)]) -> String {
    let pairs: Vec<_> = ids
        .iter()
        .map(|(partition, id)| (partition, id.simple().to_string()))
        .collect();
    json!(pairs).to_string()
}

fn ids_json(ids: &[Uuid]) -> String {
    let ids: Vec<_> = ids.iter().map(|id| id.simple().to_string()).collect();
    json!(ids).to_string()
}
