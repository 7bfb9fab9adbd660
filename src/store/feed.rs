//! Entries in commit order, and the last position of each partition.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::row::{EntryRow, LogRow, entry_columns, log_entries};
use super::{LogInfo, StoreError, postgres, sqlite};
use crate::billable::LogEntry;

/// Builds the statement that reads a range.
macro_rules! after {
    ($condition:literal) => {
        concat!(
            "select ",
            entry_columns!(),
            " from entries where ",
            $condition,
            " partition = $1 and position > $2 order by position limit $3"
        )
    };
}

/// Selects the entries of a range by account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountFilter<'a> {
    /// Entries of all accounts.
    All,
    /// Entries that bill this account, or name it and bill none.
    Account(&'a str),
}

impl<'a> AccountFilter<'a> {
    /// Returns the statement, and the value of `$4` if it has one.
    pub(super) fn statement(self) -> (&'static str, Option<&'a str>) {
        match self {
            Self::All => (after!(""), None),
            Self::Account(id) => (
                after!("coalesce(billed_account_id, account_id) = $4 and"),
                Some(id),
            ),
        }
    }
}

/// A range of one partition, in position order.
#[derive(Clone, Copy, Debug)]
pub struct PositionRange<'a> {
    pub partition: u32,
    /// Only entries after this position.
    pub after: i64,
    pub filter: AccountFilter<'a>,
    /// The maximum number of entries.
    pub limit: u32,
}

macro_rules! feed_operations {
    ($store:ty) => {
        impl $store {
            pub(super) async fn entries_after(
                &self,
                range: PositionRange<'_>,
            ) -> Result<Vec<LogEntry>, StoreError> {
                let (statement, account) = range.filter.statement();
                let mut query = sqlx::query_as::<_, EntryRow>(statement)
                    .bind(range.partition.cast_signed())
                    .bind(range.after)
                    .bind(i64::from(range.limit));
                if let Some(account) = account {
                    query = query.bind(account);
                }
                log_entries(query.fetch_all(&self.read).await?)
            }

            /// Returns the entry at each (partition, position), or the last one before it, with one
            /// query for each.
            pub(super) async fn entries_at_each(
                &self,
                points: &[(u32, i64)],
            ) -> Result<Vec<LogEntry>, StoreError> {
                let mut rows: Vec<EntryRow> = Vec::new();
                for (partition, position) in points {
                    let row = sqlx::query_as(AT)
                        .bind(partition.cast_signed())
                        .bind(position)
                        .fetch_optional(&self.read);
                    rows.extend(row.await?);
                }
                log_entries(rows)
            }

            /// Returns the last position of each partition. Reads the log's own row as well: in a
            /// replaced database, positions mean something else.
            pub(super) async fn heads(&self, log: LogInfo) -> Result<Vec<i64>, StoreError> {
                self.check_files()?;
                let rows: Vec<HeadRow> = sqlx::query_as(HEADS).fetch_all(&self.read).await?;
                let is_other = |row: &HeadRow| LogInfo::from(row.log()) != log;
                if rows.iter().any(is_other) {
                    return Err(StoreError::WrongLog);
                }
                let rows = rows.into_iter().map(|row| (row.partition, row.position));
                by_partition("log_heads", rows.collect(), log)
            }
        }
    };
}

feed_operations!(postgres::Store);
feed_operations!(sqlite::Store);

pub(super) const AT: &str = concat!(
    "select ",
    entry_columns!(),
    " from entries where partition = $1 and position <= $2 order by position desc limit 1"
);

/// The same for many partitions. Citus would not run it.
const AT_ALL: &str = concat!(
    "select ",
    entry_columns!(),
    " from unnest($1::integer[], $2::bigint[]) as wanted (partition, position)
     cross join lateral (
         select * from entries
         where entries.partition = wanted.partition and entries.position <= wanted.position
         order by entries.position desc limit 1
     ) as entries"
);

impl postgres::Store {
    pub(super) async fn entries_at(
        &self,
        points: &[(u32, i64)],
    ) -> Result<Vec<LogEntry>, StoreError> {
        if self.is_citus || points.len() == 1 {
            return self.entries_at_each(points).await;
        }
        let (partitions, positions): (Vec<_>, Vec<_>) = points
            .iter()
            .map(|(partition, position)| (partition.cast_signed(), *position))
            .unzip();
        let rows: Vec<EntryRow> = sqlx::query_as(AT_ALL)
            .bind(partitions)
            .bind(positions)
            .fetch_all(&self.read)
            .await?;
        log_entries(rows)
    }
}

const HEADS: &str =
    "select log_heads.partition, log_heads.next_position - 1 as position, log.epoch, log.partitions
     from log_heads cross join log";

#[derive(sqlx::FromRow)]
struct HeadRow {
    partition: i32,
    position: i64,
    epoch: Uuid,
    partitions: i32,
}

impl HeadRow {
    fn log(&self) -> LogRow {
        LogRow {
            epoch: self.epoch,
            partitions: self.partitions,
        }
    }
}

/// Returns the value in `table` for each partition. Fails if one is missing, because the entries of
/// its partition would be left out.
pub(super) fn by_partition(
    table: &'static str,
    rows: Vec<(i32, i64)>,
    log: LogInfo,
) -> Result<Vec<i64>, StoreError> {
    let rows: BTreeMap<_, _> = rows.into_iter().collect();
    let value_of = |partition| {
        let value = rows.get(&partition).copied();
        value.ok_or(StoreError::NoHead { table, partition })
    };
    (0..log.partitions.cast_signed()).map(value_of).collect()
}
