//! `billables token`: creates, rotates, lists and revokes tokens.

mod create;

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tracing::{info, warn};
use uuid::Uuid;

use super::arguments::base_url;
use super::table::table;
use super::{Failure, open_log};
use crate::billable::identity::random_id;
use crate::billable::{ClientName, Field, Text, Timestamp};
use crate::config::duration;
use crate::contract::routes;
use crate::store::Store;
use crate::telemetry::chain;
use crate::token::{Accounts, Grant, Rate, Secret, SenderSettings, Token};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Create a token and print it; it is shown only once.
    Create(Box<create::CreateArgs>),
    /// Create a new token for the same client, with the same rights and rate, and print it; the old
    /// one works until the overlap ends, or until it expires if that is earlier.
    Rotate(RotateArgs),
    /// List the tokens that are not revoked.
    List {
        /// Print a JSON array instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Revoke a token; every server rejects it within 5 seconds.
    Revoke {
        /// Id of the token, as listed.
        id: Uuid,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct RotateArgs {
    /// Id of the old token, as listed.
    id: Uuid,
    /// How long the old token keeps working, unless it expires earlier; 0s ends it immediately.
    #[arg(long, default_value = "7d", value_parser = overlap)]
    overlap: Duration,
    /// Time from now until the new token expires, such as 90d; required if the old one expires.
    #[arg(long, value_parser = duration)]
    expires: Option<Duration>,
    /// Address of the service in the URL of a hook, such as `https://billables.example.com`.
    #[arg(long, value_name = "BASE", value_parser = base_url)]
    url: Option<String>,
}

pub(super) async fn run(url: &str, command: Command) -> Result<(), Failure> {
    let (store, _) = open_log(url).await?;
    let output = match command {
        Command::Create(args) => create::create(&store, *args).await?,
        Command::Rotate(args) => rotate(&store, args).await?,
        Command::List { json } => list(&store, json).await?,
        Command::Revoke { id } => revoke(&store, id).await?,
    };
    store.close().await;
    io::stdout()
        .write_all(output.as_bytes())
        .map_err(|error| Failure::Failed(format!("cannot print: {error}")))
}

/// Returns what a client needs: the secret, or the URL of a hook.
fn shown(secret: &Secret, sender: Option<&SenderSettings>, url: Option<&str>) -> String {
    match sender {
        Some(sender) if sender.is_hook => {
            let base = url.unwrap_or_default().trim_end_matches('/');
            format!("{base}{}/{}\n", routes::HOOKS, secret.reveal())
        }
        _ => format!("{}\n", secret.reveal()),
    }
}

/// Stores the client of a new token, unless there is one, and returns the accounts that it is
/// limited to. If no accounts are asked for, the stored ones apply.
pub(super) async fn client_accounts(
    store: &Store,
    name: &ClientName,
    wanted: Accounts,
) -> Result<Accounts, Failure> {
    let stored = store.client_ensure(name, wanted.as_deref()).await?;
    if wanted.is_some() && stored != wanted {
        return Err(Failure::Failed(format!(
            "the client {name} is {}, and so are all its tokens: leave --account out, use another client, or change the limit with `billables client accounts {name} ACCOUNT ...`",
            shown_limit(stored.as_deref())
        )));
    }
    if let (None, Some(accounts)) = (&wanted, &stored) {
        info!(
            "the token is {}, like its client",
            shown_limit(Some(accounts))
        );
    }
    Ok(stored)
}

/// Shows in a message which accounts a client is limited to.
pub(super) fn shown_limit(accounts: Option<&[String]>) -> String {
    match accounts {
        None => "not limited to accounts".to_owned(),
        Some([one]) => format!("limited to the account {one}"),
        Some(several) => format!("limited to the accounts {}", several.join(", ")),
    }
}

/// Sorts accounts, so that the same accounts are equal.
pub(super) fn sorted_accounts(mut accounts: Vec<String>) -> Arc<[String]> {
    accounts.sort();
    accounts.dedup();
    accounts.into()
}

/// Creates a token for `grant` and returns its secret, which is kept nowhere else.
pub(super) async fn issue(
    store: &Store,
    grant: Grant,
    now: Timestamp,
    expires_at: Option<Timestamp>,
    rate: Option<Rate>,
) -> Result<Secret, Failure> {
    let (secret, token) = fresh(grant, now, expires_at, rate)?;
    store.token_insert(&token, &secret.hash()).await?;
    Ok(secret)
}

async fn rotate(store: &Store, args: RotateArgs) -> Result<String, Failure> {
    let RotateArgs {
        id,
        overlap,
        expires,
        url,
    } = args;
    let now = Timestamp::now();
    let listed = store.tokens_list().await?.into_iter().flatten();
    let old = listed
        .map(|(_, token)| token)
        .find(|token| token.id == id && !token.has_expired(now))
        .ok_or_else(|| no_valid_token(id))?;
    let expires_at = match (expires, old.expires_at) {
        (Some(span), _) => Some(ends(now, span)?),
        (None, Some(end)) => {
            return Err(Failure::Usage(format!(
                "the token expires at {end}: set the time until the new one expires with --expires"
            )));
        }
        (None, None) => None,
    };
    let sender = old.grant.sender.clone();
    let (secret, token) = fresh(old.grant, now, expires_at, old.rate)?;
    let is_rotated = store
        .token_rotate(id, ends(now, overlap)?, &token, &secret.hash())
        .await?;
    if is_rotated {
        Ok(shown(&secret, sender.as_deref(), url.as_deref()))
    } else {
        // The token was revoked in the meantime.
        Err(no_valid_token(id))
    }
}

fn fresh(
    grant: Grant,
    now: Timestamp,
    expires_at: Option<Timestamp>,
    rate: Option<Rate>,
) -> Result<(Secret, Token), Failure> {
    let secret = Secret::generate()
        .map_err(|error| Failure::Failed(format!("cannot get random bytes: {error}")))?;
    let token = Token {
        id: random_id(now),
        grant,
        created_at: now,
        expires_at,
        rate,
        last_used_at: None,
    };
    Ok((secret, token))
}

/// Returns the time at which a span that starts at `now` ends.
fn ends(now: Timestamp, span: Duration) -> Result<Timestamp, Failure> {
    let micros = i64::try_from(span.as_micros()).ok();
    micros
        .and_then(|micros| Timestamp::from_micros(now.as_micros().checked_add(micros)?))
        .ok_or_else(|| Failure::Usage("the expiry time is too far in the future".to_owned()))
}

fn no_valid_token(id: Uuid) -> Failure {
    Failure::Failed(format!(
        "there is no valid token with the id {id}; see `billables token list`"
    ))
}

async fn list(store: &Store, as_json: bool) -> Result<String, Failure> {
    let tokens = readable(store).await?;
    if as_json {
        let rows: Vec<_> = tokens.iter().map(row_json).collect();
        return Ok(format!("{:#}\n", json!(rows)));
    }
    Ok(tokens_table(&tokens))
}

/// Returns the tokens that are not revoked, and warns of unreadable ones.
pub(super) async fn readable(store: &Store) -> Result<Vec<Token>, Failure> {
    let found = store.tokens_list().await?.into_iter();
    let tokens = found.filter_map(|found| match found {
        Ok((_, token)) => Some(token),
        Err(error) => {
            warn!(error = chain(&error), "skipping an unreadable token");
            None
        }
    });
    Ok(tokens.collect())
}

/// Formats tokens as a table, without their secrets.
pub(super) fn tokens_table(tokens: &[Token]) -> String {
    let heads = [
        "ID",
        "CLIENT",
        "SCOPES",
        "ACCOUNTS",
        "SENDER",
        "RATE",
        "CREATED",
        "EXPIRES",
        "LAST USED",
    ];
    table(heads, tokens.iter().map(row_text))
}

fn scopes(token: &Token) -> Vec<&'static str> {
    let scopes = token.grant.scopes.iter();
    scopes.map(|scope| scope.as_str()).collect()
}

fn row_json(token: &Token) -> serde_json::Value {
    json!({
        "id": token.id.to_string(),
        "client": token.grant.client.as_str(),
        "scopes": scopes(token),
        "accounts": token.grant.accounts.as_deref(),
        "sender": token.grant.sender.as_deref(),
        "rate": token.rate.map(|rate| rate.to_string()),
        "created": token.created_at.to_string(),
        "expires": token.expires_at.map(|at| at.to_string()),
        "lastUsed": token.last_used_at.map(|at| at.to_string()),
    })
}

/// Returns how a token's reports are read, in a few words.
fn sender_text(sender: &SenderSettings) -> String {
    let mut text = match &sender.sender {
        Some(name) => name.clone(),
        None if sender.maps.is_empty() => "own names".to_owned(),
        None => "mapping".to_owned(),
    };
    if sender.is_hook {
        text.push_str(" (hook)");
    }
    text
}

fn row_text(token: &Token) -> [String; 9] {
    let or = |text: Option<String>, otherwise: &str| text.unwrap_or_else(|| otherwise.to_owned());
    let accounts = token.grant.accounts.as_ref();
    [
        token.id.to_string(),
        token.grant.client.to_string(),
        scopes(token).join(","),
        or(accounts.map(|accounts| accounts.join(",")), "all"),
        or(token.grant.sender.as_deref().map(sender_text), "own names"),
        or(token.rate.map(|rate| rate.to_string()), "unlimited"),
        token.created_at.to_string(),
        or(token.expires_at.map(|at| at.to_string()), "never"),
        or(token.last_used_at.map(|at| at.to_string()), "never"),
    ]
}

async fn revoke(store: &Store, id: Uuid) -> Result<String, Failure> {
    if store.token_revoke(id, Timestamp::now()).await? {
        return Ok(format!("revoked {id}\n"));
    }
    Err(no_valid_token(id))
}

pub(super) fn client(name: &str) -> Result<ClientName, String> {
    match ClientName::parse(name) {
        Some(client) if client.as_str() == "admin" => {
            Err("the name admin is reserved for BILLABLES_ADMIN_TOKEN".to_owned())
        }
        Some(client) if client.as_str() == "import" => {
            Err("the name import is reserved for `billables import`".to_owned())
        }
        Some(client) => Ok(client),
        None => Err("must be 1 to 64 of the characters A-Z a-z 0-9 . _ -".to_owned()),
    }
}

/// Parses a time span that, unlike others, may be zero.
fn overlap(text: &str) -> Result<Duration, String> {
    match text {
        "0" | "0s" => Ok(Duration::ZERO),
        text => duration(text),
    }
}

/// Parses an account by the rules for reports, because no billable can have any other value.
pub(super) fn account(id: &str) -> Result<String, String> {
    text(Field::AccountId, id)
}

fn text(field: Field, id: &str) -> Result<String, String> {
    if id.trim().is_empty() {
        return Err("must not be blank".to_owned());
    }
    Text::parse(field, id.to_owned())
        .map(|text| text.as_str().to_owned())
        .map_err(|error| error.message)
}
