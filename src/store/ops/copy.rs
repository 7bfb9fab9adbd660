//! Copies a whole log into another database: everything except the totals, which are rolled again.
//!
//! The log's own row is copied first, with the heads at 0. The heads are set last. So a log that
//! has entries but heads at 0 is an interrupted copy, which can be resumed.

pub(in crate::store) mod metadata;

use super::insertion::import;
use super::log::heads_create;
use super::totals::roll::DERIVED;
use crate::billable::{LogEntry, Timestamp};
use crate::store::LogInfo;
use crate::store::backend::Backend;
use crate::store::dialect::Dialect;
use crate::store::error::StoreError;
use crate::store::query::query;
use crate::store::row::{LOG, LogRow};
use crate::store::sql::Sql;

/// Selects the last position of a partition. SQLite would scan the log for `max(position)`.
const LAST: &str =
    "select position from entries where partition = $1 order by position desc limit 1";

impl<D: Dialect> Backend<D> {
    pub(in crate::store) async fn log_find(
        &self,
    ) -> Result<Option<(LogInfo, Timestamp)>, StoreError> {
        let log: Option<LogRow> = query::<D>(LOG).fetch_optional(&self.control).await?;
        let Some(log) = log else {
            return Ok(None);
        };
        let (created_at,) = query::<D>("select created_at from log where id = 1")
            .fetch_one(&self.control)
            .await?;
        let created_at = Timestamp::from_micros(created_at).ok_or_else(|| StoreError::Corrupt {
            table: "log",
            column: "created_at",
            key: log.epoch.to_string(),
        })?;
        Ok(Some((log.into(), created_at)))
    }

    pub(in crate::store) async fn log_is_empty(&self) -> Result<bool, StoreError> {
        let (is_empty,) = query::<D>(
            "select not exists (select 1 from entries) and not exists (select 1 from sessions)",
        )
        .fetch_one(&self.control)
        .await?;
        Ok(is_empty)
    }

    pub(in crate::store) async fn log_adopt(
        &self,
        log: LogInfo,
        made_at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        for table in ["log", "log_heads", "watermarks"].iter().chain(&DERIVED) {
            let statement = Sql::from("delete from ") + *table;
            query::<D>(statement).execute(&mut *transaction).await?;
        }
        query::<D>("insert into log (id, epoch, partitions, created_at) values (1, $1, $2, $3)")
            .bind(log.epoch)
            .bind(log.partitions.cast_signed())
            .bind(made_at.as_micros())
            .execute(&mut *transaction)
            .await?;
        heads_create::<D>(&mut transaction, log).await?;
        Ok(transaction.commit().await?)
    }

    pub(in crate::store) async fn heads_set(&self, heads: &[i64]) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        for (partition, head) in (0_i32..).zip(heads) {
            query::<D>("update log_heads set next_position = $2 + 1 where partition = $1")
                .bind(partition)
                .bind(*head)
                .execute(&mut *transaction)
                .await?;
        }
        Ok(transaction.commit().await?)
    }

    pub(in crate::store) async fn entries_last(&self, partition: u32) -> Result<i64, StoreError> {
        let found: Option<(i64,)> = query::<D>(LAST)
            .bind(partition.cast_signed())
            .fetch_optional(&self.control)
            .await?;
        Ok(found.map_or(0, |(position,)| position))
    }

    pub(in crate::store) async fn entries_count(&self) -> Result<i64, StoreError> {
        let mut transaction = self.read.begin_with(D::BEGIN_LONG_READ).await?;
        let (count,) = query::<D>("select count(*) from entries")
            .fetch_one(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(count)
    }

    pub(in crate::store) async fn entries_import(
        &self,
        entries: &[LogEntry],
    ) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        import::<D>(&mut transaction, entries).await?;
        Ok(transaction.commit().await?)
    }
}
