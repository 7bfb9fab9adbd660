//! Inserts entries into the log.

use std::collections::HashMap;
use std::marker::PhantomData;

use sqlx::SqlStr;
use uuid::Uuid;

use crate::billable::{Entry, Field, IdempotencyKey, LogEntry, Pair, Text};
use crate::store::dialect::Dialect;
use crate::store::error::StoreError;
use crate::store::query::query;
use crate::store::row::{InsertedRow, call_prefix_column};
use crate::store::sql::Sql;
use crate::store::table::{Column, Table};

/// The billables whose entries an append inserted, each with the pair that the entry bills.
///
/// An entry that names no pair gets its session's, if that is decided and accepted. An entry whose
/// billable is not in the map was already committed, or the head is missing.
pub type Appended = HashMap<Uuid, Option<Pair>>;

const INSERT_INTO: &str = "insert into entries (
         partition, position, billable_id, kind,
         account_id, customer_id, session_id, call_sid, billed_account_id, billed_customer_id,
         occurred_at, recorded_at, client, idempotency_key, key_index, reason, call_prefix) ";

/// Builds the statement that inserts entries at the positions taken with the head's lock. `$1` is
/// the partition, `$2` how many entries of the group are left, those of `rows` included: the last of
/// them gets the last position that was taken. `billed` is the pair that is billed, `joined` what it
/// is taken from.
///
/// The statement joins the head instead of binding its value. On Citus, this lets it run on the one
/// shard that holds the partition, without a two-phase commit.
fn insert_at_head<D: Dialect>(rows: &Table<'_>, billed: &'static str, joined: &'static str) -> Sql {
    Sql::from(INSERT_INTO)
        + "select head.partition, head.next_position - $2 + new.ordinal - 1, new.billable_id, new.kind,
               new.account_id, new.customer_id, new.session_id, new.call_sid, "
        + billed
        + ", new.occurred_at, new.recorded_at, new.client, new.idempotency_key, new.key_index, new.reason,
               new.call_prefix
           from log_heads as head cross join "
        + D::numbered_table(rows, 3, "new")
        + joined
        + " where head.partition = $1 on conflict "
        + D::ENTRY_KEY
        + " do nothing"
}

/// The statements that insert entries, built once for all groups: a text has some hundred parts.
pub(super) struct Insertion<D> {
    insert: SqlStr,
    insert_new: SqlStr,
    database: PhantomData<fn() -> D>,
}

impl<D: Dialect> Insertion<D> {
    pub(super) fn new() -> Self {
        let rows = table(&[]);
        let insert = insert_at_head::<D>(
            &rows,
            "coalesce(new.billed_account_id, decided.account_id),
             coalesce(new.billed_customer_id, decided.customer_id)",
            " left join session_pairs as decided on decided.partition = head.partition
                  and decided.session_id = new.session_id
                  and new.kind = 1 and new.billed_account_id is null
                  and (new.account_id is null or new.account_id = decided.account_id)
                  and (new.customer_id is null or new.customer_id = decided.customer_id)",
        );
        let insert = insert + " returning billable_id, billed_account_id, billed_customer_id";
        let billed = "new.billed_account_id, new.billed_customer_id";
        Self {
            insert: insert.shared(),
            insert_new: insert_at_head::<D>(&rows, billed, "").shared(),
            database: PhantomData,
        }
    }

    /// Inserts entries at the last positions that were taken, and returns those that were new. The
    /// transaction must have taken as many positions at least.
    ///
    /// A `recorded` entry without a pair gets its session's pair, if that is decided and accepted.
    /// The join skips a decision that contradicts a half of the pair that the report names:
    /// [`Entry::accepts`]. The statement's snapshot is newer than the head's lock, so it sees what
    /// the previous holder of the lock decided.
    pub(super) async fn insert(
        &self,
        connection: &mut D::Connection,
        partition: i32,
        entries: &[&Entry],
    ) -> Result<Appended, StoreError> {
        let mut new = Appended::new();
        for (left, rows) in batches::<D>(entries) {
            let inserted: Vec<InsertedRow> = query::<D>(self.insert.clone())
                .bind(partition)
                .bind(left)
                .bind_table(rows)
                .fetch_all(&mut *connection)
                .await?;
            for row in inserted {
                let (id, pair) = row.try_into()?;
                new.insert(id, pair);
            }
        }
        Ok(new)
    }

    /// Inserts entries that need no session's pair. Returns whether all of them were new.
    pub(super) async fn insert_new(
        &self,
        connection: &mut D::Connection,
        partition: i32,
        entries: &[&Entry],
    ) -> Result<bool, StoreError> {
        let mut inserted = 0;
        for (left, rows) in batches::<D>(entries) {
            inserted += query::<D>(self.insert_new.clone())
                .bind(partition)
                .bind(left)
                .bind_table(rows)
                .execute(&mut *connection)
                .await?;
        }
        Ok(inserted == entries.len() as u64)
    }
}

/// Inserts entries of another log at their positions.
pub(super) async fn import<D: Dialect>(
    connection: &mut D::Connection,
    entries: &[LogEntry],
) -> Result<(), StoreError> {
    for entries in entries.chunks(D::MAX_ROWS) {
        let partitions = entries.iter().map(|entry| entry.partition.cast_signed());
        let positions = entries.iter().map(|entry| entry.position);
        let of_log: Vec<_> = entries.iter().map(|entry| &entry.entry).collect();
        let mut rows = table(&of_log);
        rows.0.extend([
            ("partition", Column::Integers(partitions.collect())),
            ("position", Column::bigints(positions)),
        ]);
        let sql = Sql::from(INSERT_INTO)
            + "select partition, position, billable_id, kind,
                   account_id, customer_id, session_id, call_sid, billed_account_id, billed_customer_id,
                   occurred_at, recorded_at, client, idempotency_key, key_index, reason, call_prefix
               from "
            + D::table(&rows, 1, "new");
        query::<D>(sql)
            .bind_table(rows)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Divides entries into tables for one statement each, with the number of entries from the first of
/// the table on.
fn batches<'a, D: Dialect>(
    entries: &'a [&'a Entry],
) -> impl Iterator<Item = (i64, Table<'a>)> + use<'a, D> {
    let batches = entries.chunks(D::MAX_ROWS).enumerate();
    batches.map(|(done, batch)| {
        let left = entries.len() - done * D::MAX_ROWS;
        let left = i64::try_from(left).expect("a group is bounded");
        (left, table(batch))
    })
}

/// Returns entries as a table, without their positions.
fn table<'a>(entries: &[&'a Entry]) -> Table<'a> {
    let bigints = |value: fn(&Entry) -> Option<i64>| {
        Column::Bigints(entries.iter().map(|entry| value(entry)).collect())
    };
    let texts = |value: fn(&'a Entry) -> Option<&'a str>| {
        Column::Texts(entries.iter().map(|entry| value(entry)).collect())
    };
    let ids = entries.iter().map(|entry| entry.billable_id).collect();
    Table(vec![
        ("billable_id", Column::Ids(ids)),
        ("kind", bigints(|entry| Some(entry.kind.code().into()))),
        (
            "account_id",
            texts(|entry| reported(entry, Field::AccountId)),
        ),
        (
            "customer_id",
            texts(|entry| reported(entry, Field::CustomerId)),
        ),
        (
            "session_id",
            texts(|entry| reported(entry, Field::SessionId)),
        ),
        ("call_sid", texts(|entry| reported(entry, Field::CallSid))),
        (
            "billed_account_id",
            texts(|entry| Some(entry.pair.as_ref()?.account_id.as_str())),
        ),
        (
            "billed_customer_id",
            texts(|entry| Some(entry.pair.as_ref()?.customer_id.as_str())),
        ),
        (
            "occurred_at",
            bigints(|entry| Some(entry.occurred_at.as_micros())),
        ),
        (
            "recorded_at",
            bigints(|entry| Some(entry.recorded_at.as_micros())),
        ),
        ("client", texts(|entry| Some(entry.client.as_str()))),
        (
            "idempotency_key",
            texts(|entry| entry.identity.key().map(IdempotencyKey::as_str)),
        ),
        (
            "key_index",
            bigints(|entry| entry.identity.index().map(i64::from)),
        ),
        (
            "reason",
            texts(|entry| entry.reason.as_ref().map(Text::as_str)),
        ),
        ("call_prefix", bigints(call_prefix_column)),
    ])
}

fn reported(entry: &Entry, field: Field) -> Option<&str> {
    entry.reported.fields()[field as usize].1
}
