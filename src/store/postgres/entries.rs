//! Entries in PostgreSQL: the group append and look-ups by id.

use std::fmt;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::{AssertSqlSafe, Connection, FromRow, PgConnection};
use tokio::time::Instant;
use uuid::Uuid;

use super::connect_checked;
use crate::billable::{Entry, Field, IdempotencyKey, Pair, Placed, Text};
use crate::store::row::{EntryRow, InsertedRow, LOG, LogRow, entries, entry_columns, placed};
use crate::store::{Appended, LogInfo, OpenError, StoreError};

const FIND: &str = concat!(
    "select ",
    entry_columns!(),
    " from entries where partition = $1 and id = any($2)"
);

const FIND_PLACED: &str = concat!(
    "select ",
    entry_columns!(),
    " from unnest($1::integer[], $2::uuid[]) as wanted (partition, id)
     join entries on entries.partition = wanted.partition and entries.id = wanted.id"
);

/// The statements of calls: of everybody's; of those that bill, or billing none name, an account;
/// of those that name an account and bill another.
const OF_CALLS: [&str; 3] = [
    concat!(
        "select ",
        entry_columns!(),
        " from entries where call_sid = any($1) limit $2"
    ),
    concat!(
        "select ",
        entry_columns!(),
        " from entries where call_sid = any($1)
           and coalesce(billed_account_id, account_id) = any($3) limit $2"
    ),
    concat!(
        "select ",
        entry_columns!(),
        " from entries where call_sid = any($1)
           and account_id = any($3) and account_id <> billed_account_id limit $2"
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
    ) -> Result<Vec<PgRow>, StoreError> {
        let (partitions, ids): (Vec<_>, Vec<_>) = ids
            .iter()
            .map(|(partition, id)| (partition.cast_signed(), *id))
            .unzip();
        let rows = sqlx::query(FIND_PLACED)
            .bind(partitions)
            .bind(ids)
            .fetch_all(&self.read);
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
            let mut query = sqlx::query_as(statement).bind(calls).bind(i64::from(limit));
            if let Some(accounts) = accounts {
                query = query.bind(accounts);
            }
            rows.extend(query.fetch_all(&self.read).await?);
        }
        placed(rows)
    }
}

/// Begins a writing transaction. Everything is set with it, and not once a connection, for
/// poolers that hand each transaction to another connection.
///
/// - Read committed, whatever the database's default is: a group that lost a race for an id has
///   to see who won.
/// - Citus hands settings on to the workers, which hold the rows, only when told to; elsewhere
///   this one means nothing.
/// - No `statement_timeout`: where there are synchronous standbys it would end the wait for them
///   with a mere warning, and the commit would look replicated without being so. A frozen peer
///   is got rid of by the server, a frozen server by the caller's deadline.
pub(in crate::store) const BEGIN: &str = "begin isolation level read committed;
    set local citus.propagate_set_commands = 'local';
    set local synchronous_commit = on;
    set local statement_timeout = 0;
    set local lock_timeout = '4s';
    set local idle_in_transaction_session_timeout = '4s'";

/// Begins as [`BEGIN`] and does what [`lock_head`] does, in one round trip: each one costs what a
/// few dozen rows do. Only numbers are put into the text. Not for Citus, which hands settings on to
/// its workers by repeating the whole text that they came in.
fn begin_locked(partition: i32, count: usize) -> AssertSqlSafe<String> {
    AssertSqlSafe(format!(
        "{BEGIN};
         update log_heads set next_position = next_position + {count} where partition = {partition}"
    ))
}

/// How often a connection that is kept is asked whether its log is still the same, which is not so
/// after a restore.
const CHECK_LOG_EVERY: Duration = Duration::from_secs(1);

/// The writing side of one partition, with the one connection that appends to it.
pub struct Appender {
    options: PgConnectOptions,
    log: LogInfo,
    pub(in crate::store) partition: i32,
    pub(in crate::store) connection: Option<PgConnection>,
    /// Whether a commit may have to wait for others to have it, as of this connection.
    has_standbys: bool,
    /// Whether the rows are on workers, as of this connection.
    is_citus: bool,
    /// When the log was last asked for what it is.
    log_checked: Instant,
}

/// The options hold the password.
impl fmt::Debug for Appender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Appender").field(&self.partition).finish()
    }
}

impl Appender {
    pub(super) fn new(options: PgConnectOptions, log: LogInfo, partition: u32) -> Self {
        Self {
            options,
            log,
            partition: partition.cast_signed(),
            connection: None,
            has_standbys: false,
            is_citus: false,
            log_checked: Instant::now(),
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

    /// The head's row is locked first, so that groups with overlapping ids cannot deadlock. The
    /// insert joins the head rather than binding its value: on Citus that is what lets the
    /// statement run on the one shard that holds the partition, without a two-phase commit.
    pub(in crate::store) async fn entries_append(
        &mut self,
        entries: &[&Entry],
    ) -> Result<Appended, StoreError> {
        let mut connection = self.take_connection().await?;
        // With no head nothing is inserted, which is found out by what comes back.
        let mut transaction = match self.is_citus {
            false => {
                let begin = begin_locked(self.partition, entries.len());
                connection.begin_with(begin).await?
            }
            true => {
                let mut transaction = connection.begin_with(BEGIN).await?;
                lock_head(&mut transaction, self.partition, entries.len()).await?;
                transaction
            }
        };
        let new = insert(&mut transaction, self.partition, entries.len(), entries).await?;
        transaction.commit().await?;
        self.connection = Some(connection);
        Ok(new)
    }

    /// Takes the connection out, so that it is lost unless the operation ends well.
    pub(in crate::store) async fn take_connection(&mut self) -> Result<PgConnection, StoreError> {
        if let Some(mut connection) = self.connection.take() {
            if self.log_checked.elapsed() >= CHECK_LOG_EVERY {
                self.check_log(&mut connection).await?;
            }
            return Ok(connection);
        }
        let mut connection = connect_checked(&self.options)
            .await
            .map_err(OpenError::into_unavailable)?;
        self.check_log(&mut connection).await?;
        let (has_standbys, is_citus) = sqlx::query_as(
            "select current_setting('synchronous_standby_names') <> '',
                 to_regproc('run_command_on_workers') is not null",
        )
        .fetch_one(&mut connection)
        .await?;
        // The workers may have standbys of which the coordinator does not know.
        self.has_standbys = has_standbys || is_citus;
        self.is_citus = is_citus;
        Ok(connection)
    }

    async fn check_log(&mut self, connection: &mut PgConnection) -> Result<(), StoreError> {
        let log: LogRow = sqlx::query_as(LOG).fetch_one(connection).await?;
        if LogInfo::from(log) != self.log {
            return Err(StoreError::other_log());
        }
        self.log_checked = Instant::now();
        Ok(())
    }

    /// A commit that was waiting for a synchronous standby when its connection broke is visible
    /// although no standby has it; a repeat of its report would find it and be told that it is
    /// stored. A commit of our own waits for everything before it.
    pub(in crate::store) async fn entries_confirm(&mut self) -> Result<(), StoreError> {
        let mut connection = self.take_connection().await?;
        if self.has_standbys {
            let mut transaction = connection.begin_with(BEGIN).await?;
            sqlx::query("update log_heads set next_position = next_position where partition = $1")
                .bind(self.partition)
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
        }
        self.connection = Some(connection);
        Ok(())
    }
}

/// The entries of a partition that have one of `ids`, in no order.
pub(in crate::store) async fn find(
    connection: &mut PgConnection,
    partition: i32,
    ids: &[Uuid],
) -> Result<Vec<Entry>, StoreError> {
    let rows: Vec<EntryRow> = sqlx::query_as(FIND)
        .bind(partition)
        .bind(ids)
        .fetch_all(connection)
        .await?;
    entries(rows)
}

/// Locks the head and takes `count` positions; false when there is no head.
pub(in crate::store) async fn lock_head(
    connection: &mut PgConnection,
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
/// session that is decided gives its pair to those that record without one: this statement's
/// snapshot is younger than the lock, so it sees what whoever held the lock before decided.
pub(in crate::store) async fn insert(
    connection: &mut PgConnection,
    partition: i32,
    count: usize,
    entries: &[&Entry],
) -> Result<Appended, StoreError> {
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
    let rows: Vec<InsertedRow> = sqlx::query_as(
        "insert into entries (
             partition, id, position, kind, billable_id,
             account_id, customer_id, session_id, call_sid, billed_account_id, billed_customer_id,
             occurred_at, recorded_at, client, idempotency_key, key_index, reason)
         select
             head.partition, new.id, head.next_position - $2 + new.ordinal - 1, new.kind, new.billable_id,
             new.account_id, new.customer_id, new.session_id, new.call_sid,
             coalesce(new.billed_account_id, decided.account_id), coalesce(new.billed_customer_id, decided.customer_id),
             new.occurred_at, new.recorded_at, new.client, new.idempotency_key, new.key_index, new.reason
         from log_heads as head cross join unnest(
             $3::uuid[], $4::smallint[], $5::uuid[],
             $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[],
             $12::bigint[], $13::bigint[], $14::text[], $15::text[], $16::bigint[], $17::text[]
         ) with ordinality as new (
             id, kind, billable_id,
             account_id, customer_id, session_id, call_sid, billed_account_id, billed_customer_id,
             occurred_at, recorded_at, client, idempotency_key, key_index, reason, ordinal)
         left join session_pairs as decided on decided.partition = head.partition
             and decided.session_id = new.session_id and new.kind = 1 and new.billed_account_id is null
         where head.partition = $1
         on conflict (partition, id) do nothing
         returning id, billed_account_id, billed_customer_id",
    )
    .bind(partition)
    .bind(i64::try_from(count).expect("a group is bounded"))
    .bind(entries.iter().map(|entry| entry.id).collect::<Vec<_>>())
    .bind(entries.iter().map(|entry| entry.kind.code()).collect::<Vec<_>>())
    .bind(entries.iter().map(|entry| entry.billable_id).collect::<Vec<_>>())
    .bind(texts(Field::AccountId))
    .bind(texts(Field::CustomerId))
    .bind(texts(Field::SessionId))
    .bind(texts(Field::CallSid))
    .bind(billed(|pair| &pair.account_id))
    .bind(billed(|pair| &pair.customer_id))
    .bind(entries.iter().map(|entry| entry.occurred_at.as_micros()).collect::<Vec<_>>())
    .bind(entries.iter().map(|entry| entry.recorded_at.as_micros()).collect::<Vec<_>>())
    .bind(entries.iter().map(|entry| entry.client.as_str()).collect::<Vec<_>>())
    .bind(entries.iter().map(|entry| entry.identity.key().map(IdempotencyKey::as_str)).collect::<Vec<_>>())
    .bind(entries.iter().map(|entry| entry.identity.index().map(i64::from)).collect::<Vec<_>>())
    .bind(entries.iter().map(|entry| entry.reason.as_ref().map(Text::as_str)).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(TryFrom::try_from).collect()
}
