//! `billables token`: creates, rotates, lists and revokes tokens.

mod create;

use std::io::{self, Write};

use http::Method;
use serde_json::Value;
use tracing::info;
use uuid::Uuid;

use super::arguments::base_url;
use super::server::{Api, ServerArgs, not_the_service};
use super::table::table;
use super::{Failure, open_log};
use crate::billable::{ClientName, Timestamp};
use crate::contract::routes;
use crate::formats::Format;
use crate::formats::record::Record;
use crate::issuing::{self, IssueError, RotationRequest, TokenRequest, shown_limit};
use crate::telemetry::printable;

/// What to do with tokens, and where.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
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
struct RotateArgs {
    /// Id of the old token, as listed.
    id: Uuid,
    /// How long the old token keeps working, unless it expires earlier; 0s ends it immediately.
    #[arg(long, default_value = "7d")]
    overlap: String,
    /// Time from now until the new token expires, such as 90d; required if the old one expires.
    #[arg(long)]
    expires: Option<String>,
    /// Address of the service in the URL of a hook, such as `https://billables.example.com`.
    #[arg(long, value_name = "BASE", value_parser = base_url)]
    url: Option<String>,
}

impl From<IssueError> for Failure {
    fn from(error: IssueError) -> Self {
        match error {
            IssueError::Invalid { message, .. } => Self::Usage(message),
            IssueError::Conflict { message, .. } => Self::Failed(message),
            IssueError::NotFound(id) => Self::Failed(format!(
                "there is no valid token with the id {id}; see `billables token list`"
            )),
            IssueError::Randomness(error) => {
                Self::Failed(format!("cannot get random bytes: {error}"))
            }
            IssueError::Store(error) => error.into(),
        }
    }
}

pub(super) async fn run(url: &str, args: Args) -> Result<(), Failure> {
    let tokens = match args.server.api()? {
        Some(api) => Tokens::Server(api),
        None => Tokens::Database(url),
    };
    let output = match args.command {
        Command::Create(args) => {
            let (request, base) = args.request();
            let is_limited = request.accounts.is_some();
            let issued = tokens.create(request).await?;
            if let (false, Some(accounts)) = (is_limited, issued["accounts"].as_array()) {
                let names = accounts.iter().filter_map(Value::as_str);
                let names: Vec<_> = names.map(str::to_owned).collect();
                let limit = shown_limit(Some(&names));
                info!("the token is {limit}, like its client");
            }
            shown(&issued, base.as_deref())?
        }
        Command::Rotate(args) => {
            let RotateArgs {
                id,
                overlap,
                expires,
                url: base,
            } = args;
            let request = RotationRequest {
                id: None,
                overlap: Some(overlap),
                expires,
            };
            shown(&tokens.rotate(id, request).await?, base.as_deref())?
        }
        Command::List { json: true } => format!("{:#}\n", Value::Array(tokens.list().await?)),
        Command::List { json: false } => tokens_table(&tokens.list().await?),
        Command::Revoke { id } => {
            tokens.revoke(id).await?;
            format!("revoked {id}\n")
        }
    };
    io::stdout()
        .write_all(output.as_bytes())
        .map_err(|error| Failure::Failed(format!("cannot print: {error}")))
}

/// The tokens of a database or a server, as the API shows them.
enum Tokens<'a> {
    Database(&'a str),
    Server(Api),
}

impl Tokens<'_> {
    async fn create(&self, request: TokenRequest) -> Result<Value, Failure> {
        match self {
            Self::Database(url) => {
                let wanted = request.check()?;
                let (store, _) = open_log(url).await?;
                let issued = issuing::create(&store, wanted, None, Timestamp::now()).await?;
                store.close().await;
                Ok(json_of(issuing::issued_record(&issued)))
            }
            Self::Server(api) => {
                let body = serde_json::to_value(request).expect("texts serialise");
                api.call(Method::POST, routes::TOKENS, &body).await
            }
        }
    }

    async fn rotate(&self, id: Uuid, request: RotationRequest) -> Result<Value, Failure> {
        match self {
            Self::Database(url) => {
                let wanted = request.check()?;
                let (store, _) = open_log(url).await?;
                let now = Timestamp::now();
                let issued = issuing::rotate(&store, id, wanted, None, now).await?;
                store.close().await;
                Ok(json_of(issuing::issued_record(&issued)))
            }
            Self::Server(api) => {
                let path = routes::ROTATION.replace("{id}", &id.to_string());
                let body = serde_json::to_value(request).expect("texts serialise");
                api.call(Method::POST, &path, &body).await
            }
        }
    }

    async fn list(&self) -> Result<Vec<Value>, Failure> {
        match self {
            Self::Database(url) => {
                let (store, _) = open_log(url).await?;
                let tokens = issuing::readable(&store).await?;
                store.close().await;
                Ok(tokens
                    .iter()
                    .map(issuing::token_record)
                    .map(json_of)
                    .collect())
            }
            Self::Server(api) => {
                let mut listed = api.call(Method::GET, routes::TOKENS, &Value::Null).await?;
                match listed.get_mut("items").map(Value::take) {
                    Some(Value::Array(items)) => Ok(items),
                    _ => Err(not_the_service()),
                }
            }
        }
    }

    async fn revoke(&self, id: Uuid) -> Result<(), Failure> {
        match self {
            Self::Database(url) => {
                let (store, _) = open_log(url).await?;
                let is_revoked = store.token_revoke(id, Timestamp::now()).await?;
                store.close().await;
                is_revoked
                    .then_some(())
                    .ok_or_else(|| IssueError::NotFound(id).into())
            }
            Self::Server(api) => {
                let path = routes::REVOCATION.replace("{id}", &id.to_string());
                match api.call(Method::DELETE, &path, &Value::Null).await? {
                    Value::Null => Ok(()),
                    _ => Err(not_the_service()),
                }
            }
        }
    }
}

/// Returns a record as the API writes it.
pub(super) fn json_of(record: Record<'_>) -> Value {
    serde_json::from_str(&record.write(Format::Json)).expect("a record is JSON")
}

/// Returns what a client needs: the secret, or the URL of a hook.
fn shown(issued: &Value, base: Option<&str>) -> Result<String, Failure> {
    let text = |name: &str| issued[name].as_str();
    match (text("secret"), text("hookPath")) {
        (Some(secret), _) => Ok(printable(secret, usize::MAX) + "\n"),
        (None, Some(path)) => {
            let base = base.unwrap_or_default().trim_end_matches('/');
            Ok(format!("{base}{}\n", printable(path, usize::MAX)))
        }
        (None, None) => Err(not_the_service()),
    }
}

/// Formats tokens as a table, without their secrets.
pub(super) fn tokens_table(tokens: &[Value]) -> String {
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

fn row_text(token: &Value) -> [String; 9] {
    let or = |name: &str, otherwise: &str| match &token[name] {
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().filter_map(Value::as_str).collect();
            items.join(",")
        }
        _ => otherwise.to_owned(),
    };
    let is_mapped = token["map"].is_array();
    let mut sender = or("sender", if is_mapped { "mapping" } else { "own names" });
    if token["hook"] == true {
        sender.push_str(" (hook)");
    }
    [
        or("id", ""),
        or("client", ""),
        or("scopes", ""),
        or("accounts", "all"),
        sender,
        or("rate", "unlimited"),
        or("created", ""),
        or("expires", "never"),
        or("lastUsed", "never"),
    ]
}

pub(super) fn client(name: &str) -> Result<ClientName, String> {
    issuing::client_name(name)
}

/// Parses an account by the rules for reports, because no billable can have any other value.
pub(super) fn account(id: &str) -> Result<String, String> {
    issuing::account(id).map_err(|(_, message)| message)
}
