//! Entries in SQLite: the group append and look-ups by id.

use serde_json::json;
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{Connection, FromRow, SqliteConnection};
use uuid::Uuid;

use super::{BEGIN, FileId, connect_checked, file_id};
use crate::billable::{Entry, IdempotencyKey, Placed, Text};
use crate::store::row::{EntryRow, InsertedRow, LOG, LogRow, entries, entry_columns, placed};
use crate::store::{Appended, LogInfo, OpenError, StoreError};

/// SQLite has no arrays: a list goes in as one JSON text.
pub(in crate::store) const FIND: &str = concat!(
    "select ",
    entry_columns!(),
    " from entries
     where partition = $1 and id in (select unhex(value) from json_each($2))"
);

pub(in crate::store) const FIND_PLACED: &str = concat!(
    "select ",
    entry_columns!(),
    " from json_each($1) as wanted
     join entries on entries.partition = wanted.value ->> 0 and entries.id = unhex(wanted.value ->> 1)"
);

/// The statements of calls: of everybody's; of those that bill, or billing none name, an account;
/// of those that name an account and bill another.
pub(in crate::store) const OF_CALLS: [&str; 3] = [
    concat!(
        "select ",
        entry_columns!(),
        " from entries where call_sid in (select value from json_each($1)) limit $2"
    ),
    concat!(
        "select ",
        entry_columns!(),
        " from entries where call_sid in (select value from json_each($1))
           and coalesce(billed_account_id, account_id) in (select value from json_each($3)) limit $2"
    ),
    concat!(
        "select ",
        entry_columns!(),
        " from entries where call_sid in (select value from json_each($1))
           and account_id in (select value from json_each($3)) and account_id <> billed_account_id limit $2"
    ),
];

impl super::Store {
    pub(in crate::store) async fn entries_find(
        &self,
        ids: &[(u32, Uuid)],
    ) -> Result<Vec<Placed>, StoreError> {
        let rows = self.entry_rows_find(ids).await?;
        let rows: Result<Vec<_>, _> = rows.iter().map(EntryRow::from_row).collect();
        placed(rows?)
    }

    pub(in crate::store) async fn entry_rows_find(
        &self,
        ids: &[(u32, Uuid)],
    ) -> Result<Vec<SqliteRow>, StoreError> {
        let wanted: Vec<_> = ids
            .iter()
            .map(|(partition, id)| (partition, id.simple().to_string()))
            .collect();
        let wanted = json!(wanted).to_string();
        let rows = sqlx::query(FIND_PLACED).bind(wanted).fetch_all(&self.read);
        Ok(rows.await?)
    }

    pub(in crate::store) async fn entries_of_calls(
        &self,
        calls: &[&str],
        accounts: Option<&[String]>,
        limit: u32,
    ) -> Result<Vec<Placed>, StoreError> {
        let [of_all, of_own @ ..] = OF_CALLS;
        let statements = accounts.map_or(vec![of_all], |_| of_own.to_vec());
        let mut rows: Vec<EntryRow> = Vec::new();
        for statement in statements {
            let calls = json!(calls).to_string();
            let mut query = sqlx::query_as(statement).bind(calls).bind(i64::from(limit));
            if let Some(accounts) = accounts {
                query = query.bind(json!(accounts).to_string());
            }
            rows.extend(query.fetch_all(&self.read).await?);
        }
        placed(rows)
    }
}

/// The writing side of the one partition, with the one connection that appends to it.
#[derive(Debug)]
pub struct Appender {
    options: SqliteConnectOptions,
    place: String,
    log: LogInfo,
    pub(in crate::store) partition: i32,
    pub(in crate::store) connection: Option<SqliteConnection>,
    /// The file that the connection has open.
    file: Option<FileId>,
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
            partition: partition.cast_signed(),
            connection: None,
            file: None,
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

    /// `begin immediate` takes the only write lock at once; the head's row is updated all the
    /// same, because positions come from it.
    pub(in crate::store) async fn entries_append(
        &mut self,
        entries: &[&Entry],
    ) -> Result<Appended, StoreError> {
        let mut connection = self.take_connection().await?;
        let mut transaction = connection.begin_with(BEGIN).await?;
        // With no head nothing is inserted, which is found out by what comes back.
        lock_head(&mut transaction, self.partition, entries.len()).await?;
        let new = insert(&mut transaction, self.partition, entries.len(), entries).await?;
        transaction.commit().await?;
        self.connection = Some(connection);
        Ok(new)
    }

    /// Takes the connection out, so that it is lost unless the operation ends well.
    ///
    /// Whoever puts a backup in the file's place, or only takes the file away, leaves this process
    /// with one that nobody will ever read; and whoever restores makes it another log.
    pub(in crate::store) async fn take_connection(
        &mut self,
    ) -> Result<SqliteConnection, StoreError> {
        let file = file_id(self.options.get_filename());
        let mut connection = match self.connection.take() {
            Some(connection) if file.is_some() && file == self.file => connection,
            _ => connect_checked(&self.options, &self.place)
                .await
                .map_err(OpenError::into_unavailable)?,
        };
        self.file = file;
        let log: LogRow = sqlx::query_as(LOG).fetch_one(&mut connection).await?;
        match LogInfo::from(log) == self.log {
            true => Ok(connection),
            false => Err(StoreError::other_log()),
        }
    }
}

/// The entries of a partition that have one of `ids`, in no order.
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

/// Takes `count` positions; false when there is no head.
pub(in crate::store) async fn lock_head(
    connection: &mut SqliteConnection,
    partition: i32,
    count: usize,
) -> Result<bool, StoreError> {
    let locked =
        sqlx::query("update log_heads set next_position = next_position + $1 where partition = $2")
            .bind(i64::try_from(count).expect("a group is bounded"))
            .bind(partition)
            .execute(connection)
            .await?;
    Ok(locked.rows_affected() == 1)
}

/// Inserts entries at the positions that [`lock_head`] took, and returns those that were new. A
/// session that is decided gives its pair to those that record without one.
pub(in crate::store) async fn insert(
    connection: &mut SqliteConnection,
    partition: i32,
    count: usize,
    entries: &[&Entry],
) -> Result<Appended, StoreError> {
    let rows: Vec<InsertedRow> = sqlx::query_as(
        "insert into entries (
             partition, id, position, kind, billable_id,
             account_id, customer_id, session_id, call_sid, billed_account_id, billed_customer_id,
             occurred_at, recorded_at, client, idempotency_key, key_index, reason)
         select
             head.partition, unhex(new.value ->> 0), head.next_position - $2 + new.key, new.value ->> 1, unhex(new.value ->> 2),
             new.value ->> 3, new.value ->> 4, new.value ->> 5, new.value ->> 6,
             coalesce(new.value ->> 7, decided.account_id), coalesce(new.value ->> 8, decided.customer_id),
             new.value ->> 9, new.value ->> 10, new.value ->> 11, new.value ->> 12, new.value ->> 13, new.value ->> 14
         from log_heads as head cross join json_each($3) as new
         left join session_pairs as decided on decided.partition = head.partition
             and decided.session_id = new.value ->> 5 and new.value ->> 1 = 1 and new.value ->> 7 is null
         where head.partition = $1
         on conflict (partition, id) do nothing
         returning id, billed_account_id, billed_customer_id",
    )
    .bind(partition)
    .bind(i64::try_from(count).expect("a group is bounded"))
    .bind(rows_json(entries))
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(TryFrom::try_from).collect()
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
