//! The queries of a verification return rows as stored, each with its fault if it has one.
//!
//! Reads one range at a time. No transaction stays open between two ranges.

use serde_json::json;
use sqlx::{FromRow, Row};
use uuid::Uuid;

use super::feed::{PositionRange, by_partition};
use super::row::{EntryRow, SessionRow, call_prefix_column, session_columns};
use super::{LogInfo, SessionFound, Store, StoreError, postgres, sqlite};
use crate::billable::{Entry, EntryKind, LogEntry, Pair, Text};

/// The maximum number of session rows that one query returns.
const READ_BATCH: i64 = 5000;

/// A row of the log: its entry, or what is wrong with it.
#[derive(Clone, Debug)]
pub struct EntryRead {
    /// The row's partition, which may lie outside the log's partitions.
    pub partition: i32,
    pub position: i64,
    /// The billable and the kind, if they are valid.
    pub key: Option<(Uuid, EntryKind)>,
    pub entry: Result<Entry, String>,
    /// Whether its `call_prefix`, which an entry does not keep, fits the other columns.
    pub has_its_call_prefix: bool,
}

/// A session's id, and the decision about it or what is wrong with the row.
pub type SessionRead = (String, Result<SessionFound, String>);

/// Describes a row's fault for the operator.
fn reason(error: StoreError) -> String {
    match error {
        StoreError::Corrupt { column, .. } => format!("its {column} is invalid"),
        other => other.to_string(),
    }
}

fn session_read(row: SessionRow) -> SessionRead {
    let id = row.session_id.clone();
    (id, SessionFound::try_from(row).map_err(reason))
}

/// Selects entries in partitions that the log lacks, as (partition, position).
const STRAYS: [&str; 2] = [
    "select partition, position from entries where partition >= $1 order by partition limit $2",
    "select partition, position from entries where partition < 0 and $1 > 0 order by partition limit $2",
];

macro_rules! verify_operations {
    ($store:ty, $row:ty, $among:literal, $list:expr) => {
        impl $store {
            async fn entries_read(
                &self,
                range: PositionRange<'_>,
            ) -> Result<Vec<EntryRead>, StoreError> {
                let rows = sqlx::query(range.filter.statement().0)
                    .bind(range.partition.cast_signed())
                    .bind(range.after)
                    .bind(i64::from(range.limit))
                    .fetch_all(&self.read)
                    .await?;
                Self::as_read(&rows)
            }

            async fn entries_read_of(
                &self,
                ids: &[(u32, Uuid)],
            ) -> Result<Vec<EntryRead>, StoreError> {
                Self::as_read(&self.entry_rows_find(ids).await?)
            }

            fn as_read(rows: &[$row]) -> Result<Vec<EntryRead>, StoreError> {
                let read = |row: &$row| {
                    let kind = row.try_get_unchecked(3).ok().and_then(EntryKind::from_code);
                    let entry = EntryRow::from_row(row)
                        .map_err(|error| format!("it cannot be read: {error}"))
                        .and_then(|row| LogEntry::try_from(row).map_err(reason))
                        .map(|log_entry| log_entry.entry);
                    let expected = entry.as_ref().ok().map(call_prefix_column);
                    Ok(EntryRead {
                        partition: row.try_get_unchecked(0)?,
                        position: row.try_get_unchecked(1)?,
                        key: row.try_get_unchecked(2).ok().zip(kind),
                        has_its_call_prefix: expected
                            .is_none_or(|prefix| row.try_get_unchecked(16).ok() == Some(prefix)),
                        entry,
                    })
                };
                rows.iter().map(read).collect()
            }

            async fn sessions_read_after(
                &self,
                after: &str,
            ) -> Result<Vec<SessionRead>, StoreError> {
                let rows: Vec<SessionRow> = sqlx::query_as(concat!(
                    "select ",
                    session_columns!(),
                    " from sessions where session_id > $1 order by session_id limit $2"
                ))
                .bind(after)
                .bind(READ_BATCH)
                .fetch_all(&self.read)
                .await?;
                Ok(rows.into_iter().map(session_read).collect())
            }

            async fn sessions_read_of(&self, ids: &[&str]) -> Result<Vec<SessionRead>, StoreError> {
                let rows: Vec<SessionRow> = sqlx::query_as(concat!(
                    "select ",
                    session_columns!(),
                    " from sessions where session_id ",
                    $among
                ))
                .bind($list(ids))
                .fetch_all(&self.read)
                .await?;
                Ok(rows.into_iter().map(session_read).collect())
            }

            async fn pairs_read_after(
                &self,
                partition: i32,
                after: &str,
            ) -> Result<Vec<(String, String, String)>, StoreError> {
                let pairs = sqlx::query_as(
                    "select session_id, account_id, customer_id from session_pairs
                     where session_id > $1 and partition = $2 order by session_id limit $3",
                )
                .bind(after)
                .bind(partition)
                .bind(READ_BATCH)
                .fetch_all(&self.read)
                .await?;
                Ok(pairs)
            }

            async fn pairs_read_of(
                &self,
                partition: i32,
                ids: &[&str],
            ) -> Result<Vec<String>, StoreError> {
                let found = sqlx::query_scalar(concat!(
                    "select session_id from session_pairs where partition = $2 and session_id ",
                    $among
                ))
                .bind($list(ids))
                .bind(partition)
                .fetch_all(&self.read)
                .await?;
                Ok(found)
            }

            async fn watermarks_read(&self) -> Result<Vec<(i32, i64)>, StoreError> {
                let found = sqlx::query_as("select partition, position from watermarks")
                    .fetch_all(&self.read)
                    .await?;
                Ok(found)
            }
        }
    };
}

impl postgres::Store {
    async fn entries_strayed(
        &self,
        partitions: i32,
        limit: i64,
    ) -> Result<Vec<(i32, i64)>, StoreError> {
        let mut strays = Vec::new();
        for statement in STRAYS {
            let found: Vec<(i32, i64)> = sqlx::query_as(statement)
                .bind(partitions)
                .bind(limit)
                .fetch_all(&self.read)
                .await?;
            strays.extend(found);
        }
        Ok(strays)
    }
}

verify_operations!(
    postgres::Store,
    sqlx::postgres::PgRow,
    "= any($1)",
    <[&str]>::to_vec
);
verify_operations!(
    sqlite::Store,
    sqlx::sqlite::SqliteRow,
    "in (select value from json_each($1))",
    |ids: &[&str]| json!(ids).to_string()
);

impl Store {
    /// Returns a range of a partition in position order, invalid rows included.
    pub async fn entries_read(
        &self,
        range: PositionRange<'_>,
    ) -> Result<Vec<EntryRead>, StoreError> {
        on_either!(self, entries_read(range))
    }

    /// Returns the rows of these billables, given as (partition, id), in no particular order.
    pub async fn entries_read_of(&self, ids: &[(u32, Uuid)]) -> Result<Vec<EntryRead>, StoreError> {
        on_either!(self, entries_read_of(ids))
    }

    /// Returns the first entries in partitions that the log lacks, as (partition, position).
    pub async fn entries_strayed(
        &self,
        log: LogInfo,
        limit: i64,
    ) -> Result<Vec<(i32, i64)>, StoreError> {
        match self {
            Self::Postgres(store) => {
                let partitions = log.partitions.cast_signed();
                store.entries_strayed(partitions, limit).await
            }
            // SQLite's integrity check finds them: a constraint allows one partition only.
            Self::Sqlite(_) => Ok(Vec::new()),
        }
    }

    /// Returns the next decisions after a session id, in order of session id.
    pub async fn sessions_read_after(&self, after: &str) -> Result<Vec<SessionRead>, StoreError> {
        on_either!(self, sessions_read_after(after))
    }

    /// Returns the existing decisions about these sessions, in no particular order.
    pub async fn sessions_read_of(&self, ids: &[&str]) -> Result<Vec<SessionRead>, StoreError> {
        on_either!(self, sessions_read_of(ids))
    }

    /// Returns a partition's next copies of decisions after a session id, in order of session id.
    pub async fn pairs_read_after(
        &self,
        partition: u32,
        after: &str,
    ) -> Result<Vec<(String, Pair)>, StoreError> {
        let partition = partition.cast_signed();
        let rows: Vec<(String, String, String)> =
            on_either!(self, pairs_read_after(partition, after))?;
        let pairs = rows.into_iter().map(|(session, account, customer)| {
            let pair = Pair {
                account_id: Text::trusted(account),
                customer_id: Text::trusted(customer),
            };
            (session, pair)
        });
        Ok(pairs.collect())
    }

    /// Returns the sessions among `ids` for which a partition has a copy of the decision.
    pub async fn pairs_read_of(
        &self,
        partition: u32,
        ids: &[&str],
    ) -> Result<Vec<String>, StoreError> {
        on_either!(self, pairs_read_of(partition.cast_signed(), ids))
    }

    /// Returns the position up to which each partition's entries are in the buckets.
    pub async fn watermarks(&self, log: LogInfo) -> Result<Vec<i64>, StoreError> {
        by_partition("watermarks", on_either!(self, watermarks_read())?, log)
    }
}
