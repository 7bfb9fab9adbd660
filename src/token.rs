//! Tokens: secrets and their hashes, the client that a token belongs to, and what it allows.
//! No storage, no HTTP.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::num::NonZeroU32;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use crate::billable::{ClientName, Timestamp};

/// Returns random bytes from the operating system.
///
/// # Errors
/// The operating system has no randomness available.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that asks for random bytes"
)]
pub fn random_bytes<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// What a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Report,
    /// Read everything that belongs to the token's accounts.
    Read,
    /// Void billables and attribute sessions.
    Bill,
    /// See refused requests. Never together with an account limit.
    Admin,
}

impl Scope {
    pub const ALL: [Self; 4] = [Self::Report, Self::Read, Self::Bill, Self::Admin];

    /// The name on the command line and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Report => "report",
            Self::Read => "read",
            Self::Bill => "bill",
            Self::Admin => "admin",
        }
    }

    /// Returns the scope with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == name)
    }
}

/// How many requests a token may send in a period, such as `100/s`. They may all come in one burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Requests, at least 1.
    pub count: NonZeroU32,
    pub per: Period,
}

/// The period of a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// `s`
    Second,
    /// `m`
    Minute,
    /// `h`
    Hour,
}

impl Rate {
    /// Parses a rate such as `100/s`, `5/m` or `1000/h`.
    pub fn parse(text: &str) -> Option<Self> {
        let (count, per) = text.split_once('/')?;
        let per = match per {
            "s" => Period::Second,
            "m" => Period::Minute,
            "h" => Period::Hour,
            _ => return None,
        };
        let is_plain = count.bytes().all(|byte| byte.is_ascii_digit());
        let count = count.parse().ok().filter(|_| is_plain)?;
        Some(Self { count, per })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per = match self.per {
            Period::Second => "s",
            Period::Minute => "m",
            Period::Hour => "h",
        };
        write!(f, "{}/{per}", self.count)
    }
}

/// A token's secret. It never appears in logs: its `Debug` is redacted and it has no `Display`.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Generates a secret: `bil_` and 256 random bits in URL-safe base64.
    ///
    /// # Errors
    /// The operating system has no randomness available.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let bytes: [u8; 32] = random_bytes()?;
        Ok(Self(format!("bil_{}", URL_SAFE_NO_PAD.encode(bytes))))
    }

    /// Wraps a secret that was sent or configured.
    pub fn new(secret: String) -> Self {
        Self(secret)
    }

    /// Returns the secret, to show it to its owner once.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Returns its hash, the only form in which the secret is stored.
    pub fn hash(&self) -> SecretHash {
        SecretHash(Sha256::digest(self.0.as_bytes()).into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

/// The SHA-256 of a secret. 256 random bits need no slow hash. Hashes are compared in constant
/// time.
#[derive(Clone, Copy, Eq)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Creates a hash from its bytes. Returns `None` unless there are 32.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl PartialEq for SecretHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Hash for SecretHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(redacted)")
    }
}

/// The accounts that a client is limited to; `None` for no limit.
pub type Accounts = Option<Arc<[String]>>;

/// A client: a sender or reader, which may have several tokens.
///
/// The accounts belong to the client and not to its tokens, because the tokens share its idempotency
/// keys: a token with other accounts could learn what the keys were used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    pub name: ClientName,
    /// The accounts that all its tokens are limited to.
    pub accounts: Accounts,
    /// The number of its valid tokens.
    pub tokens: u64,
}

/// The client that a secret belongs to, and what it may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The name stays the same when the secret changes.
    pub client: ClientName,
    /// What the client may do.
    pub scopes: Vec<Scope>,
    /// The accounts that the client is limited to.
    pub accounts: Accounts,
    /// How its reports are read; `None` for by our own names.
    pub sender: Option<Arc<SenderSettings>>,
}

impl Grant {
    /// Whether the client may do this. `admin` does not count for a client that is limited to
    /// accounts.
    pub fn has(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope) && (scope != Scope::Admin || self.accounts.is_none())
    }

    /// Whether the client may see this account and act for it.
    pub fn covers(&self, account: &str) -> bool {
        self.accounts
            .as_ref()
            .is_none_or(|accounts| accounts.iter().any(|own| own == account))
    }
}

/// How a token's reports are read, as its creator set it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct SenderSettings {
    /// The name of the sender's profile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
    /// Where fields are: `FIELD=AT`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub maps: Vec<String>,
    /// Which events count: `AT=VALUE[,VALUE]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<String>,
    /// How a mapped `occurredAt` is written, as a pattern of `strptime`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_format: Option<String>,
    /// The zone of a mapped `occurredAt` without an offset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// Whether only answered calls count.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub answered: bool,
    /// The account and the customer of every report.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pair: Option<[String; 2]>,
    /// Whether a report without an identity is refused.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub requires_identity: bool,
    /// Whether the secret is a part of the URL.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_hook: bool,
}

/// A token as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The id, which is not secret.
    pub id: Uuid,
    /// The client that the token belongs to, and what it may do.
    pub grant: Grant,
    pub created_at: Timestamp,
    /// When it expires; `None` for never.
    pub expires_at: Option<Timestamp>,
    /// How many requests it may send; `None` for no limit.
    pub rate: Option<Rate>,
    /// When it was last used, which may lag by up to a minute; `None` for never.
    pub last_used_at: Option<Timestamp>,
}

impl Token {
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_count_and_a_time() {
        for text in ["1/s", "100/m", "4294967295/h"] {
            let rate = Rate::parse(text).expect("a rate");
            assert_eq!(rate.to_string(), text);
        }
        for text in [
            "",
            "1",
            "0/s",
            "-1/s",
            "+1/s",
            "1/d",
            "1/ s",
            "4294967296/s",
            "1/s/s",
        ] {
            assert_eq!(Rate::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_secret_has_256_random_bits_and_is_never_printed() {
        let (one, other) = (
            Secret::generate().expect("randomness"),
            Secret::generate().expect("randomness"),
        );
        assert_ne!(one.reveal(), other.reveal());
        assert_eq!(one.reveal().len(), "bil_".len() + 43);
        assert_ne!(one.hash(), other.hash());
        assert_eq!(one.hash(), Secret::new(one.reveal().to_owned()).hash());
        assert_eq!(
            format!("{one:?} {:?}", one.hash()),
            "Secret(redacted) SecretHash(redacted)"
        );
    }
}
