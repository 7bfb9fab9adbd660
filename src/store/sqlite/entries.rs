//! Entries in SQLite: the group append and look-ups by id.

use serde_json::json;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqliteConnection};
use uuid::Uuid;

use super::connect_checked;
use crate::billable::{Entry, IdempotencyKey, Text};
use crate::store::row::{EntryRow, LOG, LogRow, entries, entry_columns};
use crate::store::{LogInfo, OpenError, StoreError};

/// SQLite has no arrays: a list goes in as one JSON text.
const FIND: &str = concat!(
    "select ",
    entry_columns!(),
    " from entries
     where partition = $1 and id in (select unhex(value) from json_each($2))"
);

impl super::Store {
    pub(in crate::store) async fn entries_find(
        &self,
        partition: u32,
        ids: &[Uuid],
    ) -> Result<Vec<Entry>, StoreError> {
        let rows: Vec<EntryRow> = sqlx::query_as(FIND)
            .bind(partition)
            .bind(ids_json(ids))
            .fetch_all(&self.read)
            .await?;
        entries(rows)
    }
}

/// The writing side of the one partition, with the one connection that appends to it.
#[derive(Debug)]
pub struct Appender {
    options: SqliteConnectOptions,
    place: String,
    log: LogInfo,
    partition: u32,
    connection: Option<SqliteConnection>,
}

impl Appender {
    pub(super) fn new(
        options: SqliteConnectOptions,
        place: String,
        log: LogInfo,
        partition: u32,
    ) -> Self {
        Self {
            options,
            place,
            log,
            partition,
            connection: None,
        }
    }

    pub(in crate::store) async fn entries_find(
        &mut self,
        ids: &[Uuid],
    ) -> Result<Vec<Entry>, StoreError> {
        let mut connection = self.take_connection().await?;
        let rows: Vec<EntryRow> = sqlx::query_as(FIND)
            .bind(self.partition)
            .bind(ids_json(ids))
            .fetch_all(&mut connection)
            .await?;
        self.connection = Some(connection);
        entries(rows)
    }

    /// `begin immediate` takes the only write lock at once; the head's row is updated all the
    /// same, because positions come from it.
    pub(in crate::store) async fn entries_append(
        &mut self,
        entries: &[&Entry],
    ) -> Result<Vec<Uuid>, StoreError> {
        let mut connection = self.take_connection().await?;
        let mut transaction = connection.begin_with("begin immediate").await?;
        let count = i64::try_from(entries.len()).expect("a group is bounded");
        sqlx::query("update log_heads set next_position = next_position + $1 where partition = $2")
            .bind(count)
            .bind(self.partition)
            .execute(&mut *transaction)
            .await?;
        let inserted = insert(&mut transaction, self.partition, count, entries).await?;
        transaction.commit().await?;
        self.connection = Some(connection);
        Ok(inserted)
    }

    /// Takes the connection out, so that it is lost unless the operation ends well.
    async fn take_connection(&mut self) -> Result<SqliteConnection, StoreError> {
        if let Some(connection) = self.connection.take() {
            return Ok(connection);
        }
        let mut connection = connect_checked(&self.options, &self.place)
            .await
            .map_err(OpenError::into_unavailable)?;
        let log: LogRow = sqlx::query_as(LOG).fetch_one(&mut connection).await?;
        match LogInfo::from(log) == self.log {
            true => Ok(connection),
            false => Err(StoreError::other_log()),
        }
    }
}

async fn insert(
    transaction: &mut SqliteConnection,
    partition: u32,
    count: i64,
    entries: &[&Entry],
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar(
        "insert into entries (
             partition, id, position, kind, billable_id,
             account_id, customer_id, session_id, call_sid, billed_account_id, billed_customer_id,
             occurred_at, recorded_at, client, idempotency_key, key_index, reason)
         select
             head.partition, unhex(new.value ->> 0), head.next_position - $2 + new.key, new.value ->> 1, unhex(new.value ->> 2),
             new.value ->> 3, new.value ->> 4, new.value ->> 5, new.value ->> 6, new.value ->> 7, new.value ->> 8,
             new.value ->> 9, new.value ->> 10, new.value ->> 11, new.value ->> 12, new.value ->> 13, new.value ->> 14
         from log_heads as head, json_each($3) as new
         where head.partition = $1
         on conflict (partition, id) do nothing
         returning id",
    )
    .bind(partition)
    .bind(count)
    .bind(rows_json(entries))
    .fetch_all(transaction)
    .await
}

/// Entries as one JSON text, each an array of its columns in the order of the statement above,
/// from `id` on.
fn rows_json(entries: &[&Entry]) -> String {
    let mut rows = "[".to_owned();
    for (place, entry) in entries.iter().enumerate() {
        if place > 0 {
            rows.push(',');
        }
        rows.push_str(&row_json(entry));
    }
    rows.push(']');
    rows
}

fn row_json(entry: &Entry) -> String {
    let Entry {
        id,
        billable_id,
        kind,
        reported,
        pair,
        occurred_at,
        recorded_at,
        client,
        identity,
        reason,
    } = entry;
    let [account, customer, session, call] = reported.fields().map(|(_, value)| value);
    let row = (
        id.simple().to_string(),
        kind.code(),
        billable_id.simple().to_string(),
        account,
        customer,
        session,
        call,
        pair.as_ref().map(|pair| pair.account_id.as_str()),
        pair.as_ref().map(|pair| pair.customer_id.as_str()),
        occurred_at.as_micros(),
        recorded_at.as_micros(),
        client.as_str(),
        identity.key().map(IdempotencyKey::as_str),
        identity.index(),
        reason.as_ref().map(Text::as_str),
    );
    serde_json::to_string(&row).expect("texts and numbers serialise")
}

fn ids_json(ids: &[Uuid]) -> String {
    let ids: Vec<_> = ids.iter().map(|id| id.simple().to_string()).collect();
    json!(ids).to_string()
}
