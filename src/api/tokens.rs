//! The tokens that are not revoked, in memory.
//!
//! They are reloaded every 2 s, so requests do not wait for a query, and a revoked token is refused
//! by every server within 5 s. If they could not be reloaded for 5 s, all requests with a token are
//! refused, so that a revoked token does not stay valid while the database is unreachable. A
//! background task records when tokens were last used.
//!
//! An unknown token may be new: its request waits until the tokens were reloaded, which happens at
//! most ten times a second, however many such requests there are.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, RwLock, RwLockReadGuard};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::warn;
use uuid::Uuid;

use crate::api::ApiError;
use crate::billable::{ClientName, Timestamp};
use crate::limits::rate::{RateExceeded, RateLimit};
use crate::senders::{Profile, ProfileError, profile_of};
use crate::store::{LogInfo, Store, StoreError};
use crate::telemetry::chain;
use crate::token::{Grant, Rate, Scope, Secret, SecretHash, Token};

const REFRESH_EVERY: Duration = Duration::from_secs(2);
/// After a failure, retry sooner: requests are refused once the tokens are too old.
const REFRESH_AGAIN_AFTER: Duration = Duration::from_millis(250);
const REFRESH_TIMEOUT: Duration = Duration::from_secs(2);
/// The minimum time between the starts of two reloads.
const REFRESH_AT_MOST_EVERY: Duration = Duration::from_millis(100);
/// How long a request waits for a reload: one may be under way, and then comes the next.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(5);
/// How often to warn of reloads that fail.
const WARN_EVERY: Duration = Duration::from_secs(5);
const MAX_AGE: Duration = Duration::from_secs(5);

/// How often to record the uses of tokens.
const RECORD_INTERVAL: Duration = Duration::from_secs(5);

/// The minimum time between two recorded uses of a token, in microseconds.
const MIN_RECORD_GAP: i64 = 60_000_000;

/// The tokens that are not revoked; an expired one is refused at its use. Clones share them.
#[derive(Clone, Debug)]
pub struct Tokens {
    snapshot: Arc<RwLock<Snapshot>>,
    /// Notified by a request with an unknown token.
    wanted: Arc<Notify>,
    last_reload: watch::Sender<Reload>,
}

/// A reload that has ended.
#[derive(Clone, Copy, Debug)]
struct Reload {
    begun: Instant,
    is_done: bool,
}

#[derive(Debug)]
struct Snapshot {
    tokens: HashMap<SecretHash, Live>,
    read_at: Instant,
}

/// The parts of a token that requests need.
#[derive(Clone, Debug)]
pub(super) struct Live {
    pub(super) grant: Arc<Grant>,
    /// The profile that its reports are read with.
    pub(super) profile: Option<Arc<Profile>>,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) usage: Arc<Usage>,
}

impl Tokens {
    /// Loads the tokens for the first time. `admin` is an additional token with every scope.
    pub async fn load(
        store: &Store,
        log: LogInfo,
        admin: Option<&Secret>,
    ) -> Result<Self, StoreError> {
        let snapshot = Snapshot::read(store, log, admin, HashMap::new()).await?;
        let (last_reload, _) = watch::channel(Reload {
            begun: snapshot.read_at,
            is_done: true,
        });
        Ok(Self {
            snapshot: Arc::new(RwLock::new(snapshot)),
            wanted: Arc::default(),
            last_reload,
        })
    }

    /// Reloads the tokens periodically, and when a request has an unknown one. Never returns.
    pub async fn keep_fresh(self, store: Store, log: LogInfo, admin: Option<Secret>) {
        let mut pause = REFRESH_EVERY;
        let mut begun = Instant::now();
        let mut warned_at: Option<Instant> = None;
        loop {
            tokio::select! {
                () = sleep(pause) => {}
                () = self.wanted.notified() => sleep_until(begun + REFRESH_AT_MOST_EVERY).await,
            }
            begun = Instant::now();
            let known = self.read().tokens.clone();
            let read = Snapshot::read(&store, log, admin.as_ref(), known).await;
            let is_done = read.is_ok();
            match read {
                Ok(snapshot) => {
                    *self
                        .snapshot
                        .write()
                        .expect("nothing panics under this lock") = snapshot;
                    pause = REFRESH_EVERY;
                    warned_at = None;
                }
                Err(error) => {
                    if warned_at.is_none_or(|at| at.elapsed() >= WARN_EVERY) {
                        warn!(error = chain(&error), "cannot read the tokens");
                        warned_at = Some(Instant::now());
                    }
                    pause = REFRESH_AGAIN_AFTER;
                }
            }
            self.last_reload.send_replace(Reload { begun, is_done });
        }
    }

    /// Records in the store when tokens were last used, at most once a minute for each. Never
    /// returns.
    pub async fn keep_recording_usage(self, store: Store) {
        loop {
            sleep(RECORD_INTERVAL).await;
            let usages: Vec<_> = {
                let snapshot = self.read();
                let live = snapshot.tokens.values();
                live.map(|live| live.usage.clone()).collect()
            };
            let mut used: Vec<_> = usages
                .iter()
                .filter_map(|usage| usage.unrecorded_use())
                .collect();
            if used.is_empty() {
                continue;
            }
            // Sorted, so that servers that update the same tokens do not deadlock.
            used.sort();
            match store.tokens_use(&used).await {
                Ok(()) => {
                    let recorded = used.into_iter().collect::<HashMap<_, _>>();
                    for usage in &usages {
                        usage.set_recorded(&recorded);
                    }
                }
                Err(error) => warn!(error = chain(&error), "cannot record when tokens were used"),
            }
        }
    }

    /// How long ago the tokens were loaded.
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

    /// Works like [`Self::find`], but before it refuses an unknown token, it waits until the tokens
    /// were reloaded after the request came.
    ///
    /// # Errors
    /// The token is unknown or has expired, the tokens could not be reloaded, or the loaded ones
    /// are too old to rely on.
    pub(super) async fn find_or_reload(
        &self,
        hash: &SecretHash,
        now: Timestamp,
    ) -> Result<Live, ApiError> {
        let found = self.find(hash, now);
        if !matches!(found, Err(ApiError::Unauthorized)) {
            return found;
        }
        self.reload().await?;
        self.find(hash, now)
    }

    /// Returns when the tokens were reloaded after this call. For what must not be done with a token
    /// that was just revoked.
    ///
    /// # Errors
    /// They could not be reloaded.
    pub(super) async fn reload(&self) -> Result<(), ApiError> {
        let came_at = Instant::now();
        let mut last_reload = self.last_reload.subscribe();
        self.wanted.notify_one();
        let reloaded = last_reload.wait_for(|reload| reload.begun >= came_at);
        match timeout(RELOAD_TIMEOUT, reloaded).await {
            Ok(Ok(reload)) if reload.is_done => Ok(()),
            _ => Err(ApiError::StoreUnavailable),
        }
    }

    /// Returns what the token is now.
    ///
    /// # Errors
    /// The token is unknown or has expired, or the loaded tokens are too old to rely on.
    pub(super) fn find(&self, hash: &SecretHash, now: Timestamp) -> Result<Live, ApiError> {
        let snapshot = self.read();
        if snapshot.read_at.elapsed() >= MAX_AGE {
            return Err(ApiError::StoreUnavailable);
        }
        match snapshot.tokens.get(hash) {
            Some(live) if live.expires_at.is_none_or(|end| now < end) => Ok(live.clone()),
            Some(_) | None => Err(ApiError::Unauthorized),
        }
    }
}

impl Snapshot {
    async fn read(
        store: &Store,
        log: LogInfo,
        admin: Option<&Secret>,
        mut known: HashMap<SecretHash, Live>,
    ) -> Result<Self, StoreError> {
        let read_at = Instant::now();
        let found = async {
            // If the database now holds another log, its tokens are not valid for this server. The
            // reload then fails, so that the loaded tokens become too old and all requests with a
            // token are refused.
            store.log_check(log).await?;
            store.tokens_list().await
        };
        let found = timeout(REFRESH_TIMEOUT, found)
            .await
            .map_err(|_| StoreError::TimedOut)??;
        let mut tokens = HashMap::new();
        for found in found {
            match found {
                Ok((hash, token)) => match Live::new(token, known.remove(&hash)) {
                    Ok(live) => {
                        tokens.insert(hash, live);
                    }
                    Err(error) => warn!(%error, "skipping a token whose sender is not known"),
                },
                Err(error) => warn!(error = chain(&error), "skipping an unreadable token"),
            }
        }
        if let Some(admin) = admin {
            let client = ClientName::parse("admin").expect("a client name");
            let grant = Grant {
                client,
                scopes: Scope::ALL.to_vec(),
                accounts: None,
                sender: None,
            };
            let live = Live {
                grant: Arc::new(grant),
                profile: None,
                expires_at: None,
                usage: Arc::new(Usage::new(None, None, None)),
            };
            tokens.insert(admin.hash(), live);
        }
        Ok(Self { tokens, read_at })
    }
}

impl Live {
    /// `known` is the token as it was loaded before.
    ///
    /// # Errors
    /// There is no profile as its settings say.
    fn new(token: Token, known: Option<Self>) -> Result<Self, ProfileError> {
        let Token {
            id,
            grant,
            created_at: _,
            expires_at,
            rate,
            last_used_at,
        } = token;
        let (known_profile, known_usage) = match known {
            None => (None, None),
            Some(known) => {
                let is_same = known.grant.sender == grant.sender;
                let usage = (known.usage.rate() == rate).then_some(known.usage);
                (is_same.then_some(known.profile), usage)
            }
        };
        let profile = match (known_profile, &grant.sender) {
            (Some(profile), _) => profile,
            (None, None) => None,
            (None, Some(settings)) => profile_of(settings)?,
        };
        let usage =
            known_usage.unwrap_or_else(|| Arc::new(Usage::new(Some(id), rate, last_used_at)));
        Ok(Self {
            grant: Arc::new(grant),
            profile,
            expires_at,
            usage,
        })
    }
}

/// A token's rate limit and last use. It outlives each reload of the tokens.
#[derive(Debug)]
pub(super) struct Usage {
    /// The token's id; `None` for the admin token, which is not stored.
    id: Option<Uuid>,
    limit: RateLimit,
    /// The last use, in microseconds since 1970; 0 for never.
    used_at: AtomicI64,
    /// The last use that is recorded in the store, in microseconds since 1970; 0 for never.
    recorded_at: AtomicI64,
}

impl Usage {
    /// Creates the usage of a token with this rate and last use.
    fn new(id: Option<Uuid>, rate: Option<Rate>, last_used_at: Option<Timestamp>) -> Self {
        let last_used_at = last_used_at.map_or(0, Timestamp::as_micros);
        Self {
            id,
            limit: RateLimit::new(rate),
            used_at: AtomicI64::new(last_used_at),
            recorded_at: AtomicI64::new(last_used_at),
        }
    }

    pub(super) fn rate(&self) -> Option<Rate> {
        self.limit.rate()
    }

    /// Counts a request.
    ///
    /// # Errors
    /// The token has exceeded its rate.
    pub(super) fn count_request(&self, now: Timestamp) -> Result<(), RateExceeded> {
        self.used_at.fetch_max(now.as_micros(), Ordering::Relaxed);
        self.limit.check()
    }

    /// Returns the token's id and last use, if that needs to be recorded.
    fn unrecorded_use(&self) -> Option<(Uuid, Timestamp)> {
        let (used, recorded) = (
            self.used_at.load(Ordering::Relaxed),
            self.recorded_at.load(Ordering::Relaxed),
        );
        let is_due = used >= recorded + MIN_RECORD_GAP;
        is_due.then(|| Some((self.id?, Timestamp::from_micros(used)?)))?
    }

    /// Remembers the recorded use, if `recorded` contains this token.
    fn set_recorded(&self, recorded: &HashMap<Uuid, Timestamp>) {
        if let Some(at) = self.id.and_then(|id| recorded.get(&id)) {
            self.recorded_at.store(at.as_micros(), Ordering::Relaxed);
        }
    }
}
