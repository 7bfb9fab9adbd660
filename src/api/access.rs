//! Who is asking, and what they may do.
//!
//! All live tokens are held in memory and read anew every 2 s, so that no request waits for a
//! query and a new or revoked token holds everywhere within 5 s. When they could not be read for
//! that long nobody is let in: a revoked token must not outlive a broken connection. When they
//! were last used is noted aside, too.

use std::collections::HashMap;
use std::sync::{Arc, RwLock, RwLockReadGuard};
use std::time::Duration;

use axum::extract::FromRequestParts;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;
use tokio::time::{Instant as Monotonic, sleep, timeout};
use tracing::warn;

use super::observe::Observed;
use super::turns::Turn;
use super::usage::Usage;
use super::{ApiError, App};
use crate::billable::{Billable, ClientName, Field, FieldError, Instant, RawReport, Report, Text};
use crate::contract::errors;
use crate::reader::Accounts;
use crate::store::{LogInfo, Store, StoreError};
use crate::telemetry::chain;
use crate::token::{Grant, Scope, Secret, SecretHash, Token};

const REFRESH_EVERY: Duration = Duration::from_secs(2);
/// Until everybody is let in again there is no time to lose.
const REFRESH_AGAIN_AFTER: Duration = Duration::from_millis(250);
const REFRESH_TIMEOUT: Duration = Duration::from_secs(2);
const MAX_AGE: Duration = Duration::from_secs(5);

/// How often it is looked at which tokens were used.
const NOTE_EVERY: Duration = Duration::from_secs(5);

/// The live tokens. A clone is a handle to the same ones.
#[derive(Clone, Debug)]
pub struct Tokens {
    snapshot: Arc<RwLock<Snapshot>>,
}

#[derive(Debug)]
struct Snapshot {
    tokens: HashMap<SecretHash, Live>,
    read_at: Monotonic,
}

/// A token, as it is asked for with each request.
#[derive(Debug)]
struct Live {
    grant: Arc<Grant>,
    expires_at: Option<Instant>,
    usage: Arc<Usage>,
}

impl Tokens {
    /// Reads the tokens for the first time. `admin` is a further token with every scope.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn load(
        store: &Store,
        log: LogInfo,
        admin: Option<&Secret>,
    ) -> Result<Self, StoreError> {
        let snapshot = Snapshot::read(store, log, admin, &HashMap::new()).await?;
        Ok(Self {
            snapshot: Arc::new(RwLock::new(snapshot)),
        })
    }

    /// Reads them again and again, for ever.
    pub async fn keep_fresh(self, store: Store, log: LogInfo, admin: Option<Secret>) {
        let mut pause = REFRESH_EVERY;
        loop {
            sleep(pause).await;
            let usages = self.read().usages();
            match Snapshot::read(&store, log, admin.as_ref(), &usages).await {
                Ok(snapshot) => {
                    *self
                        .snapshot
                        .write()
                        .expect("nothing panics under this lock") = snapshot;
                    pause = REFRESH_EVERY;
                }
                Err(error) => {
                    warn!(error = chain(&error), "cannot read the tokens");
                    pause = REFRESH_AGAIN_AFTER;
                }
            }
        }
    }

    /// Notes in the store when tokens were last used, for ever: at most once a minute for each.
    pub async fn keep_noting(self, store: Store) {
        loop {
            sleep(NOTE_EVERY).await;
            let usages = self.read().usages();
            let mut used: Vec<_> = usages
                .values()
                .filter_map(|usage| usage.unnoted())
                .collect();
            if used.is_empty() {
                continue;
            }
            // In one order, so that servers that note the same tokens do not deadlock.
            used.sort();
            match store.tokens_use(&used).await {
                Ok(()) => {
                    let noted = used.into_iter().collect::<HashMap<_, _>>();
                    for usage in usages.values() {
                        usage.set_noted(&noted);
                    }
                }
                Err(error) => warn!(error = chain(&error), "cannot note when tokens were used"),
            }
        }
    }

    /// How long ago the tokens were read.
    pub(super) fn age(&self) -> Duration {
        self.read().read_at.elapsed()
    }

    fn read(&self) -> RwLockReadGuard<'_, Snapshot> {
        self.snapshot
            .read()
            .expect("nothing panics under this lock")
    }

    /// Whether the tokens are recent enough to rely on.
    pub(super) fn are_fresh(&self) -> bool {
        self.age() < MAX_AGE
    }

    fn find(&self, hash: &SecretHash, now: Instant) -> Result<(Arc<Grant>, Arc<Usage>), ApiError> {
        let snapshot = self.read();
        if snapshot.read_at.elapsed() >= MAX_AGE {
            return Err(ApiError::StoreUnavailable);
        }
        match snapshot.tokens.get(hash) {
            Some(live) if live.expires_at.is_none_or(|end| now < end) => {
                Ok((live.grant.clone(), live.usage.clone()))
            }
            Some(_) | None => Err(ApiError::Unauthorized),
        }
    }
}

impl Snapshot {
    async fn read(
        store: &Store,
        log: LogInfo,
        admin: Option<&Secret>,
        usages: &HashMap<SecretHash, Arc<Usage>>,
    ) -> Result<Self, StoreError> {
        let read_at = Monotonic::now();
        let found = async {
            // Those of another log are not this server's, and nothing of that log is: with no
            // tokens nobody is let in.
            store.log_check(log).await?;
            store.tokens_list().await
        };
        let found = timeout(REFRESH_TIMEOUT, found)
            .await
            .map_err(|_| StoreError::TimedOut)??;
        let mut tokens = HashMap::new();
        for found in found {
            match found {
                Ok((hash, token)) => {
                    let known = usages.get(&hash).filter(|usage| usage.has_rate(token.rate));
                    let live = Live::new(token, known.cloned());
                    tokens.insert(hash, live);
                }
                Err(error) => warn!(error = chain(&error), "leaving out a token"),
            }
        }
        if let Some(admin) = admin {
            let client = ClientName::parse("admin").expect("a client name");
            let grant = Grant {
                client,
                scopes: Scope::ALL.to_vec(),
                accounts: None,
            };
            let live = Live {
                grant: Arc::new(grant),
                expires_at: None,
                usage: Arc::new(Usage::new(None, None, None)),
            };
            tokens.insert(admin.hash(), live);
        }
        Ok(Self { tokens, read_at })
    }

    fn usages(&self) -> HashMap<SecretHash, Arc<Usage>> {
        let usages = self.tokens.iter();
        usages
            .map(|(hash, live)| (*hash, live.usage.clone()))
            .collect()
    }
}

impl Live {
    fn new(token: Token, known: Option<Arc<Usage>>) -> Self {
        let Token {
            id,
            grant,
            created_at: _,
            expires_at,
            rate,
            last_used_at,
        } = token;
        Self {
            grant: Arc::new(grant),
            expires_at,
            usage: known.unwrap_or_else(|| Arc::new(Usage::new(Some(id), rate, last_used_at))),
        }
    }
}

/// Who is asking. A handler that takes no caller can know nothing of one.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    hash: SecretHash,
    grant: Arc<Grant>,
    /// Held until the request is answered.
    _place: Option<Arc<Turn>>,
}

impl Caller {
    /// The client that the token belongs to.
    pub(super) fn client(&self) -> &ClientName {
        &self.grant.client
    }

    /// The same caller with what the token grants now: a body may take longer to arrive than a
    /// revocation may take to hold.
    pub(super) fn renewed(self, tokens: &Tokens, now: Instant) -> Result<Self, ApiError> {
        let (grant, _) = tokens.find(&self.hash, now)?;
        Ok(Self { grant, ..self })
    }

    /// The accounts that the token is limited to.
    pub(super) fn accounts(&self) -> Accounts {
        self.grant.accounts.clone()
    }

    /// Demands that an account, if one is asked for, is one of the token's.
    pub(super) fn require_account(&self, account: Option<&Text>) -> Result<(), ApiError> {
        match account.is_none_or(|account| self.grant.covers(account.as_str())) {
            true => Ok(()),
            false => Err(ApiError::OtherAccount),
        }
    }

    /// Demands a scope.
    pub(super) fn require(&self, scope: Scope) -> Result<(), ApiError> {
        if self.grant.has(scope) {
            Ok(())
        } else {
            Err(ApiError::MissingScope(scope))
        }
    }

    /// Applies the rules of reports and those of the token: one that is limited to accounts
    /// must name one of them.
    pub(super) fn accept(&self, raw: RawReport, now: Instant) -> Result<Report, Vec<FieldError>> {
        let of_account = |code, message| FieldError::new(Field::AccountId, code, message);
        let is_account_missing = self.grant.accounts.is_some() && !raw.is_given(Field::AccountId);
        let parsed = Report::parse(raw, now);
        if is_account_missing {
            let mut errors = parsed.err().unwrap_or_default();
            errors.retain(|error| error.field != Field::AccountId);
            let message = "accountId is required, because the token is limited to accounts";
            errors.insert(0, of_account(errors::NOT_EMPTY.code, message));
            return Err(errors);
        }
        let report = parsed?;
        match &report.reported.account_id {
            Some(account) if !self.grant.covers(account.as_str()) => {
                let message = "the token is limited to other accounts";
                Err(vec![of_account(errors::FORBIDDEN.code, message)])
            }
            _ => Ok(report),
        }
    }

    /// Whether a billable may be shown: it bills one of the token's accounts, or names one.
    pub(super) fn sees(&self, billable: &Billable) -> bool {
        self.grant.accounts.is_none()
            || billable
                .accounts()
                .any(|account| self.grant.covers(account.as_str()))
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let hash = secret_of(&parts.headers)
            .ok_or(ApiError::Unauthorized)?
            .hash();
        let now = Instant::now();
        let (grant, usage) = app.tokens.find(&hash, now)?;
        Observed::client(&parts.extensions, &grant.client);
        usage.begin(now)?;
        let place = app
            .in_flight
            .enter(&parts.method, parts.uri.path(), &grant.client)?;
        Ok(Self {
            hash,
            grant,
            _place: place.map(Arc::new),
        })
    }
}

/// The secret of `Authorization`: a bearer token, or the password of Basic, whose user name is
/// ignored. More than one such header is as good as none.
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
