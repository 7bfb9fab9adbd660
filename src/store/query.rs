//! Runs a statement on either database.

use std::future::ready;

use futures_util::TryStreamExt;
use sqlx::{Database, Pool, SqlSafeStr};

use super::dialect::Dialect;
use super::driver::{AnyRow, Bound, Value};
use super::table::{Column, Table};

/// Where a statement runs: on a connection, or on the next free one of a pool.
pub(super) enum Target<'c, D: Database> {
    Connection(&'c mut D::Connection),
    Pool(&'c Pool<D>),
}

impl<'c, D: Database> From<&'c Pool<D>> for Target<'c, D> {
    fn from(pool: &'c Pool<D>) -> Self {
        Self::Pool(pool)
    }
}

impl<'c, D: Database> From<&'c mut D::Connection> for Target<'c, D> {
    fn from(connection: &'c mut D::Connection) -> Self {
        Self::Connection(connection)
    }
}

/// A statement with the values that are bound so far.
pub(super) struct Statement<D: Dialect>(Bound<D>);

/// Begins a statement.
pub(super) fn query<D: Dialect>(sql: impl SqlSafeStr) -> Statement<D> {
    Statement(sqlx::query(sql))
}

impl<D: Dialect> Statement<D> {
    pub(super) fn bind<'q>(self, value: impl Value<'q>) -> Self {
        Self(D::bind(self.0, value))
    }

    /// Binds a list, which the statement uses by one of the dialect's conditions.
    pub(super) fn bind_list(self, list: Column<'_>) -> Self {
        Self(D::bind_list(self.0, list))
    }

    /// Binds the accounts for [`Dialect::of_accounts`].
    pub(super) fn bind_accounts(self, accounts: Option<&[&str]>) -> Self {
        Self(D::bind_accounts(self.0, accounts))
    }

    /// Binds a table for [`Dialect::table`]. Nothing is bound after it.
    pub(super) fn bind_table(self, table: Table<'_>) -> Self {
        Self(D::bind_table(self.0, table))
    }

    /// Returns the number of changed rows.
    pub(super) async fn execute(
        self,
        target: impl Into<Target<'_, D>>,
    ) -> Result<u64, sqlx::Error> {
        match target.into() {
            Target::Connection(connection) => D::execute(self.0, connection).await,
            Target::Pool(pool) => D::execute(self.0, &mut *pool.acquire().await?).await,
        }
    }

    pub(super) async fn fetch_all<T: AnyRow>(
        self,
        target: impl Into<Target<'_, D>>,
    ) -> Result<Vec<T>, sqlx::Error> {
        let mut held;
        let connection = match target.into() {
            Target::Connection(connection) => connection,
            Target::Pool(pool) => {
                held = pool.acquire().await?;
                &mut *held
            }
        };
        D::fetch(self.0, connection)
            .and_then(|row| ready(D::decode(&row)))
            .try_collect()
            .await
    }

    pub(super) async fn fetch_optional<T: AnyRow>(
        self,
        target: impl Into<Target<'_, D>>,
    ) -> Result<Option<T>, sqlx::Error> {
        let row = match target.into() {
            Target::Connection(connection) => D::fetch_optional(self.0, connection).await?,
            Target::Pool(pool) => D::fetch_optional(self.0, &mut *pool.acquire().await?).await?,
        };
        row.as_ref().map(D::decode).transpose()
    }

    pub(super) async fn fetch_one<T: AnyRow>(
        self,
        target: impl Into<Target<'_, D>>,
    ) -> Result<T, sqlx::Error> {
        let row = self.fetch_optional(target).await?;
        row.ok_or(sqlx::Error::RowNotFound)
    }
}
