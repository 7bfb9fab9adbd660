//! Clients and their tokens.

use uuid::Uuid;

use crate::billable::{ClientName, Timestamp};
use crate::store::TokenFound;
use crate::store::backend::Backend;
use crate::store::dialect::Dialect;
use crate::store::error::StoreError;
use crate::store::query::{Statement, query};
use crate::store::row::{
    ClientRow, TOKEN_COLUMNS, TokenRow, accounts_column, accounts_of, scopes_column, sender_column,
};
use crate::store::sql::Sql;
use crate::token::{Accounts, Client, SecretHash, Token};

const INSERT: &str =
    "insert into tokens (id, client, secret_hash, scopes, created_at, expires_at, rate, sender)
     values ($1, $2, $3, $4, $5, $6, $7, $8)";

/// Selects clients, each with the number of its tokens that are valid at `$1`.
const CLIENTS: &str = "select client, accounts,
         (select count(*) from tokens
          where tokens.client = clients.client and revoked_at is null
              and (expires_at is null or expires_at > $1)) as tokens
     from clients order by client";

/// Selects the tokens that are not revoked.
fn select() -> Sql {
    Sql::from("select ")
        + TOKEN_COLUMNS
        + " from tokens left join clients on clients.client = tokens.client
            where revoked_at is null order by created_at, id"
}

fn insertion<D: Dialect>(token: &Token, hash: &SecretHash) -> Statement<D> {
    query(INSERT)
        .bind(token.id)
        .bind(token.grant.client.as_str())
        .bind(hash.as_bytes())
        .bind(scopes_column(&token.grant))
        .bind(token.created_at.as_micros())
        .bind(token.expires_at.map(Timestamp::as_micros))
        .bind(token.rate.map(|rate| rate.to_string()))
        .bind(sender_column(&token.grant))
}

impl<D: Dialect> Backend<D> {
    pub(in crate::store) async fn token_insert(
        &self,
        token: &Token,
        hash: &SecretHash,
    ) -> Result<(), StoreError> {
        insertion::<D>(token, hash).execute(&self.control).await?;
        Ok(())
    }

    pub(in crate::store) async fn tokens_list(&self) -> Result<Vec<TokenFound>, StoreError> {
        let rows: Vec<TokenRow> = query::<D>(select()).fetch_all(&self.control).await?;
        Ok(rows.into_iter().map(TryFrom::try_from).collect())
    }

    pub(in crate::store) async fn clients_list(
        &self,
        now: Timestamp,
    ) -> Result<Vec<Client>, StoreError> {
        let rows: Vec<ClientRow> = query::<D>(CLIENTS)
            .bind(now.as_micros())
            .fetch_all(&self.control)
            .await?;
        rows.into_iter().map(TryFrom::try_from).collect()
    }

    pub(in crate::store) async fn client_ensure(
        &self,
        name: &ClientName,
        accounts: Option<&[String]>,
    ) -> Result<Accounts, StoreError> {
        query::<D>(
            "insert into clients (client, accounts) values ($1, $2) on conflict (client) do nothing",
        )
        .bind(name.as_str())
        .bind(accounts_column(accounts))
        .execute(&self.control)
        .await?;
        let (stored,) = query::<D>("select accounts from clients where client = $1")
            .bind(name.as_str())
            .fetch_one(&self.control)
            .await?;
        accounts_of(stored).map_err(|()| StoreError::Corrupt {
            table: "clients",
            column: "accounts",
            key: name.to_string(),
        })
    }

    pub(in crate::store) async fn client_limit(
        &self,
        name: &ClientName,
        accounts: Option<&[String]>,
    ) -> Result<bool, StoreError> {
        let done = query::<D>("update clients set accounts = $2 where client = $1")
            .bind(name.as_str())
            .bind(accounts_column(accounts))
            .execute(&self.control)
            .await?;
        Ok(done == 1)
    }

    pub(in crate::store) async fn tokens_exist(&self) -> Result<bool, StoreError> {
        let (exist,) = query::<D>("select exists (select 1 from tokens)")
            .fetch_one(&self.control)
            .await?;
        Ok(exist)
    }

    pub(in crate::store) async fn token_revoke(
        &self,
        id: Uuid,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let done =
            query::<D>("update tokens set revoked_at = $2 where id = $1 and revoked_at is null")
                .bind(id)
                .bind(now.as_micros())
                .execute(&self.control)
                .await?;
        Ok(done == 1)
    }

    pub(in crate::store) async fn token_rotate(
        &self,
        old: Uuid,
        until: Timestamp,
        new: &Token,
        hash: &SecretHash,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.control.begin_with(D::BEGIN).await?;
        let ended = query::<D>(
            "update tokens set expires_at =
                 case when expires_at < $2 then expires_at else $2 end
             where id = $1 and revoked_at is null and (expires_at is null or expires_at > $3)",
        )
        .bind(old)
        .bind(until.as_micros())
        .bind(new.created_at.as_micros())
        .execute(&mut *transaction)
        .await?;
        if ended != 1 {
            return Ok(false);
        }
        insertion::<D>(new, hash).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(true)
    }

    pub(in crate::store) async fn tokens_use(
        &self,
        used: &[(Uuid, Timestamp)],
    ) -> Result<(), StoreError> {
        let mut transaction = self.derived.begin_with(D::BEGIN_DERIVED).await?;
        for (id, at) in used {
            query::<D>(
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
