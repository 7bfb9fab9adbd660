//! Entries in commit order, and the last position of each partition.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::billable::LogEntry;
use crate::store::LogInfo;
use crate::store::backend::Backend;
use crate::store::dialect::{Connector, Dialect};
use crate::store::driver::AnyRow;
use crate::store::error::StoreError;
use crate::store::query::query;
use crate::store::row::{ENTRY_COLUMNS, EntryRow, LogRow, log_entries};
use crate::store::sql::Sql;
use crate::store::table::{Column, Table};

/// Selects the entries of a range by account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountFilter<'a> {
    /// Entries of all accounts.
    All,
    /// Entries that bill this account, or name it and bill none.
    Account(&'a str),
}

impl<'a> AccountFilter<'a> {
    /// Builds the statement that reads a range, and returns the value of `$4` if it has one.
    pub(in crate::store) fn statement(self) -> (Sql, Option<&'a str>) {
        let (condition, account) = match self {
            Self::All => ("", None),
            Self::Account(id) => ("coalesce(billed_account_id, account_id) = $4 and", Some(id)),
        };
        let sql = Sql::from("select ")
            + ENTRY_COLUMNS
            + " from entries where "
            + condition
            + " partition = $1 and position > $2 order by position limit $3";
        (sql, account)
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

impl<D: Dialect> Backend<D> {
    pub(in crate::store) async fn entries_after(
        &self,
        range: PositionRange<'_>,
    ) -> Result<Vec<LogEntry>, StoreError> {
        log_entries(self.entry_rows_after(range).await?)
    }

    /// Returns a batch of a partition's rows in commit order.
    pub(in crate::store) async fn entry_rows_after<T: AnyRow>(
        &self,
        range: PositionRange<'_>,
    ) -> Result<Vec<T>, StoreError> {
        let (sql, account) = range.filter.statement();
        let mut statement = query::<D>(sql)
            .bind(range.partition.cast_signed())
            .bind(range.after)
            .bind(i64::from(range.limit));
        if let Some(account) = account {
            statement = statement.bind(account);
        }
        Ok(statement.fetch_all(&self.read).await?)
    }

    pub(in crate::store) async fn entries_at(
        &self,
        points: &[(u32, i64)],
    ) -> Result<Vec<LogEntry>, StoreError> {
        let rows = match D::AT_EACH {
            // Citus would not run the join.
            Some(joined) if points.len() > 1 && !self.connector.is_citus() => {
                let partitions = points.iter().map(|(partition, _)| partition.cast_signed());
                let positions = points.iter().map(|(_, position)| *position);
                let wanted = Table(vec![
                    ("partition", Column::Integers(partitions.collect())),
                    ("position", Column::bigints(positions)),
                ]);
                let sql = Sql::from("select ")
                    + ENTRY_COLUMNS
                    + " from "
                    + D::table(&wanted, 1, "wanted")
                    + joined;
                query::<D>(sql)
                    .bind_table(wanted)
                    .fetch_all(&self.read)
                    .await?
            }
            _ => {
                let mut rows: Vec<EntryRow> = Vec::new();
                for (partition, position) in points {
                    let row = query::<D>(at())
                        .bind(partition.cast_signed())
                        .bind(*position)
                        .fetch_optional(&self.read);
                    rows.extend(row.await?);
                }
                rows
            }
        };
        log_entries(rows)
    }

    /// Reads the log's own row as well: in a replaced database, positions mean something else.
    pub(in crate::store) async fn heads(&self, log: LogInfo) -> Result<Vec<i64>, StoreError> {
        self.connector.check_files()?;
        let rows: Vec<HeadRow> = query::<D>(HEADS).fetch_all(&self.read).await?;
        let is_other = |row: &HeadRow| LogInfo::from(row.log()) != log;
        if rows.iter().any(is_other) {
            return Err(StoreError::WrongLog);
        }
        let rows = rows.into_iter().map(|row| (row.partition, row.position));
        by_partition("log_heads", rows.collect(), log)
    }
}

/// Selects the last entry of the partition `$1` up to the position `$2`.
pub(in crate::store) fn at() -> Sql {
    Sql::from("select ")
        + ENTRY_COLUMNS
        + " from entries where partition = $1 and position <= $2 order by position desc limit 1"
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
