//! Sessions and the pairs they are billed to. Both databases use the same statements.

use super::row::{SessionRow, session_columns};
use super::{SessionFound, StoreError, postgres, sqlite};
use crate::billable::Attribution;

/// The maximum number of unfinished attributions that one query returns.
const PENDING: i64 = 100;

const FIND: &str = concat!(
    "select ",
    session_columns!(),
    " from sessions where session_id = $1"
);

macro_rules! session_operations {
    ($store:ty, $begin:expr) => {
        impl $store {
            pub(super) async fn session_decide(
                &self,
                attribution: &Attribution,
            ) -> Result<SessionFound, StoreError> {
                self.recover().await?;
                let mut transaction = self.decisions.begin_with($begin).await?;
                sqlx::query(
                    "insert into sessions (session_id, account_id, customer_id, client, decided_at, is_complete)
                     values ($1, $2, $3, $4, $5, false) on conflict (session_id) do nothing",
                )
                .bind(attribution.session_id.as_str())
                .bind(attribution.pair.account_id.as_str())
                .bind(attribution.pair.customer_id.as_str())
                .bind(attribution.client.as_str())
                .bind(attribution.decided_at.as_micros())
                .execute(&mut *transaction)
                .await?;
                let row: SessionRow = sqlx::query_as(FIND)
                    .bind(attribution.session_id.as_str())
                    .fetch_one(&mut *transaction)
                    .await?;
                transaction.commit().await?;
                self.confirm()?;
                row.try_into()
            }

            pub(super) async fn session_find(
                &self,
                session_id: &str,
            ) -> Result<Option<SessionFound>, StoreError> {
                let row: Option<SessionRow> = sqlx::query_as(FIND)
                    .bind(session_id)
                    .fetch_optional(&self.read)
                    .await?;
                row.map(TryInto::try_into).transpose()
            }

            pub(super) async fn sessions_pending(&self) -> Result<Vec<Attribution>, StoreError> {
                let rows: Vec<SessionRow> = sqlx::query_as(concat!(
                    "select ",
                    session_columns!(),
                    " from sessions where not is_complete order by decided_at limit $1"
                ))
                .bind(PENDING)
                .fetch_all(&self.read)
                .await?;
                let found = rows.into_iter().map(SessionFound::try_from);
                found.map(|found| Ok(found?.attribution)).collect()
            }

            pub(super) async fn session_complete(
                &self,
                session_id: &str,
            ) -> Result<(), StoreError> {
                let mut transaction = self.decisions.begin_with($begin).await?;
                sqlx::query(
                    "update sessions set is_complete = true
                     where session_id = $1 and not is_complete",
                )
                .bind(session_id)
                .execute(&mut *transaction)
                .await?;
                transaction.commit().await?;
                Ok(())
            }
        }
    };
}

session_operations!(postgres::Store, postgres::BEGIN);
session_operations!(sqlite::Store, sqlite::BEGIN);
