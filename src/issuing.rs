//! Issues tokens. The command line and the API create, rotate and list them by these rules.

mod record;
mod request;

use std::sync::Arc;

use tracing::warn;
use uuid::Uuid;

use crate::billable::identity::random_id;
use crate::billable::{Code, Timestamp};
use crate::store::{Store, StoreError};
use crate::telemetry::chain;
use crate::token::{Grant, Rate, Scope, Secret, SenderSettings, Token};
pub use record::{issued_record, rights, token_record};
pub use request::{
    NewToken, Rotation, RotationRequest, TokenRequest, account, client_name, sorted_accounts,
};

/// Why a token is not issued.
#[derive(Debug)]
pub enum IssueError {
    /// A member of the request violates a rule.
    Invalid {
        /// The member in PascalCase.
        name: &'static str,
        code: Code,
        message: String,
    },
    /// A member of the request contradicts what is stored.
    Conflict {
        name: &'static str,
        message: String,
    },
    /// There is no valid token with this id.
    NotFound(Uuid),
    /// The operating system has no randomness available.
    Randomness(getrandom::Error),
    Store(StoreError),
}

impl IssueError {
    fn invalid(name: &'static str, message: impl Into<String>) -> Self {
        let code = Code::Predicate;
        Self::of(name, code, message)
    }

    fn of(name: &'static str, code: Code, message: impl Into<String>) -> Self {
        let message = message.into();
        Self::Invalid {
            name,
            code,
            message,
        }
    }
}

impl From<StoreError> for IssueError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// The token that asks for another one, which gets no more than it has.
#[derive(Clone, Copy, Debug)]
pub struct Issuer<'a> {
    pub grant: &'a Grant,
    pub expires_at: Option<Timestamp>,
}

impl Issuer<'_> {
    /// Checks that a new token gets no scope, no account and no time that the issuer does not have.
    fn check(self, grant: &Grant, expires_at: Option<Timestamp>) -> Result<(), IssueError> {
        let beyond = |name, message| Err(IssueError::of(name, Code::Forbidden, message));
        if let Some(scope) = grant.scopes.iter().find(|scope| !self.grant.has(**scope)) {
            let scope = scope.as_str();
            let message =
                format!("the token that asks for the scope {scope} does not have it itself");
            return beyond("Scopes", message);
        }
        let is_covered = match (&self.grant.accounts, &grant.accounts) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(_), Some(accounts)) => accounts.iter().all(|one| self.grant.covers(one)),
        };
        if !is_covered {
            let message = "the token that asks is limited to other accounts".to_owned();
            return beyond("Accounts", message);
        }
        match self.expires_at {
            Some(end) if expires_at.is_none_or(|at| at > end) => {
                let message = format!(
                    "the new token must expire before the token that asks, which expires at {end}"
                );
                beyond("Expires", message)
            }
            _ => Ok(()),
        }
    }
}

/// A new token, and its secret, which is kept nowhere else.
#[derive(Debug)]
pub struct Issued {
    pub token: Token,
    pub secret: Secret,
}

/// Creates a token, and its client unless there is one. Without an issuer, it may get every right.
///
/// # Errors
/// The client is limited to other accounts, or the token would get more than the issuer has.
pub async fn create(
    store: &Store,
    wanted: NewToken,
    issuer: Option<Issuer<'_>>,
    now: Timestamp,
) -> Result<Issued, IssueError> {
    let NewToken {
        client,
        scopes,
        accounts: wanted,
        expires,
        rate,
        mut settings,
        customer,
    } = wanted;
    let mut clients = store.clients_list(now).await?.into_iter();
    let accounts = match clients.find(|stored| stored.name == client) {
        Some(stored) if wanted.is_none() => stored.accounts,
        _ => wanted,
    };
    if accounts.is_some() && scopes.contains(&Scope::Admin) {
        let limit = shown_limit(accounts.as_deref());
        let name = "Scopes";
        let message = format!(
            "the client {client} is {limit}, and the scope admin is for clients without a limit"
        );
        return Err(IssueError::Conflict { name, message });
    }
    if let Some(customer) = customer {
        let Some([account]) = accounts.as_deref() else {
            let message = "customer needs a client that is limited to one account";
            return Err(IssueError::invalid("Customer", message));
        };
        settings.pair = Some([account.clone(), customer]);
    }
    let grant = Grant {
        client,
        scopes,
        accounts,
        sender: (settings != SenderSettings::default()).then(|| Arc::new(settings)),
    };
    let expires_at = expires.map(|span| request::end(now, span)).transpose()?;
    if let Some(issuer) = issuer {
        issuer.check(&grant, expires_at)?;
    }
    let client = &grant.client;
    let stored = store
        .client_ensure(client, grant.accounts.as_deref())
        .await?;
    if stored != grant.accounts {
        let limit = shown_limit(stored.as_deref());
        return Err(IssueError::Conflict {
            name: "Accounts",
            message: format!(
                "the client {client} is {limit}, and so are all its tokens: leave the accounts out, use another client, or change the limit with `billables client accounts {client} ACCOUNT ...`"
            ),
        });
    }
    let issued = fresh(grant, now, expires_at, rate)?;
    let hash = issued.secret.hash();
    store.token_insert(&issued.token, &hash).await?;
    Ok(issued)
}

/// Shows in a message which accounts a client is limited to.
pub fn shown_limit(accounts: Option<&[String]>) -> String {
    match accounts {
        None => "not limited to accounts".to_owned(),
        Some([one]) => format!("limited to the account {one}"),
        Some(several) => format!("limited to the accounts {}", several.join(", ")),
    }
}

/// Creates a token with the rights and the rate of another one, which then expires when the overlap
/// ends, unless it expires earlier.
///
/// # Errors
/// There is no valid token with this id, the new one has no expiry although the old one expires, or
/// it would get more than the issuer has.
pub async fn rotate(
    store: &Store,
    id: Uuid,
    rotation: Rotation,
    issuer: Option<Issuer<'_>>,
    now: Timestamp,
) -> Result<Issued, IssueError> {
    let mut valid = readable(store).await?.into_iter();
    let old = valid
        .find(|token| token.id == id && !token.has_expired(now))
        .ok_or(IssueError::NotFound(id))?;
    let expires_at = rotation
        .expires
        .map(|span| request::end(now, span))
        .transpose()?;
    if let Some(issuer) = issuer {
        issuer.check(&old.grant, expires_at)?;
    }
    if let (Some(end), None) = (old.expires_at, expires_at) {
        let message = format!("expires is required, because the token expires at {end}");
        return Err(IssueError::of("Expires", Code::NotEmpty, message));
    }
    let issued = fresh(old.grant, now, expires_at, old.rate)?;
    let until = request::end(now, rotation.overlap)?;
    let is_rotated = store
        .token_rotate(id, until, &issued.token, &issued.secret.hash())
        .await?;
    // Otherwise the old token was revoked in the meantime.
    is_rotated.then_some(issued).ok_or(IssueError::NotFound(id))
}

fn fresh(
    grant: Grant,
    now: Timestamp,
    expires_at: Option<Timestamp>,
    rate: Option<Rate>,
) -> Result<Issued, IssueError> {
    let secret = Secret::generate().map_err(IssueError::Randomness)?;
    let token = Token {
        id: random_id(now),
        grant,
        created_at: now,
        expires_at,
        rate,
        last_used_at: None,
    };
    Ok(Issued { token, secret })
}

/// Returns the tokens that are not revoked, and warns of unreadable ones.
///
/// # Errors
/// See [`StoreError`].
pub async fn readable(store: &Store) -> Result<Vec<Token>, StoreError> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::billable::ClientName;

    fn grant(scopes: &[Scope], accounts: Option<&[&str]>) -> Grant {
        let accounts = accounts.map(|accounts| accounts.iter().map(|one| (*one).into()).collect());
        Grant {
            client: ClientName::parse("c").expect("a name"),
            scopes: scopes.to_vec(),
            accounts,
            sender: None,
        }
    }

    #[test]
    fn a_token_gets_nothing_that_its_issuer_does_not_have() {
        let at = Timestamp::from_micros;
        let named = |grant: &Grant, end, other: &Grant, other_end| {
            let issuer = Issuer {
                grant,
                expires_at: end,
            };
            match issuer.check(other, other_end) {
                Ok(()) => "",
                Err(IssueError::Invalid { name, .. }) => name,
                Err(error) => panic!("{error:?}"),
            }
        };
        let reader = grant(&[Scope::Read], None);
        let of_a = grant(&[Scope::Read], Some(&["a"]));
        let of_ab = grant(&[Scope::Read], Some(&["a", "b"]));
        let biller = grant(&[Scope::Read, Scope::Bill], None);
        assert_eq!(named(&biller, None, &reader, None), "");
        assert_eq!(named(&reader, None, &biller, None), "Scopes");
        assert_eq!(named(&reader, None, &of_a, None), "");
        assert_eq!(named(&of_ab, None, &of_a, None), "");
        assert_eq!(named(&of_a, None, &of_ab, None), "Accounts");
        assert_eq!(named(&of_a, None, &reader, None), "Accounts");
        assert_eq!(named(&reader, at(5), &reader, None), "Expires");
        assert_eq!(named(&reader, at(5), &reader, at(6)), "Expires");
        assert_eq!(named(&reader, at(5), &reader, at(5)), "");
        // The scope admin does not count for a client that is limited to accounts.
        let admin = grant(&[Scope::Admin], Some(&["a"]));
        assert_eq!(named(&admin, None, &admin, None), "Scopes");
    }
}
