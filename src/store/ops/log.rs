//! The log's own rows: its identity, the partitions' heads and watermarks, and the key that seals
//! cursors.

use uuid::Uuid;

use crate::billable::Timestamp;
use crate::store::LogInfo;
use crate::store::backend::Backend;
use crate::store::dialect::{Connector, Dialect};
use crate::store::error::StoreError;
use crate::store::query::query;
use crate::store::row::{LOG, LogRow};
use crate::store::sql::Sql;
use crate::store::table::{Column, Table};

pub(in crate::store) const RENEW: &str = "update log set epoch = $1 where id = 1";

impl<D: Dialect> Backend<D> {
    /// Creates the log, its heads and watermarks, as far as they do not exist, in one transaction.
    pub(in crate::store) async fn log_create(
        &self,
        fresh: LogInfo,
        now: Timestamp,
    ) -> Result<LogInfo, StoreError> {
        let mut transaction = self.begin().await?;
        query::<D>(
            "insert into log (id, epoch, partitions, created_at) values (1, $1, $2, $3)
             on conflict (id) do nothing",
        )
        .bind(fresh.epoch)
        .bind(fresh.partitions.cast_signed())
        .bind(now.as_micros())
        .execute(&mut *transaction)
        .await?;
        let log: LogRow = query::<D>(LOG).fetch_one(&mut *transaction).await?;
        let log = LogInfo::from(log);
        heads_create::<D>(&mut transaction, log).await?;
        transaction.commit().await?;
        Ok(log)
    }

    pub(in crate::store) async fn log_check(&self, log: LogInfo) -> Result<(), StoreError> {
        self.connector.check_files()?;
        let found: LogRow = query::<D>(LOG).fetch_one(&self.control).await?;
        if LogInfo::from(found) == log {
            Ok(())
        } else {
            Err(StoreError::WrongLog)
        }
    }

    pub(in crate::store) async fn epoch_set(&self, epoch: Uuid) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        query::<D>(RENEW)
            .bind(epoch)
            .execute(&mut *transaction)
            .await?;
        Ok(transaction.commit().await?)
    }

    /// Returns the log's key. Stores `fresh` if it has none.
    pub(in crate::store) async fn cursor_key_ensure(
        &self,
        fresh: &[u8],
    ) -> Result<Vec<u8>, sqlx::Error> {
        query::<D>(
            "insert into cursor_keys (id, secret) values (1, $1) on conflict (id) do nothing",
        )
        .bind(fresh)
        .execute(&self.control)
        .await?;
        let (key,) = query::<D>("select secret from cursor_keys where id = 1")
            .fetch_one(&self.control)
            .await?;
        Ok(key)
    }
}

/// Creates the heads and watermarks that do not exist.
pub(super) async fn heads_create<D: Dialect>(
    connection: &mut D::Connection,
    log: LogInfo,
) -> Result<(), sqlx::Error> {
    let partitions = (0..log.partitions.cast_signed()).collect();
    let wanted = Table(vec![("partition", Column::Integers(partitions))]);
    for (inserted, key) in [
        (
            "insert into log_heads (partition, next_position) select wanted.partition, 1 from ",
            " where true on conflict (partition) do nothing",
        ),
        (
            "insert into watermarks (partition, position) select wanted.partition, 0 from ",
            " where true on conflict (partition) do nothing",
        ),
    ] {
        query::<D>(Sql::from(inserted) + D::table(&wanted, 1, "wanted") + key)
            .bind_table(wanted.clone())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}
