//! Entries in PostgreSQL: appending a group, and lookups by billable.

use std::fmt;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::{Connection, FromRow, PgConnection, PgTransaction};
use tokio::time::Instant;
use uuid::Uuid;

use super::connect_checked;
use super::insertion::{insert, insert_new};
use crate::billable::{Entry, LogEntry, Timestamp};
use crate::store::head::begin_locked;
use crate::store::row::{EntryRow, LOG, LogRow, entries, entry_columns, log_entries};
use crate::store::{Appended, LogInfo, OpenError, StoreError};

const FIND: &str = concat!(
    "select ",
    entry_columns!(),
    " from entries where partition = $1 and billable_id = any($2)"
);

const FIND_IN_PARTITIONS: &str = concat!(
    "select ",
    entry_columns!(),
    " from unnest($1::integer[], $2::uuid[]) as wanted (partition, billable_id)
     join entries on entries.partition = wanted.partition and entries.billable_id = wanted.billable_id"
);

/// Selects the entries of accounts, and reads three entries for each id, whether the id exists or
/// not: the time that a check takes must not tell whether another account has an id. A billable has
/// at most three entries.
const FIND_OF_ACCOUNTS: &str = concat!(
    "select ",
    entry_columns!(),
    " from unnest($1::integer[], $2::uuid[]) as wanted (partition, billable_id)
     cross join lateral (
         select * from entries
         where entries.partition = wanted.partition and entries.billable_id >= wanted.billable_id
         order by entries.billable_id, entries.kind limit 3
     ) as entries
     where entries.billable_id = wanted.billable_id
       and coalesce(billed_account_id, account_id) = any($3)"
);

impl super::Store {
    pub(in crate::store) async fn entries_find_of(
        &self,
        ids: &[(u32, Uuid)],
        accounts: &[&str],
    ) -> Result<Vec<LogEntry>, StoreError> {
        let (partitions, ids) = unzipped(ids);
        let rows: Vec<EntryRow> = sqlx::query_as(FIND_OF_ACCOUNTS)
            .bind(partitions)
            .bind(ids)
            .bind(accounts)
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
    ) -> Result<Vec<PgRow>, StoreError> {
        let (partitions, ids) = unzipped(ids);
        let rows = sqlx::query(FIND_IN_PARTITIONS)
            .bind(partitions)
            .bind(ids)
            .fetch_all(&self.read);
        Ok(rows.await?)
    }
}

/// Returns the partitions and the ids as two arrays.
fn unzipped(ids: &[(u32, Uuid)]) -> (Vec<i32>, Vec<Uuid>) {
    let ids = ids.iter();
    ids.map(|(partition, id)| (partition.cast_signed(), *id))
        .unzip()
}

/// Begins a writing transaction. It sets everything itself, because a connection pooler may run
/// each transaction on a different connection.
///
/// - Read committed, regardless of the database's default: a group that lost a race for an id must
///   see the entry that won.
/// - Citus passes settings on to the workers, which hold the rows, only when told to. Without
///   Citus, this setting has no effect.
/// - No `statement_timeout`: with synchronous standbys it would end the wait for them with only a
///   warning, and the commit would look replicated although it is not.
/// - `idle_in_transaction_session_timeout` ends a frozen client's transaction, and the caller's
///   deadline ends the wait for a frozen server.
pub(in crate::store) const BEGIN: &str = "begin isolation level read committed;
    set local citus.propagate_set_commands = 'local';
    set local synchronous_commit = on;
    set local statement_timeout = 0;
    set local lock_timeout = '4s';
    set local idle_in_transaction_session_timeout = '4s'";

/// How often to check that a reused connection still reads the same log, which a restore replaces.
const CHECK_LOG_EVERY: Duration = Duration::from_secs(1);

/// The writing side of one partition, with the one connection that appends to it.
pub struct Appender {
    options: PgConnectOptions,
    log: LogInfo,
    pub(in crate::store) partition: i32,
    pub(in crate::store) connection: Option<PgConnection>,
    /// Whether commits may wait for standbys, as read when the connection was opened.
    has_standbys: bool,
    /// Whether the rows are on Citus workers, as read when the connection was opened.
    is_citus: bool,
    /// When the log was last checked.
    log_checked: Instant,
}

/// Omits the options, because they hold the password.
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

    /// Appends a group. Locks the head's row first, so that groups with overlapping ids cannot
    /// deadlock.
    ///
    /// The insert joins the head instead of binding its value. On Citus, this lets the statement
    /// run on the one shard that holds the partition, without a two-phase commit.
    pub(in crate::store) async fn entries_append(
        &mut self,
        entries: &[&Entry],
    ) -> Result<Appended, StoreError> {
        let mut connection = self.take_connection().await?;
        let mut transaction = self.begin(&mut connection, entries.len()).await?;
        // Nothing is inserted if the head is missing, which the caller sees from the returned ids.
        let new = insert(&mut transaction, self.partition, entries.len(), entries).await?;
        transaction.commit().await?;
        self.connection = Some(connection);
        Ok(new)
    }

    /// Appends a group without returning rows and without looking up the sessions' pairs.
    pub(in crate::store) async fn entries_append_new(
        &mut self,
        entries: &[&Entry],
    ) -> Result<bool, StoreError> {
        let mut connection = self.take_connection().await?;
        let mut transaction = self.begin(&mut connection, entries.len()).await?;
        let are_stored = insert_new(&mut transaction, self.partition, entries).await?;
        if are_stored {
            transaction.commit().await?
        } else {
            transaction.rollback().await?
        }
        self.connection = Some(connection);
        Ok(are_stored)
    }

    /// Begins a transaction, locks the head and takes `count` positions. This takes two round trips
    /// on Citus, which sends the whole text that contains a `SET LOCAL` to its workers.
    async fn begin<'c>(
        &self,
        connection: &'c mut PgConnection,
        count: usize,
    ) -> Result<PgTransaction<'c>, StoreError> {
        if !self.is_citus {
            let begin = begin_locked(BEGIN, self.partition, count);
            return Ok(connection.begin_with(begin).await?);
        }
        let mut transaction = connection.begin_with(BEGIN).await?;
        self.lock_head(&mut transaction, count, None).await?;
        Ok(transaction)
    }

    /// Takes `count` positions. Returns false if there is no head.
    pub(in crate::store) async fn lock_head(
        &self,
        connection: &mut PgConnection,
        count: usize,
        _recorded_at: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        let locked = sqlx::query(
            "update log_heads set next_position = next_position + $1 where partition = $2",
        )
        .bind(i64::try_from(count).expect("a group is bounded"))
        .bind(self.partition)
        .execute(connection)
        .await?;
        Ok(locked.rows_affected() == 1)
    }

    /// Does nothing: a commit is durable when PostgreSQL returns.
    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "same signature as for SQLite"
    )]
    pub(in crate::store) fn confirm(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Takes the connection out of the appender, so that it is dropped unless the operation
    /// succeeds.
    pub(in crate::store) async fn take_connection(&mut self) -> Result<PgConnection, StoreError> {
        if let Some(mut connection) = self.connection.take() {
            if self.log_checked.elapsed() >= CHECK_LOG_EVERY {
                self.check_log(&mut connection).await?;
            }
            return Ok(connection);
        }
        let mut connection = connect_checked(&self.options)
            .await
            .map_err(OpenError::while_running)?;
        self.check_log(&mut connection).await?;
        let (has_standbys, is_citus) = sqlx::query_as(
            "select current_setting('synchronous_standby_names') <> '',
                 to_regproc('run_command_on_workers') is not null",
        )
        .fetch_one(&mut connection)
        .await?;
        // The workers may have standbys that the coordinator does not know of.
        self.has_standbys = has_standbys || is_citus;
        self.is_citus = is_citus;
        Ok(connection)
    }

    async fn check_log(&mut self, connection: &mut PgConnection) -> Result<(), StoreError> {
        let log: LogRow = sqlx::query_as(LOG).fetch_one(connection).await?;
        if LogInfo::from(log) != self.log {
            return Err(StoreError::WrongLog);
        }
        self.log_checked = Instant::now();
        Ok(())
    }

    /// Makes sure that everything this connection has read is on the standbys, too.
    ///
    /// If a connection breaks while its commit waits for a synchronous standby, the commit is
    /// visible although no standby has it. A repeat of the report would find the entry and get a
    /// success response. A new commit waits until everything before it is replicated.
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

/// Returns the entries of a partition's billables, in no particular order.
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
