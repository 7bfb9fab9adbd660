//! `billables client`: lists clients and changes the accounts that they are limited to.

use std::sync::Arc;

use serde_json::json;

use super::table::table;
use super::token::{account, client};
use super::{Failure, open_log};
use crate::billable::{ClientName, Timestamp};
use crate::issuing::{readable, shown_limit, sorted_accounts};
use crate::store::Store;
use crate::token::{Client, Scope, Token};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List the clients that ever had a token.
    List {
        /// Print a JSON array instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Change the accounts that all tokens of a client are limited to; every server applies it
    /// within 5 seconds.
    Accounts(AccountsArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct AccountsArgs {
    /// Name of the client.
    #[arg(value_parser = client)]
    client: ClientName,
    /// Accounts that the client is limited to from now on.
    #[arg(value_name = "ACCOUNT", value_parser = account, required_unless_present = "all")]
    accounts: Vec<String>,
    /// Do not limit the client.
    #[arg(long, conflicts_with = "accounts")]
    all: bool,
}

#[expect(clippy::print_stdout, reason = "the result of the command")]
pub(super) async fn run(url: &str, command: Command) -> Result<(), Failure> {
    let (store, _) = open_log(url).await?;
    match command {
        Command::List { json } => print!("{}", list(&store, json).await?),
        Command::Accounts(args) => println!("{}", limit(&store, args).await?),
    }
    store.close().await;
    Ok(())
}

async fn limit(store: &Store, args: AccountsArgs) -> Result<String, Failure> {
    let AccountsArgs {
        client: name,
        accounts,
        all,
    } = args;
    let accounts: Option<Arc<[String]>> = (!all).then(|| sorted_accounts(accounts));
    let is_admin =
        |token: &Token| token.grant.client == name && token.grant.scopes.contains(&Scope::Admin);
    if !all && readable(store).await?.iter().any(is_admin) {
        return Err(Failure::Failed(format!(
            "the client {name} has a token with the scope admin, which is for clients without a limit; revoke that token first"
        )));
    }
    // Their reports would all be refused, and some senders do not repeat them.
    let loses_account = |token: &&Token| {
        let sender = token.grant.sender.as_deref();
        let pair = sender.and_then(|sender| sender.pair.as_ref());
        token.grant.client == name
            && pair.is_some_and(|[account, _]| {
                let mut allowed = accounts.iter().flat_map(|accounts| accounts.iter());
                accounts.is_some() && !allowed.any(|allowed| allowed == account)
            })
    };
    if let Some(token) = readable(store).await?.iter().find(loses_account) {
        let pair = token
            .grant
            .sender
            .as_deref()
            .and_then(|sender| sender.pair.as_ref());
        let account = pair.map_or("", |[account, _]| account);
        return Err(Failure::Failed(format!(
            "the token {} reports for the account {account}, which must stay allowed; revoke that token first",
            token.id
        )));
    }
    if !store.client_limit(&name, accounts.as_deref()).await? {
        return Err(Failure::Failed(format!(
            "there is no client {name}; see `billables client list`"
        )));
    }
    let limit = shown_limit(accounts.as_deref());
    Ok(format!("the client {name} is {limit}"))
}

async fn list(store: &Store, as_json: bool) -> Result<String, Failure> {
    let clients = store.clients_list(Timestamp::now()).await?;
    if as_json {
        let rows: Vec<_> = clients.iter().map(row_json).collect();
        return Ok(format!("{:#}\n", json!(rows)));
    }
    let rows = clients.iter().map(row_text);
    Ok(table(["CLIENT", "ACCOUNTS", "TOKENS"], rows))
}

fn row_json(client: &Client) -> serde_json::Value {
    json!({
        "client": client.name.as_str(),
        "accounts": client.accounts.as_deref(),
        "tokens": client.tokens,
    })
}

fn row_text(client: &Client) -> [String; 3] {
    let accounts = client.accounts.as_ref();
    [
        client.name.to_string(),
        accounts.map_or_else(|| "all".to_owned(), |accounts| accounts.join(",")),
        client.tokens.to_string(),
    ]
}
