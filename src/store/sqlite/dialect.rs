//! SQLite's SQL. A unary plus keeps its planner from an index that would read the whole log.

use std::time::Duration;

use sqlx::Sqlite;

use super::OpenFile;
use crate::store::dialect::Dialect;
use crate::store::driver::Bound;
use crate::store::sql::Sql;
use crate::store::table::{Column, Table};

impl Dialect for Sqlite {
    type Connector = OpenFile;

    const BEGIN: &'static str = "begin immediate";
    const BEGIN_DERIVED: &'static str = Self::BEGIN;
    const BEGIN_SNAPSHOT: &'static str = "begin";
    const BEGIN_LONG_READ: &'static str = Self::BEGIN_SNAPSHOT;

    const KEEPS_TIME: bool = true;
    const HAS_PARTITIONS: bool = false;
    /// 500 rows change some 10 MiB of pages in a large file, which the statement journal keeps in
    /// memory.
    const MAX_ROWS: usize = 500;
    const CHECK_LOG_EVERY: Duration = Duration::ZERO;

    const ENTRY_KEY: &'static str = "(billable_id, kind)";
    /// Compares the parameter instead of the column: SQLite would search by the partition, of which
    /// there is only one, and so read the whole log.
    const OF_PARTITION: &'static str = "$1 = 0";
    /// Deletes all rows, which belong to the only partition. A condition on it would make SQLite
    /// slower, and reports wait meanwhile.
    const CLEARED: &'static str = "";
    const MONTH: &'static str =
        "unixepoch(occurred_at / 1000000, 'unixepoch', 'start of month') * 1000000";

    const THREE_OF_EACH: &'static str = " cross join entries on entries.position in (
             select position from entries as next
             where next.billable_id >= wanted.billable_id
             order by next.billable_id, next.kind limit 3)
         where +entries.partition = wanted.partition and +entries.billable_id = wanted.billable_id";

    const OF_RANGES: &'static str = " cross join entries
         where entries.billable_id >= wanted.first and entries.billable_id <= wanted.last
           and +entries.partition = $1 and +entries.call_sid = wanted.call";

    const OF_PREFIXES: &'static str = " from entries
         where call_prefix in (select value from json_each($1))
           and +call_sid in (select value from json_each($2))";

    const AT_EACH: Option<&'static str> = None;

    fn among(parameter: i64) -> Sql {
        Sql::from("in (select value from json_each($") + parameter + "))"
    }

    fn among_ids(parameter: i64) -> Sql {
        Sql::from("in (select unhex(value) from json_each($") + parameter + "))"
    }

    fn of_accounts(parameter: i64) -> Sql {
        Sql::from("($")
            + parameter
            + " is null or +coalesce(billed_account_id, account_id) "
            + Self::among(parameter)
            + ")"
    }

    fn at_partition(parameter: i64) -> Sql {
        Sql::from("($") + parameter + " ->> partition)"
    }

    /// One JSON text, of an array for each row.
    fn table(table: &Table<'_>, parameter: i64, name: &'static str) -> Sql {
        let Table(columns) = table;
        let values = (0..).zip(columns).map(|(index, (column, values))| {
            let value = Sql::from("value ->> ") + index;
            let value = match values {
                Column::Ids(_) => Sql::from("unhex(") + value + ")",
                _ => value,
            };
            value + " as " + *column
        });
        Sql::from("(select ")
            + Sql::list(values)
            + ", key + 1 as ordinal from json_each($"
            + parameter
            + ")) as "
            + name
    }

    fn numbered_table(table: &Table<'_>, parameter: i64, name: &'static str) -> Sql {
        Self::table(table, parameter, name)
    }

    fn bind_list(query: Bound<Self>, list: Column<'_>) -> Bound<Self> {
        query.bind(list.json())
    }

    fn bind_accounts(query: Bound<Self>, accounts: Option<&[&str]>) -> Bound<Self> {
        let accounts = accounts.map(|accounts| Column::texts(accounts.iter().copied()).json());
        query.bind(accounts)
    }

    fn bind_table(query: Bound<Self>, table: Table<'_>) -> Bound<Self> {
        query.bind(table.json())
    }
}
