//! Rows as both databases return them, and their conversion to domain types.

use std::sync::Arc;

use sqlx::{ColumnIndex, Decode, FromRow, Row};
use uuid::Uuid;

use super::error::StoreError;
use super::{LogInfo, SessionFound};
use crate::billable::{
    Attribution, ClientName, Entry, EntryKind, FirstPart, IdempotencyKey, Identity, LogEntry, Pair,
    Reported, Text, Timestamp,
};
use crate::token::{Accounts, Client, Grant, Rate, Scope, SecretHash, SenderSettings, Token};

/// The columns of [`EntryRow`], and `call_prefix` for verification.
pub(super) const ENTRY_COLUMNS: &str = "entries.partition, entries.position, entries.billable_id, entries.kind, \
     entries.account_id, entries.customer_id, entries.session_id, entries.call_sid, \
     entries.billed_account_id, entries.billed_customer_id, \
     entries.occurred_at, entries.recorded_at, \
     entries.client, entries.idempotency_key, entries.key_index, entries.reason, \
     entries.call_prefix";

/// The columns of [`TokenRow`].
pub(super) const TOKEN_COLUMNS: &str = "tokens.id, tokens.client, tokens.secret_hash, tokens.scopes, clients.client as stored_client, \
     clients.accounts, tokens.created_at, tokens.expires_at, tokens.rate, tokens.last_used_at, tokens.sender";

/// A row of `entries`.
///
/// It is read by index, in the order of [`ENTRY_COLUMNS`], and without type checks, because the
/// migrations define the types. An export reads millions of rows: looking the columns up by name
/// would take longer than reading them, and so would checking their types.
pub(super) struct EntryRow {
    partition: i32,
    position: i64,
    billable_id: Uuid,
    kind: i16,
    account_id: Option<String>,
    customer_id: Option<String>,
    session_id: Option<String>,
    call_sid: Option<String>,
    billed_account_id: Option<String>,
    billed_customer_id: Option<String>,
    occurred_at: i64,
    recorded_at: i64,
    client: String,
    idempotency_key: Option<String>,
    key_index: Option<i64>,
    reason: Option<String>,
}

impl<'r, R: Row> FromRow<'r, R> for EntryRow
where
    usize: ColumnIndex<R>,
    i16: Decode<'r, R::Database>,
    i32: Decode<'r, R::Database>,
    i64: Decode<'r, R::Database>,
    String: Decode<'r, R::Database>,
    Uuid: Decode<'r, R::Database>,
{
    fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
        Ok(Self {
            partition: row.try_get_unchecked(0)?,
            position: row.try_get_unchecked(1)?,
            billable_id: row.try_get_unchecked(2)?,
            kind: row.try_get_unchecked(3)?,
            account_id: row.try_get_unchecked(4)?,
            customer_id: row.try_get_unchecked(5)?,
            session_id: row.try_get_unchecked(6)?,
            call_sid: row.try_get_unchecked(7)?,
            billed_account_id: row.try_get_unchecked(8)?,
            billed_customer_id: row.try_get_unchecked(9)?,
            occurred_at: row.try_get_unchecked(10)?,
            recorded_at: row.try_get_unchecked(11)?,
            client: row.try_get_unchecked(12)?,
            idempotency_key: row.try_get_unchecked(13)?,
            key_index: row.try_get_unchecked(14)?,
            reason: row.try_get_unchecked(15)?,
        })
    }
}

impl TryFrom<EntryRow> for LogEntry {
    type Error = StoreError;

    fn try_from(row: EntryRow) -> Result<Self, StoreError> {
        let EntryRow {
            partition,
            position,
            billable_id,
            kind,
            account_id,
            customer_id,
            session_id,
            call_sid,
            billed_account_id,
            billed_customer_id,
            occurred_at,
            recorded_at,
            client,
            idempotency_key,
            key_index,
            reason,
        } = row;
        let corrupt = |column| StoreError::Corrupt {
            table: "entries",
            column,
            key: billable_id.to_string(),
        };
        let text = |value: Option<String>| value.map(Text::trusted);
        let pair = pair(billed_account_id, billed_customer_id)
            .map_err(|()| corrupt("billed_customer_id"))?;
        let key = match idempotency_key {
            Some(key) => Some(
                IdempotencyKey::parse(key.as_bytes()).ok_or_else(|| corrupt("idempotency_key"))?,
            ),
            None => None,
        };
        let index = key_index
            .map(u32::try_from)
            .transpose()
            .map_err(|_| corrupt("key_index"))?;
        let reported = Reported {
            account_id: text(account_id),
            customer_id: text(customer_id),
            session_id: text(session_id),
            call_sid: text(call_sid),
        };
        let entry = Entry {
            billable_id,
            kind: EntryKind::from_code(kind).ok_or_else(|| corrupt("kind"))?,
            identity: Identity::of(key, index, &reported),
            reported,
            pair,
            occurred_at: Timestamp::from_micros(occurred_at)
                .ok_or_else(|| corrupt("occurred_at"))?,
            recorded_at: Timestamp::from_micros(recorded_at)
                .ok_or_else(|| corrupt("recorded_at"))?,
            client: ClientName::parse(&client).ok_or_else(|| corrupt("client"))?,
            reason: text(reason),
        };
        Ok(Self {
            partition: partition.cast_unsigned(),
            position,
            entry,
        })
    }
}

/// Returns the value of the column `call_prefix`.
pub(super) fn call_prefix_column(entry: &Entry) -> Option<i64> {
    entry.call_prefix().map(prefix_number)
}

/// Converts the first part of an id to a number, as both databases store it.
pub(super) fn prefix_number(first_part: FirstPart) -> i64 {
    let mut bytes = [0; 8];
    bytes[2..].copy_from_slice(&first_part);
    i64::from_be_bytes(bytes)
}

/// Combines two columns into a pair. Fails if only one of them is set.
fn pair(account_id: Option<String>, customer_id: Option<String>) -> Result<Option<Pair>, ()> {
    match (account_id, customer_id) {
        (Some(account_id), Some(customer_id)) => Ok(Some(Pair {
            account_id: Text::trusted(account_id),
            customer_id: Text::trusted(customer_id),
        })),
        (None, None) => Ok(None),
        _ => Err(()),
    }
}

/// Converts rows into entries with their positions.
pub(super) fn log_entries(rows: Vec<EntryRow>) -> Result<Vec<LogEntry>, StoreError> {
    rows.into_iter().map(LogEntry::try_from).collect()
}

pub(super) fn entries(rows: Vec<EntryRow>) -> Result<Vec<Entry>, StoreError> {
    let found = log_entries(rows)?;
    Ok(found.into_iter().map(|log_entry| log_entry.entry).collect())
}

/// An entry that an append inserted, and the pair that it bills.
#[derive(sqlx::FromRow)]
pub(super) struct InsertedRow {
    billable_id: Uuid,
    billed_account_id: Option<String>,
    billed_customer_id: Option<String>,
}

impl TryFrom<InsertedRow> for (Uuid, Option<Pair>) {
    type Error = StoreError;

    fn try_from(row: InsertedRow) -> Result<Self, StoreError> {
        let pair = pair(row.billed_account_id, row.billed_customer_id).map_err(|()| {
            StoreError::Corrupt {
                table: "entries",
                column: "billed_customer_id",
                key: row.billable_id.to_string(),
            }
        })?;
        Ok((row.billable_id, pair))
    }
}

/// The columns of [`SessionRow`].
pub(super) const SESSION_COLUMNS: &str =
    "session_id, account_id, customer_id, client, decided_at, is_complete";

#[derive(sqlx::FromRow)]
pub(super) struct SessionRow {
    pub(super) session_id: String,
    account_id: String,
    customer_id: String,
    client: String,
    decided_at: i64,
    is_complete: bool,
}

impl TryFrom<SessionRow> for SessionFound {
    type Error = StoreError;

    fn try_from(row: SessionRow) -> Result<Self, StoreError> {
        let SessionRow {
            session_id,
            account_id,
            customer_id,
            client,
            decided_at,
            is_complete,
        } = row;
        let corrupt = |column| StoreError::Corrupt {
            table: "sessions",
            column,
            key: session_id.clone(),
        };
        let attribution = Attribution {
            session_id: Text::trusted(session_id.clone()),
            pair: Pair {
                account_id: Text::trusted(account_id),
                customer_id: Text::trusted(customer_id),
            },
            client: ClientName::parse(&client).ok_or_else(|| corrupt("client"))?,
            decided_at: Timestamp::from_micros(decided_at).ok_or_else(|| corrupt("decided_at"))?,
        };
        Ok(Self {
            attribution,
            is_complete,
        })
    }
}

#[derive(sqlx::FromRow)]
pub(super) struct TokenRow {
    id: Uuid,
    client: String,
    secret_hash: Vec<u8>,
    scopes: String,
    /// Null if the client has no row, which would leave its accounts unknown.
    stored_client: Option<String>,
    accounts: Option<String>,
    created_at: i64,
    expires_at: Option<i64>,
    rate: Option<String>,
    last_used_at: Option<i64>,
    sender: Option<String>,
}

impl TryFrom<TokenRow> for (SecretHash, Token) {
    type Error = StoreError;

    fn try_from(row: TokenRow) -> Result<Self, StoreError> {
        let TokenRow {
            id,
            client,
            secret_hash,
            scopes,
            stored_client,
            accounts,
            created_at,
            expires_at,
            rate,
            last_used_at,
            sender,
        } = row;
        let corrupt = |column| StoreError::Corrupt {
            table: "tokens",
            column,
            key: id.to_string(),
        };
        stored_client.ok_or_else(|| corrupt("client"))?;
        let accounts = accounts_of(accounts).map_err(|()| corrupt("accounts"))?;
        let scopes: Option<Vec<Scope>> = scopes.split(',').map(Scope::from_name).collect();
        let timestamp = |micros: Option<i64>, column| {
            let parse = |micros| Timestamp::from_micros(micros).ok_or_else(|| corrupt(column));
            micros.map(parse).transpose()
        };
        let rate = rate.map(|rate| Rate::parse(&rate).ok_or_else(|| corrupt("rate")));
        let grant = Grant {
            client: ClientName::parse(&client).ok_or_else(|| corrupt("client"))?,
            scopes: scopes.ok_or_else(|| corrupt("scopes"))?,
            accounts,
            sender: sender_of(sender).map_err(|()| corrupt("sender"))?,
        };
        let created_at = Timestamp::from_micros(created_at).ok_or_else(|| corrupt("created_at"))?;
        let expires_at = timestamp(expires_at, "expires_at")?;
        let last_used_at = timestamp(last_used_at, "last_used_at")?;
        let hash = SecretHash::from_bytes(&secret_hash).ok_or_else(|| corrupt("secret_hash"))?;
        Ok((
            hash,
            Token {
                id,
                grant,
                created_at,
                expires_at,
                rate: rate.transpose()?,
                last_used_at,
            },
        ))
    }
}

/// Formats a token's scopes for the column.
pub(super) fn scopes_column(grant: &Grant) -> String {
    let names: Vec<_> = grant.scopes.iter().map(|scope| scope.as_str()).collect();
    names.join(",")
}

/// Formats how a token's reports are read for the column.
pub(super) fn sender_column(grant: &Grant) -> Option<String> {
    let sender = grant.sender.as_deref()?;
    Some(serde_json::json!(sender).to_string())
}

/// Parses the column of how a token's reports are read. A setting that is not known is an error: the
/// reports would be read in another way.
fn sender_of(column: Option<String>) -> Result<Option<Arc<SenderSettings>>, ()> {
    let parse = |json: String| serde_json::from_str(&json).map_err(|_| ());
    Ok(column.map(parse).transpose()?.map(Arc::new))
}

/// Formats a client's accounts for the column.
pub(super) fn accounts_column(accounts: Option<&[String]>) -> Option<String> {
    accounts.map(|accounts| serde_json::json!(accounts).to_string())
}

/// Parses the column of a client's accounts.
pub(super) fn accounts_of(column: Option<String>) -> Result<Accounts, ()> {
    let parse = |json: String| serde_json::from_str::<Vec<String>>(&json).map_err(|_| ());
    Ok(column.map(parse).transpose()?.map(Arc::from))
}

/// A row of `clients`, with the number of the client's valid tokens.
#[derive(sqlx::FromRow)]
pub(super) struct ClientRow {
    client: String,
    accounts: Option<String>,
    tokens: i64,
}

impl TryFrom<ClientRow> for Client {
    type Error = StoreError;

    fn try_from(row: ClientRow) -> Result<Self, StoreError> {
        let ClientRow {
            client,
            accounts,
            tokens,
        } = row;
        let corrupt = |column| StoreError::Corrupt {
            table: "clients",
            column,
            key: client.clone(),
        };
        Ok(Self {
            name: ClientName::parse(&client).ok_or_else(|| corrupt("client"))?,
            accounts: accounts_of(accounts).map_err(|()| corrupt("accounts"))?,
            tokens: tokens.unsigned_abs(),
        })
    }
}

/// Reads the log's one row.
pub(super) const LOG: &str = "select epoch, partitions from log where id = 1";

#[derive(sqlx::FromRow)]
pub(super) struct LogRow {
    pub(super) epoch: Uuid,
    pub(super) partitions: i32,
}

impl From<LogRow> for LogInfo {
    fn from(LogRow { epoch, partitions }: LogRow) -> Self {
        Self {
            epoch,
            partitions: partitions.cast_unsigned(),
        }
    }
}
