//! Sessions and the pairs they are billed to.

use crate::billable::Attribution;
use crate::store::SessionFound;
use crate::store::backend::Backend;
use crate::store::dialect::{Connector, Dialect};
use crate::store::error::StoreError;
use crate::store::query::query;
use crate::store::row::{SESSION_COLUMNS, SessionRow};
use crate::store::sql::Sql;
use crate::store::table::{Column, Table};

/// The maximum number of unfinished attributions that one query returns.
const PENDING: i64 = 500;

fn select(condition: &'static str) -> Sql {
    Sql::from("select ") + SESSION_COLUMNS + " from sessions where " + condition
}

/// Stores decisions about sessions that have none.
fn decide<D: Dialect>(decisions: &Table<'_>) -> Sql {
    Sql::from(
        "insert into sessions (session_id, account_id, customer_id, client, decided_at, is_complete)
             select session_id, account_id, customer_id, client, decided_at, false from ",
    ) + D::table(decisions, 1, "decided")
        + " where true on conflict (session_id) do nothing"
}

impl<D: Dialect> Backend<D> {
    pub(in crate::store) async fn sessions_decide(
        &self,
        attributions: &[Attribution],
    ) -> Result<Vec<SessionFound>, StoreError> {
        self.connector.recover().await?;
        // In the order of the sessions, so that two requests cannot deadlock.
        let mut wanted: Vec<_> = attributions.iter().collect();
        wanted.sort_by_key(|attribution| attribution.session_id.as_str());
        let text = |value: fn(&Attribution) -> &str| {
            Column::texts(wanted.iter().map(|attribution| value(attribution)))
        };
        let decisions = Table(vec![
            ("session_id", text(|one| one.session_id.as_str())),
            ("account_id", text(|one| one.pair.account_id.as_str())),
            ("customer_id", text(|one| one.pair.customer_id.as_str())),
            ("client", text(|one| one.client.as_str())),
            (
                "decided_at",
                Column::bigints(wanted.iter().map(|one| one.decided_at.as_micros())),
            ),
        ]);
        let mut transaction = self.decisions.begin_with(D::BEGIN).await?;
        query::<D>(decide::<D>(&decisions))
            .bind_table(decisions)
            .execute(&mut *transaction)
            .await?;
        let sessions = wanted.iter().map(|one| one.session_id.as_str());
        let rows: Vec<SessionRow> = query::<D>(select("session_id ") + D::among(1))
            .bind_list(Column::texts(sessions))
            .fetch_all(&mut *transaction)
            .await?;
        transaction.commit().await?;
        self.connector.confirm()?;
        rows.into_iter().map(TryInto::try_into).collect()
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

    pub(in crate::store) async fn sessions_complete(
        &self,
        session_ids: &[&str],
    ) -> Result<(), StoreError> {
        let complete = Sql::from(
            "update sessions set is_complete = true where not is_complete and session_id ",
        ) + D::among(1);
        let mut transaction = self.decisions.begin_with(D::BEGIN).await?;
        query::<D>(complete)
            .bind_list(Column::texts(session_ids.iter().copied()))
            .execute(&mut *transaction)
            .await?;
        Ok(transaction.commit().await?)
    }
}
