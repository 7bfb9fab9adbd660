//! Copies a whole log into another database: everything except the totals, which are rolled again.
//!
//! The log's own row is copied first, with the heads at 0. The heads are set last. So a log that
//! has entries but heads at 0 is an interrupted copy, which can be resumed.

use sqlx::{Postgres, QueryBuilder, Sqlite};

use super::row::{LOG, LogRow, call_prefix_column};
use super::{LogInfo, Store, StoreError, postgres, sqlite};
use crate::billable::{Field, IdempotencyKey, LogEntry, Pair, Text, Timestamp};

mod metadata;

/// The maximum number of rows in one statement. SQLite allows 32,766 parameters, and an entry has
/// 17.
const ROWS: usize = 1000;

/// Selects the last position of a partition. SQLite would scan the log for `max(position)`.
pub(super) const LAST: &str =
    "select position from entries where partition = $1 order by position desc limit 1";

macro_rules! copy_operations {
    ($store:ty, $database:ty, $begin:expr, $begin_reading:expr) => {
        impl $store {
            async fn log_find(&self) -> Result<Option<(LogInfo, i64)>, StoreError> {
                let log: Option<LogRow> = sqlx::query_as(LOG).fetch_optional(&self.control).await?;
                let Some(log) = log else {
                    return Ok(None);
                };
                let made_at = sqlx::query_scalar("select created_at from log where id = 1")
                    .fetch_one(&self.control)
                    .await?;
                Ok(Some((log.into(), made_at)))
            }

            async fn log_is_empty(&self) -> Result<bool, StoreError> {
                let is_empty = sqlx::query_scalar(
                    "select not exists (select 1 from entries) and not exists (select 1 from sessions)",
                )
                .fetch_one(&self.control)
                .await?;
                Ok(is_empty)
            }

            async fn log_adopt(&self, log: LogInfo, made_at: i64) -> Result<(), StoreError> {
                let mut transaction = self.control.begin_with($begin).await?;
                for statement in [
                    "delete from log",
                    "delete from log_heads",
                    "delete from watermarks",
                    "delete from buckets",
                ] {
                    sqlx::query(statement).execute(&mut *transaction).await?;
                }
                sqlx::query("insert into log (id, epoch, partitions, created_at) values (1, $1, $2, $3)")
                    .bind(log.epoch)
                    .bind(log.partitions.cast_signed())
                    .bind(made_at)
                    .execute(&mut *transaction)
                    .await?;
                for partition in 0..log.partitions.cast_signed() {
                    sqlx::query("insert into log_heads (partition, next_position) values ($1, 1)")
                        .bind(partition)
                        .execute(&mut *transaction)
                        .await?;
                    sqlx::query("insert into watermarks (partition, position) values ($1, 0)")
                        .bind(partition)
                        .execute(&mut *transaction)
                        .await?;
                }
                Ok(transaction.commit().await?)
            }

            async fn heads_set(&self, heads: &[i64]) -> Result<(), StoreError> {
                let mut transaction = self.control.begin_with($begin).await?;
                for (partition, head) in (0_i32..).zip(heads) {
                    sqlx::query("update log_heads set next_position = $2 + 1 where partition = $1")
                        .bind(partition)
                        .bind(head)
                        .execute(&mut *transaction)
                        .await?;
                }
                Ok(transaction.commit().await?)
            }

            async fn entries_last(&self, partition: i32) -> Result<i64, StoreError> {
                let position: Option<i64> = sqlx::query_scalar(LAST)
                    .bind(partition)
                    .fetch_optional(&self.control)
                    .await?;
                Ok(position.unwrap_or_default())
            }

            /// Uses a transaction, which lifts the statement timeout: this reads the whole log.
            async fn entries_count(&self) -> Result<i64, StoreError> {
                let mut transaction = self.read.begin_with($begin_reading).await?;
                let count = sqlx::query_scalar("select count(*) from entries")
                    .fetch_one(&mut *transaction)
                    .await?;
                transaction.commit().await?;
                Ok(count)
            }

            async fn entries_import(&self, entries: &[LogEntry]) -> Result<(), StoreError> {
                let mut transaction = self.control.begin_with($begin).await?;
                for rows in entries.chunks(ROWS) {
                    let mut query = QueryBuilder::<$database>::new(
                        "insert into entries (
                             partition, position, billable_id, kind,
                             account_id, customer_id, session_id, call_sid,
                             billed_account_id, billed_customer_id, occurred_at, recorded_at,
                             client, idempotency_key, key_index, reason, call_prefix) ",
                    );
                    query.push_values(rows, |mut row, log_entry| {
                        let LogEntry { partition, position, entry } = log_entry;
                        let reported = entry.reported.fields();
                        let text = |field: Field| reported[field as usize].1;
                        let billed = |half: fn(&Pair) -> &Text| entry.pair.as_ref().map(|pair| half(pair).as_str());
                        row.push_bind(partition.cast_signed())
                            .push_bind(*position)
                            .push_bind(entry.billable_id)
                            .push_bind(entry.kind.code())
                            .push_bind(text(Field::AccountId))
                            .push_bind(text(Field::CustomerId))
                            .push_bind(text(Field::SessionId))
                            .push_bind(text(Field::CallSid))
                            .push_bind(billed(|pair| &pair.account_id))
                            .push_bind(billed(|pair| &pair.customer_id))
                            .push_bind(entry.occurred_at.as_micros())
                            .push_bind(entry.recorded_at.as_micros())
                            .push_bind(entry.client.as_str())
                            .push_bind(entry.identity.key().map(IdempotencyKey::as_str))
                            .push_bind(entry.identity.index().map(i64::from))
                            .push_bind(entry.reason.as_ref().map(Text::as_str))
                            .push_bind(call_prefix_column(entry));
                    });
                    query.build().execute(&mut *transaction).await?;
                }
                Ok(transaction.commit().await?)
            }
        }
    };
}

copy_operations!(postgres::Store, Postgres, postgres::BEGIN, postgres::BEGIN);
copy_operations!(sqlite::Store, Sqlite, sqlite::BEGIN, sqlite::BEGIN_SNAPSHOT);

impl Store {
    /// Returns the log and when it was created, if it exists.
    pub async fn log_find(&self) -> Result<Option<(LogInfo, Timestamp)>, StoreError> {
        let found = on_either!(self, log_find())?;
        let Some((log, made_at)) = found else {
            return Ok(None);
        };
        let made_at = Timestamp::from_micros(made_at).ok_or_else(|| StoreError::Corrupt {
            table: "log",
            column: "created_at",
            key: log.epoch.to_string(),
        })?;
        Ok(Some((log, made_at)))
    }

    /// Returns whether there are neither entries nor decisions about sessions.
    pub async fn log_is_empty(&self) -> Result<bool, StoreError> {
        on_either!(self, log_is_empty())
    }

    /// Creates this log in an empty database, replacing an empty log if there is one. Its heads are
    /// at 0 until [`Self::heads_set`].
    pub async fn log_adopt(&self, log: LogInfo, made_at: Timestamp) -> Result<(), StoreError> {
        on_either!(self, log_adopt(log, made_at.as_micros()))
    }

    /// Sets the last position of each partition.
    pub async fn heads_set(&self, heads: &[i64]) -> Result<(), StoreError> {
        on_either!(self, heads_set(heads))
    }

    /// Returns the position of a partition's last entry, regardless of its head; 0 if it has none.
    pub async fn entries_last(&self, partition: u32) -> Result<i64, StoreError> {
        on_either!(self, entries_last(partition.cast_signed()))
    }

    /// Returns the number of entries.
    pub async fn entries_count(&self) -> Result<i64, StoreError> {
        on_either!(self, entries_count())
    }

    /// Inserts entries of another log at their original positions, in one durable transaction.
    ///
    /// # Errors
    /// See [`StoreError`]; an entry that is already stored is refused.
    pub async fn entries_import(&self, entries: &[LogEntry]) -> Result<(), StoreError> {
        on_either!(self, entries_import(entries))
    }
}
