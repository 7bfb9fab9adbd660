//! Sessions and the pairs they are billed to.

use crate::billable::Attribution;
use crate::store::SessionFound;
use crate::store::backend::Backend;
use crate::store::dialect::{Connector, Dialect};
use crate::store::error::StoreError;
use crate::store::query::query;
use crate::store::row::{SESSION_COLUMNS, SessionRow};
use crate::store::sql::Sql;

/// The maximum number of unfinished attributions that one query returns.
const PENDING: i64 = 100;

fn select(condition: &'static str) -> Sql {
    Sql::from("select ") + SESSION_COLUMNS + " from sessions where " + condition
}

impl<D: Dialect> Backend<D> {
    pub(in crate::store) async fn session_decide(
        &self,
        attribution: &Attribution,
    ) -> Result<SessionFound, StoreError> {
        self.connector.recover().await?;
        let mut transaction = self.decisions.begin_with(D::BEGIN).await?;
        query::<D>(
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
        let row: SessionRow = query::<D>(select("session_id = $1"))
            .bind(attribution.session_id.as_str())
            .fetch_one(&mut *transaction)
            .await?;
        transaction.commit().await?;
        self.connector.confirm()?;
        row.try_into()
    }

    pub(in crate::store) async fn session_find(
        &self,
        session_id: &str,
    ) -> Result<Option<SessionFound>, StoreError> {
        let row: Option<SessionRow> = query::<D>(select("session_id = $1"))
            .bind(session_id)
            .fetch_optional(&self.read)
            .await?;
        row.map(TryInto::try_into).transpose()
    }

    pub(in crate::store) async fn sessions_pending(&self) -> Result<Vec<Attribution>, StoreError> {
        let rows: Vec<SessionRow> =
            query::<D>(select("not is_complete order by decided_at limit $1"))
                .bind(PENDING)
                .fetch_all(&self.read)
                .await?;
        let found = rows.into_iter().map(SessionFound::try_from);
        found.map(|found| Ok(found?.attribution)).collect()
    }

    pub(in crate::store) async fn session_complete(
        &self,
        session_id: &str,
    ) -> Result<(), StoreError> {
        let mut transaction = self.decisions.begin_with(D::BEGIN).await?;
        query::<D>(
            "update sessions set is_complete = true where session_id = $1 and not is_complete",
        )
        .bind(session_id)
        .execute(&mut *transaction)
        .await?;
        Ok(transaction.commit().await?)
    }
}
