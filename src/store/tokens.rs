//! Tokens, in both databases: the statements are the same, only the connections differ.

use super::row::{TokenRow, accounts_column, scopes_column, token_columns};
use super::{StoreError, TokenFound, postgres, sqlite};
use crate::billable::Instant;
use crate::token::{SecretHash, Token};

use uuid::Uuid;

macro_rules! token_operations {
    ($store:ty) => {
        impl $store {
            pub(super) async fn token_insert(&self, token: &Token, hash: &SecretHash) -> Result<(), StoreError> {
                sqlx::query(
                    "insert into tokens (id, client, secret_hash, scopes, accounts, created_at, expires_at)
                     values ($1, $2, $3, $4, $5, $6, $7)",
                )
                .bind(token.id)
                .bind(token.grant.client.as_str())
                .bind(hash.as_bytes())
                .bind(scopes_column(&token.grant))
                .bind(accounts_column(&token.grant))
                .bind(token.created_at.as_micros())
                .bind(token.expires_at.map(Instant::as_micros))
                .execute(&self.control)
                .await?;
                Ok(())
            }

            pub(super) async fn tokens_list(&self) -> Result<Vec<TokenFound>, StoreError> {
                let rows: Vec<TokenRow> = sqlx::query_as(concat!(
                    "select ", token_columns!(), " from tokens where revoked_at is null order by created_at, id"
                ))
                .fetch_all(&self.control)
                .await?;
                Ok(rows.into_iter().map(TryFrom::try_from).collect())
            }

            pub(super) async fn tokens_exist(&self) -> Result<bool, StoreError> {
                Ok(sqlx::query_scalar("select exists (select 1 from tokens)").fetch_one(&self.control).await?)
            }

            pub(super) async fn token_revoke(&self, id: Uuid, now: Instant) -> Result<bool, StoreError> {
                let done = sqlx::query("update tokens set revoked_at = $2 where id = $1 and revoked_at is null")
                    .bind(id)
                    .bind(now.as_micros())
                    .execute(&self.control)
                    .await?;
                Ok(done.rows_affected() == 1)
            }
        }
    };
}

token_operations!(postgres::Store);
token_operations!(sqlite::Store);
