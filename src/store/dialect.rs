//! What differs between the databases, as far as generic code needs it.
//!
//! What only one of them has (opening, migrations, clocks, checks of durability) are methods of
//! `Backend<Postgres>` and `Backend<Sqlite>`, in `postgres.rs` and `sqlite.rs`.

use std::fmt;
use std::time::Duration;

use super::driver::{Bound, Driver};
use super::error::StoreError;
use super::sql::Sql;
use super::table::{Column, Table};

/// One of the two databases.
pub trait Dialect: Driver {
    type Connector: Connector<Self>;

    /// Begins a writing transaction. On SQLite, this takes the only write lock.
    const BEGIN: &'static str;
    /// Begins a writing transaction on data derived from the log or on the last uses of tokens.
    const BEGIN_DERIVED: &'static str;
    /// Begins a transaction that reads everything in one snapshot.
    const BEGIN_SNAPSHOT: &'static str;
    /// Begins a transaction for one long statement that reads, without a time limit.
    const BEGIN_LONG_READ: &'static str;

    /// Whether the head keeps the latest time that a server recorded: SQLite has no clock with which
    /// a server could compare its own.
    const KEEPS_TIME: bool;
    /// Whether a log can have more than one partition.
    const HAS_PARTITIONS: bool;
    /// The maximum number of rows that one statement inserts.
    const MAX_ROWS: usize;
    /// How often an appender checks that its connection reads the same log, which a restore
    /// replaces. Zero for each time.
    const CHECK_LOG_EVERY: Duration;

    /// The columns of the key of `entries`.
    const ENTRY_KEY: &'static str;
    /// The condition for entries of the partition `$1`.
    const OF_PARTITION: &'static str;
    /// The end of a statement that deletes the derived rows of the partition `$1`.
    const CLEARED: &'static str;
    /// The start of the month of `occurred_at`.
    const MONTH: &'static str;

    /// Joins the table `wanted` (partition, billable_id) with the entries of each billable, and reads
    /// three entries for each, whether the billable exists or not: the time that a check takes must
    /// not tell whether another account has it. A billable has at most three entries. Ends in a
    /// `where` clause, which the statement continues with `and`; so do the next two.
    const THREE_OF_EACH: &'static str;
    /// Joins the table `wanted` (first, last, call) with the entries of the partition `$1` that have
    /// an id in the range and the call.
    const OF_RANGES: &'static str;
    /// The `from` and `where` for entries that have one of the `call_prefix`es `$1` and one of the
    /// calls `$2`.
    const OF_PREFIXES: &'static str;
    /// Joins the table `wanted` (partition, position) with the last entry up to each position;
    /// `None` if the database needs a statement for each.
    const AT_EACH: Option<&'static str>;

    /// The condition for a value in the list of numbers or texts `$parameter`.
    fn among(parameter: i64) -> Sql;

    /// The condition for an id in the list `$parameter`.
    fn among_ids(parameter: i64) -> Sql;

    /// The condition for entries that bill one of the accounts `$parameter`, or name it and bill
    /// none; for all entries if the parameter is null.
    fn of_accounts(parameter: i64) -> Sql;

    /// The number in the list `$parameter` that belongs to an entry's partition.
    fn at_partition(parameter: i64) -> Sql;

    /// The table that is bound from `$parameter` on, for `from`, named `name`. Only the names and the
    /// types of the columns are used here.
    ///
    /// It takes a parameter for each column on PostgreSQL and one for all on SQLite, so it is bound
    /// last.
    fn table(table: &Table<'_>, parameter: i64, name: &'static str) -> Sql;

    /// Works like [`Self::table`], with a column `ordinal` that counts the rows from 1. Citus does not
    /// take it in every read.
    fn numbered_table(table: &Table<'_>, parameter: i64, name: &'static str) -> Sql;

    fn bind_list(query: Bound<Self>, list: Column<'_>) -> Bound<Self>;

    fn bind_accounts(query: Bound<Self>, accounts: Option<&[&str]>) -> Bound<Self>;

    fn bind_table(query: Bound<Self>, table: Table<'_>) -> Bound<Self>;
}

/// How to reach a database, and whether it can be relied on. Clones share everything.
pub trait Connector<D: Dialect>: Clone + Send + Sync + fmt::Debug + 'static {
    /// The database without credentials, for messages.
    fn label(&self) -> String;

    /// Opens the connection of an appender. Refuses a database that may lose acknowledged commits.
    fn connect(
        &self,
    ) -> impl Future<Output = Result<(D::Connection, ServerFacts), StoreError>> + Send;

    /// Whether the rows are on Citus workers, as known since the database was opened.
    fn is_citus(&self) -> bool;

    /// Checks that the files are the ones that were opened. Does nothing for PostgreSQL: a replaced
    /// database has another epoch, which is [`StoreError::WrongLog`].
    fn check_files(&self) -> Result<(), StoreError>;

    /// Makes commits reliable again after a failed write. Does nothing for PostgreSQL, which
    /// recovers by itself.
    fn recover(&self) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Checks that what was committed or read may be acknowledged. Does nothing for PostgreSQL,
    /// where a commit is durable when it returns.
    fn confirm(&self) -> Result<(), StoreError>;
}

/// What an appender must know of the server that its connection leads to.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServerFacts {
    /// Whether commits may wait for standbys.
    pub(super) has_standbys: bool,
    /// Whether the rows are on Citus workers.
    pub(super) is_citus: bool,
}
