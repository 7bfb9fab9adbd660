//! What is asked for: the members of a request, checked.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::IssueError;
use crate::billable::{ClientName, Code, Text, Timestamp};
use crate::config::duration;
use crate::senders::profile_of;
use crate::token::{Accounts, Rate, Scope, SenderSettings};

/// The largest number of mappings, and of conditions.
const MAX_RULES: usize = 100;

/// How long a rotated token keeps working: 7 days.
const OVERLAP: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A request for a token, as the API reads it and the command line writes it.
///
/// A member that is not known is an error: a misspelt limit would not limit.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct TokenRequest {
    pub client: Option<String>,
    pub scopes: Option<Vec<String>>,
    pub accounts: Option<Vec<String>>,
    pub expires: Option<String>,
    pub rate: Option<String>,
    pub sender: Option<String>,
    pub map: Option<Vec<String>>,
    pub only: Option<Vec<String>>,
    pub answered: Option<bool>,
    pub time_format: Option<String>,
    pub time_zone: Option<String>,
    pub customer: Option<String>,
    pub require_identity: Option<bool>,
    pub hook: Option<bool>,
}

/// A checked request for a token.
#[derive(Clone, Debug)]
pub struct NewToken {
    pub(super) client: ClientName,
    pub(super) scopes: Vec<Scope>,
    pub(super) accounts: Accounts,
    pub(super) expires: Option<Duration>,
    pub(super) rate: Option<Rate>,
    /// Still without the account and the customer.
    pub(super) settings: SenderSettings,
    pub(super) customer: Option<String>,
}

impl TokenRequest {
    /// Checks the request by itself.
    ///
    /// # Errors
    /// A member is missing or violates a rule.
    pub fn check(self) -> Result<NewToken, IssueError> {
        let required = || IssueError::of("Client", Code::NotEmpty, "client is required");
        let name = self.client.filter(|name| !name.is_empty());
        let client = client_name(&name.ok_or_else(required)?)
            .map_err(|rule| IssueError::invalid("Client", format!("client {rule}")))?;
        let scopes = scopes(self.scopes)?;
        let accounts = self.accounts.map(|accounts| {
            let accounts = accounts.iter().map(|id| account(id));
            let accounts: Result<Vec<_>, _> = accounts.collect();
            accounts.map_err(|(code, message)| IssueError::of("Accounts", code, message))
        });
        let accounts = accounts.transpose()?;
        if accounts.as_ref().is_some_and(Vec::is_empty) {
            let message = "accounts must not be empty: leave them out for no limit";
            return Err(IssueError::invalid("Accounts", message));
        }
        let rate = self.rate.map(|rate| {
            let rule = "rate must be a count per second, minute or hour, such as 100/s";
            Rate::parse(&rate).ok_or_else(|| IssueError::invalid("Rate", rule))
        });
        let customer = self.customer.map(|customer| text("customer", &customer));
        let settings = SenderSettings {
            sender: self.sender,
            maps: rules("Map", self.map)?,
            only: rules("Only", self.only)?,
            time_format: self.time_format,
            time_zone: self.time_zone,
            answered: self.answered.unwrap_or_default(),
            pair: None,
            requires_identity: self.require_identity.unwrap_or_default(),
            is_hook: self.hook.unwrap_or_default(),
        };
        let token = NewToken {
            client,
            scopes,
            accounts: accounts.map(sorted_accounts),
            expires: span("Expires", "expires", self.expires)?,
            rate: rate.transpose()?,
            settings,
            customer: customer
                .transpose()
                .map_err(|(code, message)| IssueError::of("Customer", code, message))?,
        };
        token.check_sender()?;
        Ok(token)
    }
}

impl NewToken {
    fn check_sender(&self) -> Result<(), IssueError> {
        let settings = &self.settings;
        let profile = profile_of(settings)
            .map_err(|error| IssueError::invalid("Sender", error.to_string()))?;
        let (name, message) = if profile.is_none() && self.customer.is_some() {
            let message =
                "customer needs a sender or a mapping: without, reports name whom they bill";
            ("Customer", message)
        } else if settings.is_hook && self.customer.is_none() {
            ("Customer", "customer is required for a hook")
        } else if settings.is_hook && self.scopes != [Scope::Report] {
            ("Scopes", "a hook may only report: leave the scopes out")
        } else if *settings != SenderSettings::default() && !self.scopes.contains(&Scope::Report) {
            let message = "a sender, a mapping and requireIdentity need the scope report";
            ("Scopes", message)
        } else {
            return Ok(());
        };
        Err(IssueError::invalid(name, message))
    }
}

/// A request to rotate a token, as the API reads it and the command line writes it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RotationRequest {
    /// On ServiceStack routes, the id of the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    pub overlap: Option<String>,
    pub expires: Option<String>,
}

/// A checked request to rotate a token.
#[derive(Clone, Copy, Debug)]
pub struct Rotation {
    /// How long the old token keeps working.
    pub(super) overlap: Duration,
    /// The time until the new token expires.
    pub(super) expires: Option<Duration>,
}

impl RotationRequest {
    /// Checks the request by itself.
    ///
    /// # Errors
    /// A time span is not valid.
    pub fn check(self) -> Result<Rotation, IssueError> {
        let overlap = match self.overlap.as_deref() {
            // Unlike others, it may be zero.
            Some("0" | "0s") => Some(Duration::ZERO),
            _ => span("Overlap", "overlap", self.overlap)?,
        };
        Ok(Rotation {
            overlap: overlap.unwrap_or(OVERLAP),
            expires: span("Expires", "expires", self.expires)?,
        })
    }
}

fn scopes(names: Option<Vec<String>>) -> Result<Vec<Scope>, IssueError> {
    let names = names.unwrap_or_else(|| vec![Scope::Report.as_str().to_owned()]);
    let refused = || IssueError::invalid("Scopes", "scopes must be report, read, bill or admin");
    let scopes = names
        .iter()
        .map(|name| Scope::from_name(name).ok_or_else(refused));
    let scopes: Vec<_> = scopes.collect::<Result<_, _>>()?;
    let given = |scope: &Scope| scopes.contains(scope);
    let sorted: Vec<_> = Scope::ALL.into_iter().filter(given).collect();
    if sorted.is_empty() {
        return Err(refused());
    }
    Ok(sorted)
}

fn rules(name: &'static str, rules: Option<Vec<String>>) -> Result<Vec<String>, IssueError> {
    let rules = rules.unwrap_or_default();
    if rules.len() > MAX_RULES {
        let message =
            format!("there may be at most {MAX_RULES} mappings and {MAX_RULES} conditions");
        return Err(IssueError::invalid(name, message));
    }
    Ok(rules)
}

fn span(
    name: &'static str,
    camel: &str,
    text: Option<String>,
) -> Result<Option<Duration>, IssueError> {
    let refused = |rule| IssueError::invalid(name, format!("{camel} must be like 90d: {rule}"));
    text.map(|text| duration(&text).map_err(refused))
        .transpose()
}

/// Returns the time at which a span that starts at `now` ends.
pub(super) fn end(now: Timestamp, span: Duration) -> Result<Timestamp, IssueError> {
    let micros = i64::try_from(span.as_micros()).ok();
    micros
        .and_then(|micros| Timestamp::from_micros(now.as_micros().checked_add(micros)?))
        .ok_or_else(|| IssueError::invalid("Expires", "the expiry time is too far in the future"))
}

/// Sorts accounts, so that the same accounts are equal.
pub fn sorted_accounts(mut accounts: Vec<String>) -> Arc<[String]> {
    accounts.sort();
    accounts.dedup();
    accounts.into()
}

/// Parses the name of a client that an operator may choose.
///
/// # Errors
/// The name is reserved or not valid; the error is the rule.
pub fn client_name(name: &str) -> Result<ClientName, String> {
    match ClientName::parse(name) {
        Some(client) if client.as_str() == "admin" => {
            Err("must not be admin, which is reserved for BILLABLES_ADMIN_TOKEN".to_owned())
        }
        Some(client) if client.as_str() == "import" => {
            Err("must not be import, which is reserved for `billables import`".to_owned())
        }
        Some(client) => Ok(client),
        None => Err("must be 1 to 64 of the characters A-Z a-z 0-9 . _ -".to_owned()),
    }
}

/// Parses an account by the rules for reports, because no billable can have any other value.
///
/// # Errors
/// The account is blank or not valid.
pub fn account(id: &str) -> Result<String, (Code, String)> {
    text("account", id)
}

fn text(name: &str, value: &str) -> Result<String, (Code, String)> {
    if value.trim().is_empty() {
        return Err((Code::NotEmpty, format!("{name} must not be blank")));
    }
    Text::named(name, value.to_owned()).map(|text| text.as_str().to_owned())
}
