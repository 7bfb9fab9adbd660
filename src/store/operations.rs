//! Calls the database in use. This list documents what a store can do; [`super::ops`] does it.

use tracing::{Instrument, debug_span};
use uuid::Uuid;

use super::backend::in_time;
use super::{
    AccountRow, Appended, Appender, AttributionStep, CallLookup, ClockReference, DerivedPage,
    LogInfo, LogState, OpenError, PositionRange, Scan, SessionFound, Store, StoreError, TokenFound,
    Totals, TotalsQuery, UndecidedLookup, UndecidedRow, Voided,
};
use crate::billable::{Attribution, ClientName, Entry, ListKey, LogEntry, Timestamp, Void};
use crate::token::{Accounts, Client, SecretHash, Token};

/// Calls the database in use, in a span with the operation's name. `$limit` limits the time.
macro_rules! call {
    ($self:ident, $limit:ident, $name:ident, $($argument:ident)*) => {{
        let span = debug_span!("store", operation = stringify!($name));
        match $self {
            Self::Postgres(database) => {
                $limit(database.$name($($argument),*)).instrument(span).await
            }
            Self::Sqlite(database) => {
                $limit(database.$name($($argument),*)).instrument(span).await
            }
        }
    }};
}

/// Implements a list of operations, each of which would otherwise be a `match` with two calls.
macro_rules! operations {
    ($type:ident, $limit:ident: $(
        $(#[$meta:meta])*
        $visibility:vis async fn $name:ident(
            &mut $self:ident $(, $argument:ident: $given:ty)* $(,)?
        ) -> $output:ty;
    )*) => {
        impl $type {
            $(
                $(#[$meta])*
                $visibility async fn $name(&mut $self $(, $argument: $given)*) -> $output {
                    call!($self, $limit, $name, $($argument)*)
                }
            )*
        }
    };
    ($type:ident, $limit:ident: $(
        $(#[$meta:meta])*
        $visibility:vis async fn $name:ident(
            &$self:ident $(, $argument:ident: $given:ty)* $(,)?
        ) -> $output:ty;
    )*) => {
        impl $type {
            $(
                $(#[$meta])*
                $visibility async fn $name(&$self $(, $argument: $given)*) -> $output {
                    call!($self, $limit, $name, $($argument)*)
                }
            )*
        }
    };
}

mod commands;

/// Sets no limit here: PostgreSQL ends a statement of a pool after 10 s, and the writer limits its
/// attempts. Commands that read or write much have no limit.
fn by_statement<T>(operation: T) -> T {
    operation
}

operations! {
    Store, in_time:

    pub(super) async fn log_create(
        &self, fresh: LogInfo, now: Timestamp,
    ) -> Result<LogInfo, StoreError>;

    /// Returns the last position of each partition. All entries up to it are committed and visible.
    pub async fn heads(&self, log: LogInfo) -> Result<Vec<i64>, StoreError>;

    /// Stores decisions about distinct sessions, in one transaction, unless they have one. Returns the
    /// sessions' decisions, in no particular order.
    pub async fn sessions_decide(
        &self,
        attributions: &[Attribution],
    ) -> Result<Vec<SessionFound>, StoreError>;

    /// Returns the oldest decisions that have not been applied in every partition.
    pub async fn sessions_pending(&self) -> Result<Vec<Attribution>, StoreError>;

    /// Records that decisions have been applied in every partition.
    pub async fn sessions_complete(&self, session_ids: &[&str]) -> Result<(), StoreError>;

    /// Returns the partitions that have entries after their watermark.
    pub async fn totals_behind(&self) -> Result<Vec<u32>, StoreError>;

    /// Returns the log's state.
    pub async fn log_state(&self) -> Result<LogState, StoreError>;

    /// Runs `ANALYZE` if PostgreSQL has no statistics on the log, once the log has data. Returns
    /// true if no later call is needed.
    ///
    /// If a table was never analyzed, the planner assumes that a partition has few rows, and reads
    /// all of them to find one id. Autovacuum runs within a minute, unless it is switched off;
    /// until then a lookup gets slower with every report.
    pub async fn log_analyze(&self) -> Result<bool, StoreError>;

    /// Checks that commits are still durable: PostgreSQL's settings, or SQLite's files.
    ///
    /// # Errors
    /// [`StoreError::Unfit`] or [`StoreError::Distrusted`] if they are not; else see
    /// [`StoreError`].
    pub async fn trust_check(&self) -> Result<(), StoreError>;

    /// Returns what to compare this machine's clock with.
    pub async fn clock_reference(&self) -> Result<ClockReference, StoreError>;

    /// Makes `now` the latest time that a server recorded. Returns false for PostgreSQL, which has
    /// a clock of its own.
    pub async fn clock_accept(&self, now: Timestamp) -> Result<bool, StoreError>;

    /// Records when tokens were used, for each token at most once a minute across all servers.
    pub async fn tokens_use(&self, used: &[(Uuid, Timestamp)]) -> Result<(), StoreError>;
}

operations! {
    Store, by_statement:

    /// Migrates the schema, under a lock. Idempotent.
    ///
    /// # Errors
    /// A migration failed.
    pub async fn migrate(&self) -> Result<(), OpenError>;

    /// Closes the connections after the running operations have finished.
    pub async fn close(&self) -> ();

    pub(super) async fn cursor_key_ensure(&self, fresh: &[u8]) -> Result<Vec<u8>, sqlx::Error>;
    pub(super) async fn epoch_set(&self, epoch: Uuid) -> Result<(), StoreError>;

    /// Checks that the database still has the log that it had when it was opened: a backup may have
    /// been restored under a running server.
    ///
    /// # Errors
    /// [`StoreError::WrongLog`] if it has a different log; else see [`StoreError`].
    pub async fn log_check(&self, log: LogInfo) -> Result<(), StoreError>;

    /// Returns the entries of these billables, given as (partition, id), in no particular order.
    pub async fn entries_find(&self, ids: &[(u32, Uuid)]) -> Result<Vec<LogEntry>, StoreError>;

    /// Returns the entries of these billables that bill one of these accounts, or name it and bill
    /// none. Others' entries do not leave the database.
    pub async fn entries_find_of(
        &self,
        ids: &[(u32, Uuid)],
        accounts: &[&str],
    ) -> Result<Vec<LogEntry>, StoreError>;

    /// Returns entries of calls, in no particular order.
    pub async fn entries_of_calls(
        &self,
        log: LogInfo,
        lookup: &CallLookup<'_>,
    ) -> Result<Vec<LogEntry>, StoreError>;

    /// Returns a batch of entries in list order.
    pub async fn entries_scan(&self, scan: Scan<'_>) -> Result<Vec<LogEntry>, StoreError>;

    /// Returns a batch of a partition's entries in commit order.
    pub async fn entries_after(&self, range: PositionRange<'_>) -> Result<Vec<LogEntry>, StoreError>;

    /// Returns the entry at each (partition, position), or the last one before it if there is one.
    pub async fn entries_at(&self, points: &[(u32, i64)]) -> Result<Vec<LogEntry>, StoreError>;

    /// Returns accounts with what they have, and the account to continue after if there may be more.
    ///
    /// # Errors
    /// [`StoreError::FarBehind`] like [`Self::totals_read`]; so do the next two.
    pub async fn accounts_page(
        &self,
        log: LogInfo,
        page: &DerivedPage<'_>,
    ) -> Result<(Vec<AccountRow>, Option<String>), StoreError>;

    /// Returns sessions with billables that bill nobody, and the session to continue after if there
    /// may be more.
    pub async fn undecided_page(
        &self,
        log: LogInfo,
        page: &DerivedPage<'_>,
    ) -> Result<(Vec<UndecidedRow>, Option<String>), StoreError>;

    /// Returns the `recorded` entries without a pair of all sessions that have unattributed billables,
    /// in no particular order, and perhaps others; `None` if they are too many to be read at once.
    pub async fn entries_undecided(
        &self,
        log: LogInfo,
        lookup: &UndecidedLookup<'_>,
    ) -> Result<Option<Vec<LogEntry>>, StoreError>;

    /// Returns the time before which the newest unattributed billable of a cut happened, among those
    /// of calls before `before`; `None` if there is none. It may be later.
    pub async fn unattributed_end(
        &self,
        log: LogInfo,
        cut: &[i64],
        before: i64,
    ) -> Result<Option<i64>, StoreError>;

    /// Returns the decision about a session.
    pub async fn session_find(&self, session_id: &str) -> Result<Option<SessionFound>, StoreError>;

    /// Adds at most `limit` positions of a partition to its buckets, and returns whether more are
    /// left.
    pub async fn totals_roll(&self, partition: u32, limit: i64) -> Result<bool, StoreError>;

    /// Deletes a partition's buckets and resets its watermark, so that rolling rebuilds them.
    pub async fn totals_clear(&self, partition: u32) -> Result<(), StoreError>;

    /// Reads totals in one snapshot.
    ///
    /// # Errors
    /// [`StoreError::FarBehind`] if too many entries have not been rolled into buckets, or were
    /// since the cut.
    pub async fn totals_read(
        &self,
        log: LogInfo,
        wanted: &TotalsQuery<'_>,
    ) -> Result<Totals, StoreError>;

    /// Returns all clients that ever had a token, by name, with their tokens that are valid at
    /// `now`.
    pub async fn clients_list(&self, now: Timestamp) -> Result<Vec<Client>, StoreError>;

    /// Stores a client with these accounts unless there is one of this name. Returns the accounts
    /// of the stored one.
    pub async fn client_ensure(
        &self,
        name: &ClientName,
        accounts: Option<&[String]>,
    ) -> Result<Accounts, StoreError>;

    /// Limits all tokens of a client to accounts; `None` for no limit. Returns false if there is no
    /// such client.
    pub async fn client_limit(
        &self,
        name: &ClientName,
        accounts: Option<&[String]>,
    ) -> Result<bool, StoreError>;

    /// Stores a token of a client that is stored. The client's accounts are not changed.
    pub async fn token_insert(&self, token: &Token, hash: &SecretHash) -> Result<(), StoreError>;

    /// Returns every token that is not revoked, expired ones included, oldest first. An unreadable
    /// row, such as one written by a newer version, is returned as an error among the others.
    pub async fn tokens_list(&self) -> Result<Vec<TokenFound>, StoreError>;

    /// Returns whether a token was ever created, revoked ones included.
    pub async fn tokens_exist(&self) -> Result<bool, StoreError>;

    /// Revokes a token. Returns false if no token has this id or it is already revoked.
    pub async fn token_revoke(&self, id: Uuid, now: Timestamp) -> Result<bool, StoreError>;

    /// Sets a token to expire at `until`, unless it expires earlier, and stores its replacement, in
    /// one transaction. Returns false if there is no valid token with the id `old`.
    pub async fn token_rotate(
        &self,
        old: Uuid,
        until: Timestamp,
        new: &Token,
        hash: &SecretHash,
    ) -> Result<bool, StoreError>;

    /// Returns the problems that SQLite finds in the file; none for PostgreSQL, which has its own
    /// tools.
    pub async fn file_problems(&self) -> Result<Vec<String>, StoreError>;
}

operations! {
    Appender, by_statement:

    /// Returns the entries of these billables, in no particular order, without taking a lock.
    pub async fn entries_find(&mut self, ids: &[Uuid]) -> Result<Vec<Entry>, StoreError>;

    /// Makes sure that everything this connection has read is durable. An append does this, too.
    pub async fn entries_confirm(&mut self) -> Result<(), StoreError>;

    /// Appends entries of one kind and of distinct billables in one durable transaction, under the
    /// lock of the partition's head. `recorded` entries without a pair get their session's, if it
    /// is decided and [accepted](Entry::accepts).
    ///
    /// # Errors
    /// After [`StoreError::Unavailable`], the entries may or may not be stored.
    pub async fn entries_append(&mut self, entries: &[&Entry]) -> Result<Appended, StoreError>;

    /// Fast path of [`Self::entries_append`] for entries that need no session lookup. Returns
    /// false, and changes nothing, if one of them is already stored or the head is missing.
    pub async fn entries_append_new(&mut self, entries: &[&Entry]) -> Result<bool, StoreError>;

    /// Voids billables of this partition in one durable transaction. A billable that is already
    /// voided keeps its first reason.
    pub async fn entries_void(&mut self, voids: &[Void]) -> Result<Voided, StoreError>;

    /// Commits a transaction that changes nothing, to learn whether the partition can be written.
    /// Inserts `sample`, if given, and rolls that back: PostgreSQL keeps the space of such a row
    /// until it is vacuumed.
    pub async fn probe(&mut self, sample: Option<&Entry>) -> Result<(), StoreError>;

    /// Reads at most [`super::STEP`] of the sessions' entries in this partition and attributes
    /// their billables, unless they do not [accept](Entry::accepts) the pair, in one durable
    /// transaction. `after` is the key to continue after in a single session.
    ///
    /// From the first step on, new entries of the sessions get the pair immediately.
    pub async fn entries_attribute(
        &mut self,
        attributions: &[Attribution],
        after: Option<ListKey>,
    ) -> Result<AttributionStep, StoreError>;
}
