//! `billables token`.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::json;
use tracing::warn;
use uuid::Uuid;

use super::{Failure, open};
use crate::billable::{ClientName, Field, Instant, Text};
use crate::config::duration;
use crate::store::Store;
use crate::telemetry::chain;
use crate::token::{Grant, Scope, Secret, Token};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Make a token and print it. It is shown only this once.
    Create(CreateArgs),
    /// List the tokens that are not revoked.
    List {
        /// As a JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Revoke a token. It is refused everywhere within 5 seconds.
    Revoke {
        /// Its id, as listed.
        id: Uuid,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct CreateArgs {
    /// The client that the token belongs to: [A-Za-z0-9._-], at most 64 characters. An
    /// Idempotency-Key is the client's, so give a new token of a client the same name.
    #[arg(long, value_parser = client)]
    client: ClientName,
    /// What it may do: report, read or bill. `report` alone when not given.
    #[arg(long = "scope", value_name = "SCOPE", value_parser = scope, num_args = 1..)]
    scopes: Vec<Scope>,
    /// Limit the token to these accounts.
    #[arg(long = "account", value_name = "ID", value_parser = account, num_args = 1..)]
    accounts: Vec<String>,
    /// When it ends, such as 90d from now. Never when not given.
    #[arg(long, value_parser = duration)]
    expires: Option<Duration>,
}

pub(super) async fn run(url: &str, command: Command) -> Result<(), Failure> {
    let store = open(url).await?;
    store.migrate().await?;
    let output = match command {
        Command::Create(args) => format!("{}\n", create(&store, args).await?.reveal()),
        Command::List { json } => list(&store, json).await?,
        Command::Revoke { id } => revoke(&store, id).await?,
    };
    store.close().await;
    io::stdout()
        .write_all(output.as_bytes())
        .map_err(|error| Failure::Failed(format!("cannot print: {error}")))
}

async fn create(store: &Store, args: CreateArgs) -> Result<Secret, Failure> {
    let CreateArgs {
        client,
        mut scopes,
        accounts,
        expires,
    } = args;
    if scopes.is_empty() {
        scopes.push(Scope::Report);
    }
    scopes.sort_by_key(|scope| Scope::ALL.iter().position(|known| known == scope));
    scopes.dedup();
    let now = Instant::now();
    let expires_at = match expires {
        Some(span) => {
            let seconds = i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
            Some(
                now.plus_seconds(seconds)
                    .ok_or_else(|| Failure::Usage("--expires is too far away".to_owned()))?,
            )
        }
        None => None,
    };
    let accounts = (!accounts.is_empty()).then(|| accounts.into());
    issue(
        store,
        Grant {
            client,
            scopes,
            accounts,
        },
        now,
        expires_at,
    )
    .await
}

/// Makes a token for `grant` and returns its secret, which is kept nowhere else.
pub(super) async fn issue(
    store: &Store,
    grant: Grant,
    now: Instant,
    expires_at: Option<Instant>,
) -> Result<Secret, Failure> {
    let secret = Secret::generate()
        .map_err(|error| Failure::Failed(format!("cannot get random bytes: {error}")))?;
    let token = Token {
        id: Uuid::now_v7(),
        grant,
        created_at: now,
        expires_at,
    };
    store.token_insert(&token, &secret.hash()).await?;
    Ok(secret)
}

async fn list(store: &Store, as_json: bool) -> Result<String, Failure> {
    let found = store.tokens_list().await?.into_iter();
    let tokens: Vec<Token> = found
        .filter_map(|found| match found {
            Ok((_, token)) => Some(token),
            Err(error) => {
                warn!(error = chain(&error), "leaving out a token");
                None
            }
        })
        .collect();
    if as_json {
        let rows: Vec<_> = tokens.iter().map(row_json).collect();
        return Ok(format!("{:#}\n", json!(rows)));
    }
    let heads = ["ID", "CLIENT", "SCOPES", "ACCOUNTS", "CREATED", "EXPIRES"].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(heads)
        .chain(tokens.iter().map(row_text))
        .collect();
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: [usize; 6] = std::array::from_fn(width);
    let lines = rows.iter().map(|row| {
        let cells: Vec<_> = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        format!("{}\n", cells.join("  ").trim_end())
    });
    Ok(lines.collect())
}

fn row_json(token: &Token) -> serde_json::Value {
    let Token {
        id,
        grant: Grant {
            client,
            scopes,
            accounts,
        },
        created_at,
        expires_at,
    } = token;
    json!({
        "id": id.to_string(),
        "client": client.as_str(),
        "scopes": scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>(),
        "accounts": accounts.as_deref(),
        "created": created_at.to_string(),
        "expires": expires_at.map(|at| at.to_string()),
    })
}

fn row_text(token: &Token) -> [String; 6] {
    let Token {
        id,
        grant: Grant {
            client,
            scopes,
            accounts,
        },
        created_at,
        expires_at,
    } = token;
    let scopes: Vec<_> = scopes.iter().map(|scope| scope.as_str()).collect();
    [
        id.to_string(),
        client.to_string(),
        scopes.join(","),
        accounts
            .as_ref()
            .map_or_else(|| "all".to_owned(), |accounts| accounts.join(",")),
        created_at.to_string(),
        expires_at.map_or_else(|| "never".to_owned(), |at| at.to_string()),
    ]
}

async fn revoke(store: &Store, id: Uuid) -> Result<String, Failure> {
    if store.token_revoke(id, Instant::now()).await? {
        return Ok(format!("revoked {id}\n"));
    }
    Err(Failure::Failed(format!(
        "there is no live token with the id {id}; `billables token list` shows them"
    )))
}

fn client(name: &str) -> Result<ClientName, String> {
    match ClientName::parse(name) {
        Some(client) if client.as_str() == "admin" => {
            Err("admin is the client of BILLABLES_ADMIN_TOKEN".to_owned())
        }
        Some(client) => Ok(client),
        None => Err("must be 1 to 64 of the characters A-Z a-z 0-9 . _ -".to_owned()),
    }
}

fn scope(name: &str) -> Result<Scope, String> {
    Scope::from_name(name).ok_or_else(|| "must be report, read or bill".to_owned())
}

/// An account is what a report may name: anything else could never match.
fn account(id: &str) -> Result<String, String> {
    if id.trim().is_empty() {
        return Err("must not be blank".to_owned());
    }
    Text::parse(Field::AccountId, id.to_owned())
        .map(|text| text.as_str().to_owned())
        .map_err(|error| error.message)
}
