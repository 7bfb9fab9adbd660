//! Copies everything except entries: the cursor key, clients, tokens and sessions' attributions.
//! A resumed copy copies them again, because they may have changed.

use sqlx::{Postgres, QueryBuilder, Sqlite};
use uuid::Uuid;

use super::ROWS;
use crate::store::{LogInfo, Store, StoreError, postgres, sqlite};

/// The maximum number of session rows that one query returns.
const COPY_BATCH: i64 = 5000;

/// A token's row as stored.
#[derive(sqlx::FromRow)]
struct TokenCopy {
    id: Uuid,
    client: String,
    secret_hash: Vec<u8>,
    scopes: String,
    created_at: i64,
    expires_at: Option<i64>,
    revoked_at: Option<i64>,
    rate: Option<String>,
    last_used_at: Option<i64>,
}

/// A client's row as stored.
#[derive(sqlx::FromRow)]
struct ClientCopy {
    client: String,
    accounts: Option<String>,
}

/// A decision's row as stored.
#[derive(sqlx::FromRow)]
struct SessionCopy {
    session_id: String,
    account_id: String,
    customer_id: String,
    client: String,
    decided_at: i64,
    is_complete: bool,
}

/// A partition's copy of a decision.
#[derive(sqlx::FromRow)]
struct SessionPairCopy {
    partition: i32,
    session_id: String,
    account_id: String,
    customer_id: String,
}

macro_rules! metadata_operations {
    ($store:ty, $database:ty, $begin:expr) => {
        impl $store {
            async fn cursor_key_find(&self) -> Result<Option<Vec<u8>>, StoreError> {
                let key = sqlx::query_scalar("select secret from cursor_keys where id = 1")
                    .fetch_optional(&self.control)
                    .await?;
                Ok(key)
            }

            async fn cursor_key_set(&self, key: &[u8]) -> Result<(), StoreError> {
                let mut transaction = self.control.begin_with($begin).await?;
                sqlx::query(
                    "insert into cursor_keys (id, secret) values (1, $1)
                     on conflict (id) do update set secret = excluded.secret",
                )
                .bind(key)
                .execute(&mut *transaction)
                .await?;
                Ok(transaction.commit().await?)
            }

            async fn tokens_read(&self) -> Result<Vec<TokenCopy>, StoreError> {
                let rows = sqlx::query_as(
                    "select id, client, secret_hash, scopes, created_at, expires_at, revoked_at, rate, last_used_at
                     from tokens order by created_at, id",
                )
                .fetch_all(&self.control)
                .await?;
                Ok(rows)
            }

            async fn tokens_write(&self, tokens: &[TokenCopy]) -> Result<(), StoreError> {
                let mut transaction = self.control.begin_with($begin).await?;
                for token in tokens {
                    sqlx::query(
                        "insert into tokens (id, client, secret_hash, scopes, created_at, expires_at, revoked_at, rate, last_used_at)
                         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
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
                    .execute(&mut *transaction)
                    .await?;
                }
                Ok(transaction.commit().await?)
            }

            async fn clients_read(&self) -> Result<Vec<ClientCopy>, StoreError> {
                let rows = sqlx::query_as("select client, accounts from clients order by client")
                    .fetch_all(&self.control)
                    .await?;
                Ok(rows)
            }

            async fn clients_write(&self, clients: &[ClientCopy]) -> Result<(), StoreError> {
                let mut transaction = self.control.begin_with($begin).await?;
                for ClientCopy { client, accounts } in clients {
                    sqlx::query(
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

            async fn sessions_read(&self, after: &str) -> Result<Vec<SessionCopy>, StoreError> {
                let rows = sqlx::query_as(
                    "select session_id, account_id, customer_id, client, decided_at, is_complete
                     from sessions where session_id > $1 order by session_id limit $2",
                )
                .bind(after)
                .bind(COPY_BATCH)
                .fetch_all(&self.read)
                .await?;
                Ok(rows)
            }

            async fn sessions_write(&self, sessions: &[SessionCopy]) -> Result<(), StoreError> {
                let mut transaction = self.control.begin_with($begin).await?;
                for rows in sessions.chunks(ROWS) {
                    let mut query = QueryBuilder::<$database>::new(
                        "insert into sessions (session_id, account_id, customer_id, client, decided_at, is_complete) ",
                    );
                    query.push_values(rows, |mut row, session| {
                        row.push_bind(&*session.session_id)
                            .push_bind(&*session.account_id)
                            .push_bind(&*session.customer_id)
                            .push_bind(&*session.client)
                            .push_bind(session.decided_at)
                            .push_bind(session.is_complete);
                    });
                    query.push(" on conflict (session_id) do update set is_complete = excluded.is_complete");
                    query.build().execute(&mut *transaction).await?;
                }
                Ok(transaction.commit().await?)
            }

            async fn session_pairs_read(
                &self,
                partition: i32,
                after: &str,
            ) -> Result<Vec<SessionPairCopy>, StoreError> {
                let rows = sqlx::query_as(
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

            async fn session_pairs_write(&self, pairs: &[SessionPairCopy]) -> Result<(), StoreError> {
                let mut transaction = self.control.begin_with($begin).await?;
                for rows in pairs.chunks(ROWS) {
                    let mut query = QueryBuilder::<$database>::new(
                        "insert into session_pairs (partition, session_id, account_id, customer_id) ",
                    );
                    query.push_values(rows, |mut row, pair| {
                        row.push_bind(pair.partition)
                            .push_bind(&*pair.session_id)
                            .push_bind(&*pair.account_id)
                            .push_bind(&*pair.customer_id);
                    });
                    query.push(" on conflict (partition, session_id) do nothing");
                    query.build().execute(&mut *transaction).await?;
                }
                Ok(transaction.commit().await?)
            }
        }
    };
}

metadata_operations!(postgres::Store, Postgres, postgres::BEGIN);
metadata_operations!(sqlite::Store, Sqlite, sqlite::BEGIN);

impl Store {
    /// Copies the cursor key, the clients and their tokens, revoked ones included, from another
    /// database.
    pub async fn secrets_copy(&self, from: &Self) -> Result<(), StoreError> {
        if let Some(key) = on_either!(from, cursor_key_find())? {
            on_either!(self, cursor_key_set(&key))?;
        }
        let clients = on_either!(from, clients_read())?;
        on_either!(self, clients_write(&clients))?;
        let tokens = on_either!(from, tokens_read())?;
        on_either!(self, tokens_write(&tokens))
    }

    /// Copies the decisions about sessions, and each partition's copy of them, from another
    /// database.
    pub async fn sessions_copy(&self, from: &Self, log: LogInfo) -> Result<(), StoreError> {
        let mut after = String::new();
        loop {
            let sessions = on_either!(from, sessions_read(&after))?;
            let Some(last) = sessions.last() else {
                break;
            };
            after.clone_from(&last.session_id);
            on_either!(self, sessions_write(&sessions))?;
        }
        for partition in 0..log.partitions.cast_signed() {
            let mut after = String::new();
            loop {
                let pairs = on_either!(from, session_pairs_read(partition, &after))?;
                let Some(last) = pairs.last() else {
                    break;
                };
                after.clone_from(&last.session_id);
                on_either!(self, session_pairs_write(&pairs))?;
            }
        }
        Ok(())
    }
}
