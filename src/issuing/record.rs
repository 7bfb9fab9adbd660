//! Tokens as records: the shape of the API and of `billables token list --json`.

use super::Issued;
use crate::billable::Timestamp;
use crate::contract::routes;
use crate::formats::record::Record;
use crate::formats::value::Value;
use crate::token::{Rate, Scope, SenderSettings, Token};

/// The members that say how a token's reports are read.
const SENDER_MEMBERS: [&str; 10] = [
    "sender",
    "map",
    "only",
    "answered",
    "timeFormat",
    "timeZone",
    "account",
    "customer",
    "requireIdentity",
    "hook",
];

fn list(items: &[String]) -> Value<'_> {
    let items = items.iter().map(|item| Value::text(Some(item.as_str())));
    Value::List(items.collect())
}

/// Writes rules, and leaves the list out if there are none.
fn rules(rules: &[String]) -> Value<'_> {
    if rules.is_empty() {
        Value::Null
    } else {
        list(rules)
    }
}

/// Writes what is set, and leaves out what is not.
fn flag(is_set: bool) -> Value<'static> {
    if is_set {
        Value::Bool(true)
    } else {
        Value::Null
    }
}

fn time(at: Option<Timestamp>) -> Value<'static> {
    Value::text(at.map(|at| at.to_string()))
}

/// The members that say what a token may do.
pub fn rights<'a>(
    client: &'a str,
    scopes: impl Iterator<Item = Scope>,
    accounts: Option<&'a [String]>,
    rate: Option<Rate>,
    expires_at: Option<Timestamp>,
) -> Vec<(&'static str, Value<'a>)> {
    let scopes = scopes.map(|scope| Value::text(Some(scope.as_str())));
    vec![
        ("client", Value::text(Some(client))),
        ("scopes", Value::List(scopes.collect())),
        ("accounts", accounts.map_or(Value::Null, list)),
        ("rate", Value::text(rate.map(|rate| rate.to_string()))),
        ("expires", time(expires_at)),
    ]
}

fn of_token(token: &Token) -> Vec<(&'static str, Value<'_>)> {
    let Token {
        id,
        grant,
        expires_at,
        rate,
        ..
    } = token;
    let scopes = grant.scopes.iter().copied();
    let accounts = grant.accounts.as_deref();
    let mut members = vec![("id", Value::text(Some(id.to_string())))];
    members.extend(rights(
        grant.client.as_str(),
        scopes,
        accounts,
        *rate,
        *expires_at,
    ));
    members
}

/// Creates the record of a token without its secret. The members that say how its reports are read
/// have the names of the request.
pub fn token_record(token: &Token) -> Record<'_> {
    let mut members = of_token(token);
    members.push(("created", time(Some(token.created_at))));
    members.push(("lastUsed", time(token.last_used_at)));
    let Some(sender) = token.grant.sender.as_deref() else {
        let names = SENDER_MEMBERS.into_iter();
        members.extend(names.map(|name| (name, Value::Null)));
        return Record::new("Token", members);
    };
    let SenderSettings {
        sender,
        maps,
        only,
        time_format,
        time_zone,
        answered,
        pair,
        requires_identity,
        is_hook,
    } = sender;
    let pair = pair.as_ref();
    let values = [
        Value::text(sender.as_deref()),
        rules(maps),
        rules(only),
        flag(*answered),
        Value::text(time_format.as_deref()),
        Value::text(time_zone.as_deref()),
        Value::text(pair.map(|[account, _]| account.as_str())),
        Value::text(pair.map(|[_, customer]| customer.as_str())),
        flag(*requires_identity),
        flag(*is_hook),
    ];
    members.extend(SENDER_MEMBERS.into_iter().zip(values));
    Record::new("Token", members)
}

/// Creates the record of a new token, with its secret or the path of the hook.
pub fn issued_record(issued: &Issued) -> Record<'_> {
    let Issued { token, secret } = issued;
    let is_hook = token.grant.sender.as_ref().is_some_and(|one| one.is_hook);
    let secret = secret.reveal();
    let (shown, path) = if is_hook {
        (None, Some(format!("{}/{secret}", routes::HOOKS)))
    } else {
        (Some(secret), None)
    };
    let mut members = of_token(token);
    members.push(("secret", Value::text(shown)));
    members.push(("hookPath", Value::text(path)));
    Record::new("IssuedToken", members)
}
