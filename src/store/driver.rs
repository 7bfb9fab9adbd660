//! What sqlx can do with either database.
//!
//! sqlx implements its traits for each database. Generic code would need a bound for each type that
//! it binds or reads. Here, a value or a row works with both databases instead, and [`Driver`] has
//! the few calls that the store needs.

use futures_util::stream::BoxStream;
use sqlx::postgres::PgRow;
use sqlx::query::Query;
use sqlx::sqlite::SqliteRow;
use sqlx::{Database, Encode, FromRow, Postgres, Sqlite, Type};

/// A value that both databases can store.
pub trait Value<'q>:
    Encode<'q, Postgres> + Type<Postgres> + Encode<'q, Sqlite> + Type<Sqlite>
{
}

impl<'q, T> Value<'q> for T where
    T: Encode<'q, Postgres> + Type<Postgres> + Encode<'q, Sqlite> + Type<Sqlite>
{
}

/// A row that both databases can return.
pub trait AnyRow:
    for<'r> FromRow<'r, PgRow> + for<'r> FromRow<'r, SqliteRow> + Send + Unpin
{
}

impl<T> AnyRow for T where
    T: for<'r> FromRow<'r, PgRow> + for<'r> FromRow<'r, SqliteRow> + Send + Unpin
{
}

/// A statement and its values, as sqlx has them.
pub(super) type Bound<D> = Query<'static, D, <D as Database>::Arguments>;

/// What sqlx can do with a database.
pub trait Driver: Database {
    fn bind<'q, T: Value<'q>>(query: Bound<Self>, value: T) -> Bound<Self>;

    fn decode<T: AnyRow>(row: &Self::Row) -> Result<T, sqlx::Error>;

    /// Returns the number of changed rows.
    fn execute(
        query: Bound<Self>,
        connection: &mut Self::Connection,
    ) -> impl Future<Output = Result<u64, sqlx::Error>> + Send;

    fn fetch(
        query: Bound<Self>,
        connection: &mut Self::Connection,
    ) -> BoxStream<'_, Result<Self::Row, sqlx::Error>>;

    fn fetch_optional(
        query: Bound<Self>,
        connection: &mut Self::Connection,
    ) -> impl Future<Output = Result<Option<Self::Row>, sqlx::Error>> + Send;
}

/// Implements [`Driver`]. The text is the same for both databases, but its types are not.
macro_rules! driver {
    ($database:ty) => {
        impl Driver for $database {
            fn bind<'q, T: Value<'q>>(query: Bound<Self>, value: T) -> Bound<Self> {
                query.bind(value)
            }

            fn decode<T: AnyRow>(row: &Self::Row) -> Result<T, sqlx::Error> {
                T::from_row(row)
            }

            async fn execute(
                query: Bound<Self>,
                connection: &mut Self::Connection,
            ) -> Result<u64, sqlx::Error> {
                Ok(query.execute(connection).await?.rows_affected())
            }

            fn fetch(
                query: Bound<Self>,
                connection: &mut Self::Connection,
            ) -> BoxStream<'_, Result<Self::Row, sqlx::Error>> {
                query.fetch(connection)
            }

            async fn fetch_optional(
                query: Bound<Self>,
                connection: &mut Self::Connection,
            ) -> Result<Option<Self::Row>, sqlx::Error> {
                query.fetch_optional(connection).await
            }
        }
    };
}

driver!(Postgres);
driver!(Sqlite);
