//! What only commands call: `verify` and `copy`.

use tracing::{Instrument, debug_span};
use uuid::Uuid;

use super::by_statement;
use crate::billable::{LogEntry, Pair, Timestamp};
use crate::store::ops::copy::metadata::{ClientCopy, SessionCopy, SessionPairCopy, TokenCopy};
use crate::store::{
    Compared, ComparedDerived, EntryRead, LogInfo, PositionRange, SessionRead, Store, StoreError,
};

// For `billables verify`.
operations! {
    Store, by_statement:

    /// Returns a range of a partition in position order, invalid rows included.
    pub async fn entries_read(&self, range: PositionRange<'_>) -> Result<Vec<EntryRead>, StoreError>;

    /// Returns the rows of these billables, given as (partition, id), in no particular order.
    pub async fn entries_read_of(&self, ids: &[(u32, Uuid)]) -> Result<Vec<EntryRead>, StoreError>;

    /// Returns the first entries in partitions that the log lacks, as (partition, position).
    pub async fn entries_strayed(
        &self,
        log: LogInfo,
        limit: i64,
    ) -> Result<Vec<(i32, i64)>, StoreError>;

    /// Returns the next decisions after a session id, in order of session id.
    pub async fn sessions_read_after(&self, after: &str) -> Result<Vec<SessionRead>, StoreError>;

    /// Returns the existing decisions about these sessions, in no particular order.
    pub async fn sessions_read_of(&self, ids: &[&str]) -> Result<Vec<SessionRead>, StoreError>;

    /// Returns a partition's next copies of decisions after a session id, in order of session id.
    pub async fn pairs_read_after(
        &self,
        partition: u32,
        after: &str,
    ) -> Result<Vec<(String, Pair)>, StoreError>;

    /// Returns the sessions among `ids` for which a partition has a copy of the decision.
    pub async fn pairs_read_of(
        &self,
        partition: u32,
        ids: &[&str],
    ) -> Result<Vec<String>, StoreError>;

    /// Returns the positions up to which each partition's entries are in the buckets, and in the tables
    /// of accounts and undecided sessions.
    pub async fn watermarks(&self, log: LogInfo) -> Result<[Vec<i64>; 2], StoreError>;

    /// Returns the first `limit` of the finest buckets in a time range that do not match the log up
    /// to the watermarks.
    pub async fn buckets_against_log(
        &self,
        from: i64,
        until: i64,
        limit: i64,
    ) -> Result<Vec<Compared>, StoreError>;

    /// Returns the day and month buckets that do not match the sums of the finest ones. The time
    /// range is one month, or all time before the first month or after the last.
    pub async fn buckets_against_finer(
        &self,
        from: i64,
        until: i64,
        limit: i64,
    ) -> Result<Vec<Compared>, StoreError>;

    /// Returns the first `limit` of the quarter hours of accounts in a time range that do not match the
    /// log up to the watermarks.
    pub async fn account_buckets_against_log(
        &self,
        from: i64,
        until: i64,
        limit: i64,
    ) -> Result<Vec<ComparedDerived>, StoreError>;

    /// Returns the first `limit` accounts that do not match the sums of their quarter hours.
    pub async fn account_totals_against_finer(
        &self,
        limit: i64,
    ) -> Result<Vec<ComparedDerived>, StoreError>;

    /// Returns the first `limit` undecided sessions after a session, and up to another, that do not
    /// match the log up to the watermarks.
    pub async fn undecided_against_log(
        &self,
        after: &str,
        until: Option<&str>,
        limit: i64,
    ) -> Result<Vec<ComparedDerived>, StoreError>;

    /// Skips the first `entries` entries of the sessions after `after`, and returns the session of the
    /// next.
    pub async fn session_behind(
        &self,
        after: &str,
        entries: i64,
    ) -> Result<Option<String>, StoreError>;

    /// Skips the first `entries` entries from time `from` on, and returns `occurred_at` of the
    /// next.
    pub async fn time_behind(&self, from: i64, entries: i64) -> Result<Option<i64>, StoreError>;

    /// Returns the start times of the first and the last bucket of any width.
    pub async fn buckets_ends(&self) -> Result<Option<(i64, i64)>, StoreError>;
}

// For `billables copy`.
operations! {
    Store, by_statement:

    /// Returns the log and when it was created, if it exists.
    pub async fn log_find(&self) -> Result<Option<(LogInfo, Timestamp)>, StoreError>;

    /// Returns whether there are neither entries nor decisions about sessions.
    pub async fn log_is_empty(&self) -> Result<bool, StoreError>;

    /// Creates this log in an empty database, replacing an empty log if there is one. Its heads are
    /// at 0 until [`Self::heads_set`].
    pub async fn log_adopt(&self, log: LogInfo, made_at: Timestamp) -> Result<(), StoreError>;

    /// Sets the last position of each partition.
    pub async fn heads_set(&self, heads: &[i64]) -> Result<(), StoreError>;

    /// Returns the position of a partition's last entry, regardless of its head; 0 if it has none.
    pub async fn entries_last(&self, partition: u32) -> Result<i64, StoreError>;

    /// Returns the number of entries.
    pub async fn entries_count(&self) -> Result<i64, StoreError>;

    /// Inserts entries of another log at their original positions, in one durable transaction.
    ///
    /// # Errors
    /// See [`StoreError`]; an entry that is already stored is refused.
    pub async fn entries_import(&self, entries: &[LogEntry]) -> Result<(), StoreError>;

    pub(in crate::store) async fn cursor_key_find(&self) -> Result<Option<Vec<u8>>, StoreError>;
    pub(in crate::store) async fn cursor_key_set(&self, key: &[u8]) -> Result<(), StoreError>;
    pub(in crate::store) async fn clients_read(&self) -> Result<Vec<ClientCopy>, StoreError>;
    pub(in crate::store) async fn clients_write(&self, clients: &[ClientCopy]) -> Result<(), StoreError>;
    pub(in crate::store) async fn tokens_read(&self) -> Result<Vec<TokenCopy>, StoreError>;
    pub(in crate::store) async fn tokens_write(&self, tokens: &[TokenCopy]) -> Result<(), StoreError>;
    pub(in crate::store) async fn sessions_read(&self, after: &str) -> Result<Vec<SessionCopy>, StoreError>;
    pub(in crate::store) async fn sessions_write(&self, sessions: &[SessionCopy]) -> Result<(), StoreError>;
    pub(in crate::store) async fn session_pairs_read(
        &self,
        partition: i32,
        after: &str,
    ) -> Result<Vec<SessionPairCopy>, StoreError>;
    pub(in crate::store) async fn session_pairs_write(
        &self,
        pairs: &[SessionPairCopy],
    ) -> Result<(), StoreError>;
}
