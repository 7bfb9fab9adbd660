//! The queries of a verification return rows as stored, each with its fault if it has one.
//!
//! Each query reads one range. No transaction stays open between two ranges.

use sqlx::{ColumnIndex, Decode, FromRow, Row};
use uuid::Uuid;

use super::derived::ACCOUNTS_WATERMARKS;
use super::feed::{PositionRange, by_partition};
use super::totals::WATERMARKS;
use crate::billable::{Entry, EntryKind, LogEntry, Pair, Text};
use crate::store::backend::Backend;
use crate::store::dialect::Dialect;
use crate::store::error::StoreError;
use crate::store::query::query;
use crate::store::row::{EntryRow, SESSION_COLUMNS, SessionRow, call_prefix_column};
use crate::store::sql::Sql;
use crate::store::table::Column;
use crate::store::{LogInfo, SessionFound};

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

/// Reads a row by index, like [`EntryRow`], and notes what is wrong with it instead of failing.
impl<'r, R: Row> FromRow<'r, R> for EntryRead
where
    EntryRow: FromRow<'r, R>,
    usize: ColumnIndex<R>,
    i16: Decode<'r, R::Database>,
    i32: Decode<'r, R::Database>,
    i64: Decode<'r, R::Database>,
    Uuid: Decode<'r, R::Database>,
{
    fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
        let kind = row.try_get_unchecked(3).ok().and_then(EntryKind::from_code);
        let entry = EntryRow::from_row(row)
            .map_err(|error| format!("it cannot be read: {error}"))
            .and_then(|row| LogEntry::try_from(row).map_err(reason))
            .map(|log_entry| log_entry.entry);
        let expected = entry.as_ref().ok().map(call_prefix_column);
        Ok(Self {
            partition: row.try_get_unchecked(0)?,
            position: row.try_get_unchecked(1)?,
            key: row.try_get_unchecked(2).ok().zip(kind),
            has_its_call_prefix: expected
                .is_none_or(|prefix| row.try_get_unchecked(16).ok() == Some(prefix)),
            entry,
        })
    }
}

fn sessions(condition: &'static str) -> Sql {
    Sql::from("select ") + SESSION_COLUMNS + " from sessions where session_id " + condition
}

impl<D: Dialect> Backend<D> {
    pub(in crate::store) async fn entries_read(
        &self,
        range: PositionRange<'_>,
    ) -> Result<Vec<EntryRead>, StoreError> {
        self.entry_rows_after(range).await
    }

    pub(in crate::store) async fn entries_read_of(
        &self,
        ids: &[(u32, Uuid)],
    ) -> Result<Vec<EntryRead>, StoreError> {
        self.entry_rows_find(ids).await
    }

    /// Returns none for SQLite: a constraint allows one partition, and the integrity check finds rows
    /// that break it.
    pub(in crate::store) async fn entries_strayed(
        &self,
        log: LogInfo,
        limit: i64,
    ) -> Result<Vec<(i32, i64)>, StoreError> {
        let mut strays = Vec::new();
        if !D::HAS_PARTITIONS {
            return Ok(strays);
        }
        for statement in STRAYS {
            let found: Vec<(i32, i64)> = query::<D>(statement)
                .bind(log.partitions.cast_signed())
                .bind(limit)
                .fetch_all(&self.read)
                .await?;
            strays.extend(found);
        }
        Ok(strays)
    }

    pub(in crate::store) async fn sessions_read_after(
        &self,
        after: &str,
    ) -> Result<Vec<SessionRead>, StoreError> {
        let rows: Vec<SessionRow> = query::<D>(sessions("> $1 order by session_id limit $2"))
            .bind(after)
            .bind(READ_BATCH)
            .fetch_all(&self.read)
            .await?;
        Ok(rows.into_iter().map(session_read).collect())
    }

    pub(in crate::store) async fn sessions_read_of(
        &self,
        ids: &[&str],
    ) -> Result<Vec<SessionRead>, StoreError> {
        let rows: Vec<SessionRow> = query::<D>(sessions("") + D::among(1))
            .bind_list(Column::texts(ids.iter().copied()))
            .fetch_all(&self.read)
            .await?;
        Ok(rows.into_iter().map(session_read).collect())
    }

    pub(in crate::store) async fn pairs_read_after(
        &self,
        partition: u32,
        after: &str,
    ) -> Result<Vec<(String, Pair)>, StoreError> {
        let rows: Vec<(String, String, String)> = query::<D>(
            "select session_id, account_id, customer_id from session_pairs
             where session_id > $1 and partition = $2 order by session_id limit $3",
        )
        .bind(after)
        .bind(partition.cast_signed())
        .bind(READ_BATCH)
        .fetch_all(&self.read)
        .await?;
        let pairs = rows.into_iter().map(|(session, account, customer)| {
            let pair = Pair {
                account_id: Text::trusted(account),
                customer_id: Text::trusted(customer),
            };
            (session, pair)
        });
        Ok(pairs.collect())
    }

    pub(in crate::store) async fn pairs_read_of(
        &self,
        partition: u32,
        ids: &[&str],
    ) -> Result<Vec<String>, StoreError> {
        let sql =
            Sql::from("select session_id from session_pairs where partition = $2 and session_id ")
                + D::among(1);
        let rows: Vec<(String,)> = query::<D>(sql)
            .bind_list(Column::texts(ids.iter().copied()))
            .bind(partition.cast_signed())
            .fetch_all(&self.read)
            .await?;
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }

    pub(in crate::store) async fn watermarks(
        &self,
        log: LogInfo,
    ) -> Result<[Vec<i64>; 2], StoreError> {
        let buckets = query::<D>(WATERMARKS).fetch_all(&self.read).await?;
        let accounts = query::<D>(ACCOUNTS_WATERMARKS)
            .fetch_all(&self.read)
            .await?;
        Ok([
            by_partition("watermarks", buckets, log)?,
            by_partition("watermarks", accounts, log)?,
        ])
    }
}
