//! The authenticated caller, and its permissions.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderMap, Method};
use tokio::time::sleep;

use crate::api::layers::access_log::Known;
use crate::api::query::refuse_unknown_parameters;
use crate::api::tokens::{Live, Tokens};
use crate::api::{ApiError, App};
use crate::billable::{
    Billable, ClientName, Code, Field, FieldError, RawReport, Report, Text, Timestamp,
};
use crate::contract::routes;
use crate::limits::concurrency::Permit;
use crate::limits::in_flight::RequestKind;
use crate::senders::Profile;
use crate::token::Accounts;
use crate::token::{Grant, Rate, Scope, Secret, SecretHash, SenderSettings};

/// How often to look whether a token changed while something is sent.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The authenticated caller. A handler without this extractor needs no token.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    hash: SecretHash,
    live: Live,
    /// Held until the handler has returned.
    _permit: Option<Arc<Permit>>,
}

impl Caller {
    /// The client that the token belongs to.
    pub(super) fn client(&self) -> &ClientName {
        &self.live.grant.client
    }

    /// What the token may do.
    pub(super) fn grant(&self) -> &Grant {
        &self.live.grant
    }

    /// When the token expires.
    pub(super) fn expires_at(&self) -> Option<Timestamp> {
        self.live.expires_at
    }

    /// How many requests the token may send.
    pub(super) fn rate(&self) -> Option<Rate> {
        self.live.usage.rate()
    }

    /// Returns the caller with the token's current grant, because the token may have been revoked
    /// while the body arrived.
    pub(super) fn renewed(self, tokens: &Tokens, now: Timestamp) -> Result<Self, ApiError> {
        let live = tokens.find(&self.hash, now)?;
        Ok(Self { live, ..self })
    }

    /// How the token's reports are read, and the profile that they are read with.
    pub(super) fn sender(&self) -> (Option<&Arc<SenderSettings>>, Option<&Arc<Profile>>) {
        (self.live.grant.sender.as_ref(), self.live.profile.as_ref())
    }

    /// Returns when the token has been revoked or has expired, or when it allows something else than
    /// before. What is still being sent to the caller must end then.
    pub(super) async fn until_changed(&self, tokens: &Tokens) {
        loop {
            sleep(LOOK_EVERY).await;
            let found = tokens.find(&self.hash, Timestamp::now());
            if !found.is_ok_and(|live| *live.grant == *self.live.grant) {
                return;
            }
        }
    }

    /// The accounts that the token is limited to.
    pub(super) fn accounts(&self) -> Accounts {
        self.live.grant.accounts.clone()
    }

    /// Checks that the token covers the requested account, if there is one.
    pub(super) fn require_account(&self, account: Option<&Text>) -> Result<(), ApiError> {
        if account.is_none_or(|account| self.live.grant.covers(account.as_str())) {
            Ok(())
        } else {
            Err(ApiError::OtherAccount)
        }
    }

    pub(super) fn require(&self, scope: Scope) -> Result<(), ApiError> {
        if self.live.grant.has(scope) {
            Ok(())
        } else {
            Err(ApiError::MissingScope(scope))
        }
    }

    /// Validates a report, also against the token: if the token is limited to accounts, the report
    /// must name one of them. `unread` are the errors of fields that could not be read.
    pub(super) fn accept(
        &self,
        raw: RawReport,
        unread: Vec<FieldError>,
        now: Timestamp,
    ) -> Result<Report, Vec<FieldError>> {
        if !unread.is_empty() {
            let mut errors = self.accept(raw, Vec::new(), now).err().unwrap_or_default();
            errors.retain(|error| unread.iter().all(|unread| unread.field != error.field));
            errors.extend(unread);
            errors.sort_by_key(|error| error.field as usize);
            return Err(errors);
        }
        let of_account = |code, message| FieldError::new(Field::AccountId, code, message);
        let is_account_missing =
            self.live.grant.accounts.is_some() && !raw.is_given(Field::AccountId);
        let parsed = Report::parse(raw, now);
        if is_account_missing {
            let mut errors = parsed.err().unwrap_or_default();
            errors.retain(|error| error.field != Field::AccountId);
            errors.insert(0, account_required());
            return Err(errors);
        }
        let report = parsed?;
        match &report.reported.account_id {
            Some(account) if !self.live.grant.covers(account.as_str()) => {
                let message = "the token is limited to other accounts";
                Err(vec![of_account(Code::Forbidden, message)])
            }
            _ => Ok(report),
        }
    }

    /// Whether the caller may see a billable: it is billed to one of the token's accounts or, while
    /// it is billed to none, names one.
    pub(super) fn sees(&self, billable: &Billable) -> bool {
        let account = billable.account_id();
        self.live.grant.accounts.is_none()
            || account.is_some_and(|account| self.live.grant.covers(account.as_str()))
    }
}

/// The error of a request that names no account, although the token is limited to accounts.
pub(super) fn account_required() -> FieldError {
    let message = "accountId is required, because the token is limited to certain accounts";
    FieldError::new(Field::AccountId, Code::NotEmpty, message)
}

impl FromRequestParts<App> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let of_path = secret_of_path(parts.uri.path());
        let is_hook = of_path.is_some();
        let secret = of_path.or_else(|| secret_of(&parts.headers));
        let hash = secret.ok_or(ApiError::Unauthorized)?.hash();
        let now = Timestamp::now();
        let live = app
            .tokens
            .find_or_reload(&hash, now)
            .await
            .map_err(|error| match error {
                ApiError::Unauthorized if is_hook => ApiError::UnknownHook,
                error => error,
            })?;
        // A secret that others see in URLs opens nothing else, and no other secret opens a hook.
        let sender = live.grant.sender.as_ref();
        if sender.is_some_and(|sender| sender.is_hook) != is_hook {
            return Err(if is_hook {
                ApiError::UnknownHook
            } else {
                ApiError::Unauthorized
            });
        }
        let client = &live.grant.client;
        Known::set_client(&parts.extensions, client);
        live.usage.count_request(now)?;
        let permit = app
            .in_flight
            .enter(kind_of(&parts.method, parts.uri.path()), client)?;
        refuse_unknown_parameters(parts)?;
        Ok(Self {
            hash,
            live,
            _permit: permit.map(Arc::new),
        })
    }
}

fn kind_of(method: &Method, path: &str) -> RequestKind {
    match path {
        routes::METRICS => RequestKind::Scrape,
        routes::BILLABLES if *method == Method::POST => RequestKind::Report,
        routes::NEW_BILLABLE | routes::NEW_BILLABLES => RequestKind::Report,
        path if secret_of_path(path).is_some() => RequestKind::Report,
        _ => RequestKind::Other,
    }
}

/// Returns the secret in the path of a hook, where `Authorization` is not read: some senders put
/// something of their own there.
fn secret_of_path(path: &str) -> Option<Secret> {
    let secret = path.strip_prefix(routes::HOOKS)?.strip_prefix('/')?;
    Some(Secret::new(secret.to_owned()))
}

/// Returns the secret in `Authorization`: a bearer token, or the password of Basic. More than one
/// such header counts as none.
fn secret_of(headers: &HeaderMap) -> Option<Secret> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else {
        return None;
    };
    let (scheme, credentials) = value.to_str().ok()?.split_once(' ')?;
    let credentials = credentials.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Secret::new(credentials.to_owned()));
    }
    if scheme.eq_ignore_ascii_case("basic") {
        // The user name is ignored, whatever its encoding.
        let decoded = STANDARD.decode(credentials).ok()?;
        let colon = decoded.iter().position(|byte| *byte == b':')?;
        let password = String::from_utf8(decoded[colon + 1..].to_vec()).ok()?;
        return Some(Secret::new(password));
    }
    None
}
