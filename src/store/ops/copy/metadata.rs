//! Copies everything except entries: the cursor key, clients, tokens and sessions' attributions.
//! A resumed copy copies them again, because they may have changed.

use uuid::Uuid;

use crate::store::backend::Backend;
use crate::store::dialect::Dialect;
use crate::store::error::StoreError;
use crate::store::query::query;
use crate::store::sql::Sql;
use crate::store::table::{Column, Table};

/// The maximum number of session rows that one query returns.
const COPY_BATCH: i64 = 5000;

/// A token's row as stored.
#[derive(sqlx::FromRow)]
pub(in crate::store) struct TokenCopy {
    id: Uuid,
    client: String,
    secret_hash: Vec<u8>,
    scopes: String,
    created_at: i64,
    expires_at: Option<i64>,
    revoked_at: Option<i64>,
    rate: Option<String>,
    last_used_at: Option<i64>,
    sender: Option<String>,
}

/// A client's row as stored.
#[derive(sqlx::FromRow)]
pub(in crate::store) struct ClientCopy {
    client: String,
    accounts: Option<String>,
}

/// A decision's row as stored.
#[derive(sqlx::FromRow)]
pub(in crate::store) struct SessionCopy {
    pub(in crate::store) session_id: String,
    account_id: String,
    customer_id: String,
    client: String,
    decided_at: i64,
    is_complete: bool,
}

/// A partition's copy of a decision.
#[derive(sqlx::FromRow)]
pub(in crate::store) struct SessionPairCopy {
    partition: i32,
    pub(in crate::store) session_id: String,
    account_id: String,
    customer_id: String,
}

impl<D: Dialect> Backend<D> {
    pub(in crate::store) async fn cursor_key_find(&self) -> Result<Option<Vec<u8>>, StoreError> {
        let key: Option<(Vec<u8>,)> = query::<D>("select secret from cursor_keys where id = 1")
            .fetch_optional(&self.control)
            .await?;
        Ok(key.map(|(key,)| key))
    }

    pub(in crate::store) async fn cursor_key_set(&self, key: &[u8]) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        query::<D>(
            "insert into cursor_keys (id, secret) values (1, $1)
             on conflict (id) do update set secret = excluded.secret",
        )
        .bind(key)
        .execute(&mut *transaction)
        .await?;
        Ok(transaction.commit().await?)
    }

    pub(in crate::store) async fn tokens_read(&self) -> Result<Vec<TokenCopy>, StoreError> {
        let rows = query::<D>(
            "select id, client, secret_hash, scopes, created_at, expires_at, revoked_at, rate, last_used_at, sender
             from tokens order by created_at, id",
        )
        .fetch_all(&self.control)
        .await?;
        Ok(rows)
    }

    pub(in crate::store) async fn tokens_write(
        &self,
        tokens: &[TokenCopy],
    ) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        for token in tokens {
            query::<D>(
                "insert into tokens (id, client, secret_hash, scopes, created_at, expires_at, revoked_at, rate, last_used_at, sender)
                 values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
                 on conflict (id) do update set
                     expires_at = excluded.expires_at, revoked_at = excluded.revoked_at",
            )
            .bind(token.id)
            .bind(&*token.client)
            .bind(&*token.secret_hash)
            .bind(&*token.scopes)
            .bind(token.created_at)
            .bind(token.expires_at)
            .bind(token.revoked_at)
            .bind(token.rate.as_deref())
            .bind(token.last_used_at)
            .bind(token.sender.as_deref())
            .execute(&mut *transaction)
            .await?;
        }
        Ok(transaction.commit().await?)
    }

    pub(in crate::store) async fn clients_read(&self) -> Result<Vec<ClientCopy>, StoreError> {
        let rows = query::<D>("select client, accounts from clients order by client")
            .fetch_all(&self.control)
            .await?;
        Ok(rows)
    }

    pub(in crate::store) async fn clients_write(
        &self,
        clients: &[ClientCopy],
    ) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        for ClientCopy { client, accounts } in clients {
            query::<D>(
                "insert into clients (client, accounts) values ($1, $2)
                 on conflict (client) do update set accounts = excluded.accounts",
            )
            .bind(client)
            .bind(accounts.as_deref())
            .execute(&mut *transaction)
            .await?;
        }
        Ok(transaction.commit().await?)
    }

    pub(in crate::store) async fn sessions_read(
        &self,
        after: &str,
    ) -> Result<Vec<SessionCopy>, StoreError> {
        let rows = query::<D>(
            "select session_id, account_id, customer_id, client, decided_at, is_complete
             from sessions where session_id > $1 order by session_id limit $2",
        )
        .bind(after)
        .bind(COPY_BATCH)
        .fetch_all(&self.read)
        .await?;
        Ok(rows)
    }

    pub(in crate::store) async fn sessions_write(
        &self,
        sessions: &[SessionCopy],
    ) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        for rows in sessions.chunks(D::MAX_ROWS) {
            let texts = |text: fn(&SessionCopy) -> &str| Column::texts(rows.iter().map(text));
            let rows = Table(vec![
                ("session_id", texts(|row| &row.session_id)),
                ("account_id", texts(|row| &row.account_id)),
                ("customer_id", texts(|row| &row.customer_id)),
                ("client", texts(|row| &row.client)),
                (
                    "decided_at",
                    Column::bigints(rows.iter().map(|row| row.decided_at)),
                ),
                (
                    "is_complete",
                    Column::Booleans(rows.iter().map(|row| row.is_complete).collect()),
                ),
            ]);
            let sql = Sql::from(
                "insert into sessions (session_id, account_id, customer_id, client, decided_at, is_complete)
                 select session_id, account_id, customer_id, client, decided_at, is_complete from ",
            ) + D::table(&rows, 1, "new")
                + " where true on conflict (session_id) do update set is_complete = excluded.is_complete";
            query::<D>(sql)
                .bind_table(rows)
                .execute(&mut *transaction)
                .await?;
        }
        Ok(transaction.commit().await?)
    }

    pub(in crate::store) async fn session_pairs_read(
        &self,
        partition: i32,
        after: &str,
    ) -> Result<Vec<SessionPairCopy>, StoreError> {
        let rows = query::<D>(
            "select partition, session_id, account_id, customer_id from session_pairs
             where partition = $1 and session_id > $2 order by session_id limit $3",
        )
        .bind(partition)
        .bind(after)
        .bind(COPY_BATCH)
        .fetch_all(&self.read)
        .await?;
        Ok(rows)
    }

    pub(in crate::store) async fn session_pairs_write(
        &self,
        pairs: &[SessionPairCopy],
    ) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        for rows in pairs.chunks(D::MAX_ROWS) {
            let texts = |text: fn(&SessionPairCopy) -> &str| Column::texts(rows.iter().map(text));
            let partitions = rows.iter().map(|row| row.partition).collect();
            let rows = Table(vec![
                ("partition", Column::Integers(partitions)),
                ("session_id", texts(|row| &row.session_id)),
                ("account_id", texts(|row| &row.account_id)),
                ("customer_id", texts(|row| &row.customer_id)),
            ]);
            let sql = Sql::from(
                "insert into session_pairs (partition, session_id, account_id, customer_id)
                 select partition, session_id, account_id, customer_id from ",
            ) + D::table(&rows, 1, "new")
                + " where true on conflict (partition, session_id) do nothing";
            query::<D>(sql)
                .bind_table(rows)
                .execute(&mut *transaction)
                .await?;
        }
        Ok(transaction.commit().await?)
    }
}
