//! Inserts a group of entries into SQLite.

use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{FromRow, Sqlite, SqliteConnection};

use crate::billable::{Entry, IdempotencyKey, Text};
use crate::store::row::{InsertedRow, call_prefix_column};
use crate::store::{Appended, StoreError};

/// Builds the statement that inserts some entries of a group. `$1` is the partition, `$2` the
/// number of positions left, `$3` the entries as JSON. `$billed` is the pair that is billed.
macro_rules! insert_from {
    ($billed:literal) => {
        concat!(
            "insert into entries (
                 partition, position, billable_id, kind,
                 account_id, customer_id, session_id, call_sid, billed_account_id, billed_customer_id,
                 occurred_at, recorded_at, client, idempotency_key, key_index, reason, call_prefix)
             select
                 head.partition, head.next_position - $2 + new.key, unhex(new.value ->> 0), new.value ->> 1,
                 new.value ->> 2, new.value ->> 3, new.value ->> 4, new.value ->> 5, ",
            $billed,
            ", new.value ->> 8, new.value ->> 9, new.value ->> 10, new.value ->> 11, new.value ->> 12,
                 new.value ->> 13, new.value ->> 14
             from log_heads as head cross join json_each($3) as new"
        )
    };
}

/// The join skips a decision that contradicts a half of the pair that the report names:
/// [`Entry::accepts`].
const INSERT: &str = concat!(
    insert_from!(
        "coalesce(new.value ->> 6, decided.account_id), coalesce(new.value ->> 7, decided.customer_id)"
    ),
    " left join session_pairs as decided on decided.partition = head.partition
          and decided.session_id = new.value ->> 4 and new.value ->> 1 = 1 and new.value ->> 6 is null
          and (new.value ->> 2 is null or new.value ->> 2 = decided.account_id)
          and (new.value ->> 3 is null or new.value ->> 3 = decided.customer_id)
      where head.partition = $1
      on conflict (billable_id, kind) do nothing
      returning billable_id, billed_account_id, billed_customer_id"
);

const INSERT_NEW: &str = concat!(
    insert_from!("new.value ->> 6, new.value ->> 7"),
    " where head.partition = $1
      on conflict (billable_id, kind) do nothing"
);

/// The maximum number of entries in one statement. The statement journal keeps the changed pages in
/// memory, about 10 MiB for a large file.
const MAX_STATEMENT_ENTRIES: usize = 500;

/// Inserts entries at the positions taken with the head's lock, and returns those that were new. A
/// `recorded` entry without a pair gets its session's pair, if that is decided and accepted.
pub(in crate::store) async fn insert(
    connection: &mut SqliteConnection,
    partition: i32,
    count: usize,
    entries: &[&Entry],
) -> Result<Appended, StoreError> {
    let mut new = Appended::new();
    for insertion in insertions(INSERT, partition, count, entries) {
        for row in insertion.fetch_all(&mut *connection).await? {
            let (id, pair) = InsertedRow::from_row(&row)?.try_into()?;
            new.insert(id, pair);
        }
    }
    Ok(new)
}

/// Inserts entries that need no session's pair. Returns whether all of them were new.
pub(super) async fn insert_new(
    connection: &mut SqliteConnection,
    partition: i32,
    entries: &[&Entry],
) -> Result<bool, StoreError> {
    let mut inserted = 0;
    for insertion in insertions(INSERT_NEW, partition, entries.len(), entries) {
        inserted += insertion.execute(&mut *connection).await?.rows_affected();
    }
    Ok(inserted == entries.len() as u64)
}

/// Binds the entries to one of the two statements, once for every [`MAX_STATEMENT_ENTRIES`]
/// entries.
fn insertions(
    statement: &'static str,
    partition: i32,
    count: usize,
    entries: &[&Entry],
) -> impl Iterator<Item = Query<'static, Sqlite, SqliteArguments>> {
    entries
        .chunks(MAX_STATEMENT_ENTRIES)
        .enumerate()
        .map(move |(done, entries)| {
            let left =
                i64::try_from(count - done * MAX_STATEMENT_ENTRIES).expect("a group is bounded");
            sqlx::query(statement)
                .bind(partition)
                .bind(left)
                .bind(rows_json(entries))
        })
}

/// Returns the entries as one JSON text. Each entry is an array of its columns, except partition
/// and position, in the order of the statement above.
fn rows_json(entries: &[&Entry]) -> String {
    let mut rows = "[".to_owned();
    for (index, entry) in entries.iter().enumerate() {
        if index > 0 {
            rows.push(',');
        }
        rows.push_str(&row_json(entry));
    }
    rows.push(']');
    rows
}

fn row_json(entry: &Entry) -> String {
    let Entry {
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
        billable_id.simple().to_string(),
        kind.code(),
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
        call_prefix_column(entry),
    );
    serde_json::to_string(&row).expect("texts and numbers serialise")
}
