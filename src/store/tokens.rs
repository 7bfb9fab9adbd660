//! Clients and their tokens. Both databases use the same statements; only the connections differ.

use super::row::{ClientRow, TokenRow, accounts_column, accounts_of, scopes_column, token_columns};
use super::{Store, StoreError, TokenFound, in_time, postgres, sqlite};
use crate::billable::{ClientName, Timestamp};
use crate::token::{Accounts, Client, SecretHash, Token};

use uuid::Uuid;

const INSERT: &str =
    "insert into tokens (id, client, secret_hash, scopes, created_at, expires_at, rate)
     values ($1, $2, $3, $4, $5, $6, $7)";

/// Selects clients, each with the number of its tokens that are valid at `$1`.
const CLIENTS: &str = "select client, accounts,
         (select count(*) from tokens
          where tokens.client = clients.client and revoked_at is null
              and (expires_at is null or expires_at > $1)) as tokens
     from clients order by client";

macro_rules! insert {
    ($token:expr, $hash:expr) => {
        sqlx::query(INSERT)
            .bind($token.id)
            .bind($token.grant.client.as_str())
            .bind($hash.as_bytes())
            .bind(scopes_column(&$token.grant))
            .bind($token.created_at.as_micros())
            .bind($token.expires_at.map(Timestamp::as_micros))
            .bind($token.rate.map(|rate| rate.to_string()))
    };
}

macro_rules! token_operations {
    ($dialect:ident) => {
        impl $dialect::Store {
            pub(super) async fn token_insert(&self, token: &Token, hash: &SecretHash) -> Result<(), StoreError> {
                insert!(token, hash).execute(&self.control).await?;
                Ok(())
            }

            pub(super) async fn tokens_list(&self) -> Result<Vec<TokenFound>, StoreError> {
                let rows: Vec<TokenRow> = sqlx::query_as(concat!(
                    "select ", token_columns!(), " from tokens
                     left join clients on clients.client = tokens.client
                     where revoked_at is null order by created_at, id"
                ))
                .fetch_all(&self.control)
                .await?;
                Ok(rows.into_iter().map(TryFrom::try_from).collect())
            }

            pub(super) async fn clients_list(&self, now: Timestamp) -> Result<Vec<Client>, StoreError> {
                let rows: Vec<ClientRow> = sqlx::query_as(CLIENTS)
                    .bind(now.as_micros())
                    .fetch_all(&self.control)
                    .await?;
                rows.into_iter().map(TryFrom::try_from).collect()
            }

            pub(super) async fn client_ensure(
                &self,
                name: &ClientName,
                accounts: Option<&[String]>,
            ) -> Result<Accounts, StoreError> {
                sqlx::query(
                    "insert into clients (client, accounts) values ($1, $2) on conflict (client) do nothing",
                )
                .bind(name.as_str())
                .bind(accounts_column(accounts))
                .execute(&self.control)
                .await?;
                let stored = sqlx::query_scalar("select accounts from clients where client = $1")
                    .bind(name.as_str())
                    .fetch_one(&self.control)
                    .await?;
                accounts_of(stored).map_err(|()| StoreError::Corrupt {
                    table: "clients",
                    column: "accounts",
                    key: name.to_string(),
                })
            }

            pub(super) async fn client_limit(
                &self,
                name: &ClientName,
                accounts: Option<&[String]>,
            ) -> Result<bool, StoreError> {
                let done = sqlx::query("update clients set accounts = $2 where client = $1")
                    .bind(name.as_str())
                    .bind(accounts_column(accounts))
                    .execute(&self.control)
                    .await?;
                Ok(done.rows_affected() == 1)
            }

            pub(super) async fn tokens_exist(&self) -> Result<bool, StoreError> {
                Ok(sqlx::query_scalar("select exists (select 1 from tokens)").fetch_one(&self.control).await?)
            }

            pub(super) async fn token_revoke(&self, id: Uuid, now: Timestamp) -> Result<bool, StoreError> {
                let done = sqlx::query("update tokens set revoked_at = $2 where id = $1 and revoked_at is null")
                    .bind(id)
                    .bind(now.as_micros())
                    .execute(&self.control)
                    .await?;
                Ok(done.rows_affected() == 1)
            }

            pub(super) async fn token_rotate(
                &self, old: Uuid, until: Timestamp, new: &Token, hash: &SecretHash,
            ) -> Result<bool, StoreError> {
                let mut transaction = self.control.begin_with($dialect::BEGIN).await?;
                let ended = sqlx::query(
                    "update tokens set expires_at =
                         case when expires_at < $2 then expires_at else $2 end
                     where id = $1 and revoked_at is null and (expires_at is null or expires_at > $3)",
                )
                .bind(old)
                .bind(until.as_micros())
                .bind(new.created_at.as_micros())
                .execute(&mut *transaction)
                .await?;
                if ended.rows_affected() != 1 {
                    return Ok(false);
                }
                insert!(new, hash).execute(&mut *transaction).await?;
                transaction.commit().await?;
                Ok(true)
            }

            pub(super) async fn tokens_use(&self, used: &[(Uuid, Timestamp)]) -> Result<(), StoreError> {
                let mut transaction = self.derived.begin_with($dialect::BEGIN_DERIVED).await?;
                for (id, at) in used {
                    sqlx::query(
                        "update tokens set last_used_at = $2
                         where id = $1 and (last_used_at is null or last_used_at <= $2 - 60000000)",
                    )
                    .bind(id)
                    .bind(at.as_micros())
                    .execute(&mut *transaction)
                    .await?;
                }
                Ok(transaction.commit().await?)
            }
        }
    };
}

token_operations!(postgres);
token_operations!(sqlite);

impl Store {
    /// Returns all clients that ever had a token, by name, with their tokens that are valid at
    /// `now`.
    pub async fn clients_list(&self, now: Timestamp) -> Result<Vec<Client>, StoreError> {
        on_either!(self, clients_list(now))
    }

    /// Stores a client with these accounts unless there is one of this name. Returns the accounts
    /// of the stored one.
    pub async fn client_ensure(
        &self,
        name: &ClientName,
        accounts: Option<&[String]>,
    ) -> Result<Accounts, StoreError> {
        on_either!(self, client_ensure(name, accounts))
    }

    /// Limits all tokens of a client to accounts; `None` for no limit. Returns false if there is no
    /// such client.
    pub async fn client_limit(
        &self,
        name: &ClientName,
        accounts: Option<&[String]>,
    ) -> Result<bool, StoreError> {
        on_either!(self, client_limit(name, accounts))
    }

    /// Stores a token of a client that is stored. The client's accounts are not changed.
    pub async fn token_insert(&self, token: &Token, hash: &SecretHash) -> Result<(), StoreError> {
        on_either!(self, token_insert(token, hash))
    }

    /// Returns every token that is not revoked, expired ones included, oldest first. An unreadable
    /// row, such as one written by a newer version, is returned as an error among the others.
    pub async fn tokens_list(&self) -> Result<Vec<TokenFound>, StoreError> {
        on_either!(self, tokens_list())
    }

    /// Returns whether a token was ever created, revoked ones included.
    pub async fn tokens_exist(&self) -> Result<bool, StoreError> {
        on_either!(self, tokens_exist())
    }

    /// Revokes a token. Returns false if no token has this id or it is already revoked.
    pub async fn token_revoke(&self, id: Uuid, now: Timestamp) -> Result<bool, StoreError> {
        on_either!(self, token_revoke(id, now))
    }

    /// Sets a token to expire at `until`, unless it expires earlier, and stores its replacement, in
    /// one transaction. Returns false if there is no valid token with the id `old`.
    pub async fn token_rotate(
        &self,
        old: Uuid,
        until: Timestamp,
        new: &Token,
        hash: &SecretHash,
    ) -> Result<bool, StoreError> {
        on_either!(self, token_rotate(old, until, new, hash))
    }

    /// Records when tokens were used, for each token at most once a minute across all servers.
    pub async fn tokens_use(&self, used: &[(Uuid, Timestamp)]) -> Result<(), StoreError> {
        in_time(async { on_either!(self, tokens_use(used)) }).await
    }
}
