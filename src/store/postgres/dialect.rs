//! PostgreSQL's SQL.

use std::time::Duration;

use sqlx::Postgres;

use super::Server;
use crate::store::dialect::Dialect;
use crate::store::driver::Bound;
use crate::store::sql::Sql;
use crate::store::table::{Column, Table};

impl Dialect for Postgres {
    type Connector = Server;

    /// The statement sets everything itself, because a connection pooler may run
    /// each transaction on a different connection.
    ///
    /// - Read committed, regardless of the database's default: a group that lost a race for an id must
    ///   see the entry that won.
    /// - Citus passes settings on to the workers, which hold the rows, only when told to. Without
    ///   Citus, this setting has no effect.
    /// - No `statement_timeout`: with synchronous standbys it would end the wait for them with only a
    ///   warning, and the commit would look replicated although it is not.
    /// - `idle_in_transaction_session_timeout` ends a frozen client's transaction, and the caller's
    ///   deadline ends the wait for a frozen server.
    const BEGIN: &'static str = "begin isolation level read committed;
        set local citus.propagate_set_commands = 'local';
        set local synchronous_commit = on;
        set local statement_timeout = 0;
        set local lock_timeout = '4s';
        set local idle_in_transaction_session_timeout = '4s'";

    /// Losing the transaction loses no report, so it does not wait for the disk.
    const BEGIN_DERIVED: &'static str = "begin isolation level read committed;
    set local synchronous_commit = off;
    set local statement_timeout = 0;
    set local lock_timeout = '4s'";

    /// On Citus, a partition is on one worker, and one connection to it has one snapshot. Generic
    /// plans are off, because they would estimate the entries after a watermark at a third of all
    /// entries.
    const BEGIN_SNAPSHOT: &'static str = "begin isolation level repeatable read read only;
    set local citus.max_adaptive_executor_pool_size = 1;
    set local plan_cache_mode = force_custom_plan";

    /// A generic plan would be made for the log's whole time range.
    const BEGIN_LONG_READ: &'static str = "begin isolation level repeatable read read only;
    set local statement_timeout = 0;
    set local plan_cache_mode = force_custom_plan";

    const KEEPS_TIME: bool = false;
    const HAS_PARTITIONS: bool = true;
    const MAX_ROWS: usize = 5000;
    const CHECK_LOG_EVERY: Duration = Duration::from_secs(1);

    const ENTRY_KEY: &'static str = "(partition, billable_id, kind)";
    const OF_PARTITION: &'static str = "partition = $1";
    const CLEARED: &'static str = " where partition = $1";
    const MONTH: &'static str = "cast(extract(epoch from
        date_trunc('month', to_timestamp(occurred_at / 1000000) at time zone 'UTC')) as bigint) * 1000000";

    const THREE_OF_EACH: &'static str = " cross join lateral (
             select * from entries
             where entries.partition = wanted.partition and entries.billable_id >= wanted.billable_id
             order by entries.billable_id, entries.kind limit 3
         ) as entries
         where entries.billable_id = wanted.billable_id";

    /// `offset 0` keeps the conditions outside out of the plan of the range: the planner would take
    /// the index by time or by account if it expected the range to be large, and read the whole log.
    const OF_RANGES: &'static str = " cross join lateral (
             select * from entries
             where partition = $1 and billable_id >= wanted.first and billable_id <= wanted.last
             offset 0
         ) as entries
         where entries.call_sid = wanted.call";

    const OF_PREFIXES: &'static str =
        " from (select * from entries where call_prefix = any($1) offset 0) as entries
         where call_sid = any($2)";

    const AT_EACH: Option<&'static str> = Some(
        " cross join lateral (
             select * from entries
             where entries.partition = wanted.partition and entries.position <= wanted.position
             order by entries.position desc limit 1
         ) as entries",
    );

    fn among(parameter: i64) -> Sql {
        Sql::from("= any($") + parameter + ")"
    }

    fn among_ids(parameter: i64) -> Sql {
        Self::among(parameter)
    }

    fn of_accounts(parameter: i64) -> Sql {
        Sql::from("(cast($")
            + parameter
            + " as text[]) is null or coalesce(billed_account_id, account_id) "
            + Self::among(parameter)
            + ")"
    }

    fn at_partition(parameter: i64) -> Sql {
        Sql::from("(cast($") + parameter + " as bigint[]))[partition + 1]"
    }

    /// An array for each column.
    fn table(table: &Table<'_>, parameter: i64, name: &'static str) -> Sql {
        unnest(table, parameter) + " as " + name + " (" + names(table) + ")"
    }

    fn numbered_table(table: &Table<'_>, parameter: i64, name: &'static str) -> Sql {
        let numbered = unnest(table, parameter) + " with ordinality as " + name;
        numbered + " (" + names(table) + ", ordinal)"
    }

    fn bind_list(query: Bound<Self>, list: Column<'_>) -> Bound<Self> {
        match list {
            Column::Booleans(values) => query.bind(values),
            Column::Integers(values) => query.bind(values),
            Column::Bigints(values) => query.bind(values),
            Column::Texts(values) => query.bind(values),
            Column::Ids(values) => query.bind(values),
        }
    }

    fn bind_accounts(query: Bound<Self>, accounts: Option<&[&str]>) -> Bound<Self> {
        query.bind(accounts)
    }

    fn bind_table(query: Bound<Self>, table: Table<'_>) -> Bound<Self> {
        table.assert_even();
        let columns = table.0.into_iter();
        columns.fold(query, |query, (_, column)| Self::bind_list(query, column))
    }
}

fn unnest(table: &Table<'_>, parameter: i64) -> Sql {
    let columns = (parameter..).zip(&table.0);
    let arrays =
        columns.map(|(parameter, (_, values))| Sql::from("$") + parameter + array_type(values));
    Sql::from("unnest(") + Sql::list(arrays) + ")"
}

fn names(table: &Table<'_>) -> Sql {
    Sql::list(table.0.iter().map(|(column, _)| Sql::from(*column)))
}

fn array_type(values: &Column<'_>) -> &'static str {
    match values {
        Column::Booleans(_) => "::boolean[]",
        Column::Integers(_) => "::integer[]",
        Column::Bigints(_) => "::bigint[]",
        Column::Texts(_) => "::text[]",
        Column::Ids(_) => "::uuid[]",
    }
}
