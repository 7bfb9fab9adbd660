//! `billables token create`: the rights of a new token, and how its reports are read.

use std::sync::Arc;
use std::time::Duration;

use super::{
    account, client, client_accounts, ends, issue, shown, shown_limit, sorted_accounts, text,
};
use crate::billable::{ClientName, Field, Timestamp};
use crate::cli::Failure;
use crate::cli::arguments::base_url;
use crate::cli::senders::MappingArgs;
use crate::config::duration;
use crate::store::Store;
use crate::token::{Accounts, Grant, Rate, Scope, SenderSettings};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct CreateArgs {
    /// Name of the client that the token belongs to: 1 to 64 of the characters A-Z a-z 0-9 . _ -
    ///
    /// Idempotency keys belong to the client, so use the same name for a client's next token.
    #[arg(long, value_parser = client)]
    client: ClientName,
    /// What the token may do: report, read, bill or admin; only report if omitted.
    #[arg(long = "scope", value_name = "SCOPE", value_parser = scope, num_args = 1..)]
    scopes: Vec<Scope>,
    /// Accounts that the client is limited to, for a client's first token; no limit if omitted.
    ///
    /// The limit holds for all tokens of the client. `billables client accounts` changes it.
    #[arg(long = "account", value_name = "ID", value_parser = account, num_args = 1..)]
    accounts: Vec<String>,
    /// Time from now until the token expires, such as 90d; never if omitted.
    #[arg(long, value_parser = duration)]
    expires: Option<Duration>,
    /// Maximum rate of requests to each server, such as 100/s, 6000/m or 1000/h; no limit if
    /// omitted.
    ///
    /// That many requests may also come in one burst. A batch is one request.
    #[arg(long, value_parser = rate)]
    rate: Option<Rate>,
    #[command(flatten)]
    sender: SenderArgs,
}

/// How the token's reports are read.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Sender")]
struct SenderArgs {
    /// Sender whose profile reads the reports, such as twilio; see `billables senders list`.
    #[arg(long, value_name = "NAME")]
    sender: Option<String>,
    #[command(flatten)]
    mapping: MappingArgs,
    /// Customer of every report, whose account is the client's only one; with a sender or a mapping.
    #[arg(long, value_name = "ID", value_parser = customer)]
    customer: Option<String>,
    /// Refuse reports without callSid and Idempotency-Key, whose repeats cannot be detected.
    #[arg(long)]
    require_identity: bool,
    /// Print a URL instead of a token, for a sender that can set no header. A client that knows it can report.
    #[arg(long, requires = "customer")]
    hook: bool,
    /// Address of the service in the URL of a hook, such as `https://billables.example.com`.
    #[arg(long, value_name = "BASE", requires = "hook", value_parser = base_url)]
    url: Option<String>,
}

impl SenderArgs {
    /// Returns the settings of a token with these scopes, still without its account and customer.
    fn settings(self, scopes: &[Scope]) -> Result<SenderSettings, Failure> {
        let (settings, profile) = self.mapping.settings(self.sender)?;
        let settings = SenderSettings {
            requires_identity: self.require_identity,
            is_hook: self.hook,
            ..settings
        };
        let refused = if profile.is_none() && self.customer.is_some() {
            "--customer needs --sender or --map: without, reports name whom they bill"
        } else if settings.is_hook && *scopes != [Scope::Report] {
            "a hook may only report: leave --scope out"
        } else if settings != SenderSettings::default() && !scopes.contains(&Scope::Report) {
            "--sender, --map and --require-identity need the scope report"
        } else {
            return Ok(settings);
        };
        Err(Failure::Usage(refused.to_owned()))
    }
}

/// Returns the account and customer of every report of a client that is limited to these accounts.
fn pair(customer: String, accounts: Option<&[String]>) -> Result<[String; 2], Failure> {
    match accounts {
        Some([account]) => Ok([account.clone(), customer]),
        _ => Err(Failure::Usage(
            "--customer needs a client that is limited to one account: set it with --account"
                .to_owned(),
        )),
    }
}

pub(super) async fn create(store: &Store, args: CreateArgs) -> Result<String, Failure> {
    let CreateArgs {
        client,
        mut scopes,
        accounts,
        expires,
        rate,
        sender,
    } = args;
    if scopes.is_empty() {
        scopes.push(Scope::Report);
    }
    scopes.sort_by_key(|scope| Scope::ALL.iter().position(|known| known == scope));
    scopes.dedup();
    let (customer, url) = (sender.customer.clone(), sender.url.clone());
    let mut settings = sender.settings(&scopes)?;
    let now = Timestamp::now();
    let wanted = (!accounts.is_empty()).then(|| sorted_accounts(accounts));
    if let Some(customer) = customer {
        let limit = match &wanted {
            Some(wanted) => Some(wanted.clone()),
            None => stored_limit(store, &client, now).await?,
        };
        settings.pair = Some(pair(customer, limit.as_deref())?);
    }
    let accounts = client_accounts(store, &client, wanted).await?;
    if accounts.is_some() && scopes.contains(&Scope::Admin) {
        return Err(Failure::Failed(format!(
            "the client {client} is {}, and the scope admin is for clients without a limit",
            shown_limit(accounts.as_deref())
        )));
    }
    let sender = (settings != SenderSettings::default()).then(|| Arc::new(settings));
    let grant = Grant {
        client,
        scopes,
        accounts,
        sender: sender.clone(),
    };
    let expires_at = expires.map(|span| ends(now, span)).transpose()?;
    let secret = issue(store, grant, now, expires_at, rate).await?;
    Ok(shown(&secret, sender.as_deref(), url.as_deref()))
}

/// Returns the accounts that a client is limited to, if it exists.
async fn stored_limit(
    store: &Store,
    name: &ClientName,
    now: Timestamp,
) -> Result<Accounts, Failure> {
    let mut clients = store.clients_list(now).await?.into_iter();
    let client = clients.find(|client| client.name == *name);
    Ok(client.and_then(|client| client.accounts))
}

fn scope(name: &str) -> Result<Scope, String> {
    Scope::from_name(name).ok_or_else(|| "must be report, read, bill or admin".to_owned())
}

fn rate(text: &str) -> Result<Rate, String> {
    Rate::parse(text)
        .ok_or_else(|| "must be a count per second, minute or hour, such as 100/s".to_owned())
}

fn customer(id: &str) -> Result<String, String> {
    text(Field::CustomerId, id)
}
