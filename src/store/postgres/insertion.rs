//! Inserts a group of entries into PostgreSQL.

use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{FromRow, PgConnection, Postgres};

use crate::billable::{Entry, Field, IdempotencyKey, Pair, Text};
use crate::store::row::{InsertedRow, call_prefix_column};
use crate::store::{Appended, StoreError};

/// Builds the statement that inserts a group. `$1` is the partition and `$2` the number of
/// positions taken. Each array after those holds one column of all entries. `$billed` is the pair
/// that is billed.
macro_rules! insert_from {
    ($billed:literal) => {
        concat!(
            "insert into entries (
                 partition, position, billable_id, kind,
                 account_id, customer_id, session_id, call_sid, billed_account_id, billed_customer_id,
                 occurred_at, recorded_at, client, idempotency_key, key_index, reason, call_prefix)
             select
                 head.partition, head.next_position - $2 + new.ordinal - 1, new.billable_id, new.kind,
                 new.account_id, new.customer_id, new.session_id, new.call_sid, ",
            $billed,
            ", new.occurred_at, new.recorded_at, new.client, new.idempotency_key, new.key_index, new.reason,
                 new.call_prefix
             from log_heads as head cross join unnest(
                 $3::uuid[], $4::smallint[],
                 $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[],
                 $11::bigint[], $12::bigint[], $13::text[], $14::text[], $15::bigint[], $16::text[],
                 $17::bigint[]
             ) with ordinality as new (
                 billable_id, kind,
                 account_id, customer_id, session_id, call_sid, billed_account_id, billed_customer_id,
                 occurred_at, recorded_at, client, idempotency_key, key_index, reason, call_prefix, ordinal)"
        )
    };
}

/// The join skips a decision that contradicts a half of the pair that the report names:
/// [`Entry::accepts`].
const INSERT: &str = concat!(
    insert_from!(
        "coalesce(new.billed_account_id, decided.account_id),
         coalesce(new.billed_customer_id, decided.customer_id)"
    ),
    " left join session_pairs as decided on decided.partition = head.partition
          and decided.session_id = new.session_id and new.kind = 1 and new.billed_account_id is null
          and (new.account_id is null or new.account_id = decided.account_id)
          and (new.customer_id is null or new.customer_id = decided.customer_id)
      where head.partition = $1
      on conflict (partition, billable_id, kind) do nothing
      returning billable_id, billed_account_id, billed_customer_id"
);

const INSERT_NEW: &str = concat!(
    insert_from!("new.billed_account_id, new.billed_customer_id"),
    " where head.partition = $1
      on conflict (partition, billable_id, kind) do nothing"
);

/// Inserts entries at the positions taken with the head's lock, and returns those that were new.
///
/// A `recorded` entry without a pair gets its session's pair, if that is decided and accepted. The statement's
/// snapshot is newer than the lock, so it sees what the previous holder of the lock decided.
pub(in crate::store) async fn insert(
    connection: &mut PgConnection,
    partition: i32,
    count: usize,
    entries: &[&Entry],
) -> Result<Appended, StoreError> {
    let rows = insertion(INSERT, partition, count, entries)
        .fetch_all(connection)
        .await?;
    rows.iter()
        .map(|row| InsertedRow::from_row(row)?.try_into())
        .collect()
}

/// Inserts entries that need no session's pair. Returns whether all of them were new.
pub(super) async fn insert_new(
    connection: &mut PgConnection,
    partition: i32,
    entries: &[&Entry],
) -> Result<bool, StoreError> {
    let inserted = insertion(INSERT_NEW, partition, entries.len(), entries)
        .execute(connection)
        .await?;
    Ok(inserted.rows_affected() == entries.len() as u64)
}

/// Binds the entries to one of the two statements.
fn insertion<'q>(
    statement: &'static str,
    partition: i32,
    count: usize,
    entries: &[&'q Entry],
) -> Query<'q, Postgres, PgArguments> {
    let texts = |field: Field| -> Vec<Option<&str>> {
        entries
            .iter()
            .map(|entry| entry.reported.fields()[field as usize].1)
            .collect()
    };
    let billed = |half: fn(&Pair) -> &Text| -> Vec<Option<&str>> {
        entries
            .iter()
            .map(|entry| entry.pair.as_ref().map(|pair| half(pair).as_str()))
            .collect()
    };
    sqlx::query(statement)
        .bind(partition)
        .bind(i64::try_from(count).expect("a group is bounded"))
        .bind(
            entries
                .iter()
                .map(|entry| entry.billable_id)
                .collect::<Vec<_>>(),
        )
        .bind(
            entries
                .iter()
                .map(|entry| entry.kind.code())
                .collect::<Vec<_>>(),
        )
        .bind(texts(Field::AccountId))
        .bind(texts(Field::CustomerId))
        .bind(texts(Field::SessionId))
        .bind(texts(Field::CallSid))
        .bind(billed(|pair| &pair.account_id))
        .bind(billed(|pair| &pair.customer_id))
        .bind(
            entries
                .iter()
                .map(|entry| entry.occurred_at.as_micros())
                .collect::<Vec<_>>(),
        )
        .bind(
            entries
                .iter()
                .map(|entry| entry.recorded_at.as_micros())
                .collect::<Vec<_>>(),
        )
        .bind(
            entries
                .iter()
                .map(|entry| entry.client.as_str())
                .collect::<Vec<_>>(),
        )
        .bind(
            entries
                .iter()
                .map(|entry| entry.identity.key().map(IdempotencyKey::as_str))
                .collect::<Vec<_>>(),
        )
        .bind(
            entries
                .iter()
                .map(|entry| entry.identity.index().map(i64::from))
                .collect::<Vec<_>>(),
        )
        .bind(
            entries
                .iter()
                .map(|entry| entry.reason.as_ref().map(Text::as_str))
                .collect::<Vec<_>>(),
        )
        .bind(
            entries
                .iter()
                .map(|entry| call_prefix_column(entry))
                .collect::<Vec<_>>(),
        )
}
