//! Compares the end of the log with its indexes, before anything is written to a file that was not
//! closed properly.
//!
//! If a database file is replaced while the WAL of the old one stays beside it, SQLite applies the
//! old pages to the new file without an error. The pages of the last entries are among them.

use std::path::Path;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use crate::store::sql::Sql;

/// An index, the condition for the entries that it has, and the condition that finds an entry.
struct Index(&'static str, &'static str, &'static str);

impl Index {
    /// Returns a query for whether one of the last 1000 entries is missing from the index.
    fn has_gap(&self) -> Sql {
        let Self(name, entries, same) = *self;
        Sql::from(
            "select exists (
                 select 1 from (select * from entries order by position desc limit 1000) as new where ",
        ) + entries
            + " and not exists (select 1 from entries as found indexed by "
            + name
            + " where "
            + same
            + " and found.position = new.position))"
    }
}

const INDEXES: [Index; 8] = [
    Index(
        "sqlite_autoindex_entries_1",
        "true",
        "found.billable_id = new.billable_id and found.kind = new.kind",
    ),
    Index(
        "entries_by_time",
        "true",
        "found.occurred_at = new.occurred_at and found.billable_id = new.billable_id",
    ),
    Index(
        "entries_by_account",
        "true",
        "coalesce(found.billed_account_id, found.account_id) is coalesce(new.billed_account_id, new.account_id)
         and found.occurred_at = new.occurred_at and found.billable_id = new.billable_id",
    ),
    Index(
        "entries_by_account_position",
        "true",
        "coalesce(found.billed_account_id, found.account_id) is coalesce(new.billed_account_id, new.account_id)",
    ),
    Index(
        "entries_by_customer",
        "true",
        "found.occurred_at / 86400000000 = new.occurred_at / 86400000000
         and coalesce(found.billed_customer_id, found.customer_id)
             is coalesce(new.billed_customer_id, new.customer_id)
         and found.occurred_at = new.occurred_at and found.billable_id = new.billable_id",
    ),
    Index(
        "entries_by_session",
        "new.session_id is not null",
        "found.session_id = new.session_id and found.session_id is not null
         and found.occurred_at = new.occurred_at and found.billable_id = new.billable_id",
    ),
    Index(
        "entries_by_call_prefix",
        "new.call_prefix is not null",
        "found.call_prefix = new.call_prefix and found.call_prefix is not null",
    ),
    Index(
        "entries_voided",
        "new.kind = 3",
        "found.kind = 3 and found.occurred_at = new.occurred_at and found.billable_id = new.billable_id",
    ),
];

/// A copy that was interrupted has entries, and heads at 0: [`crate::store::copy`].
const HEAD: &str = "select head.next_position > 1
         and head.next_position <= (select max(position) from entries)
     from log_heads as head";

const WATERMARK: &str = "select done.position > head.next_position - 1
     from log_heads as head join watermarks as done on done.partition = head.partition";

const GENERATIONS: &str =
    "select generation, previous_generation from log_heads where partition = 0";

/// Returns the generation in the file itself, whatever the WAL has; 0 if the file has none yet.
///
/// # Errors
/// The file could not be read, perhaps because another process is writing to it.
pub(super) async fn generation_in_file(path: &Path) -> Result<i64, sqlx::Error> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .immutable(true)
        .disable_statement_logging();
    let mut connection = options.connect().await?;
    let has_heads: bool =
        sqlx::query_scalar("select exists (select 1 from sqlite_schema where name = 'log_heads')")
            .fetch_one(&mut connection)
            .await?;
    let found: Option<(i64, i64)> = if has_heads {
        let found = sqlx::query_as(GENERATIONS).fetch_optional(&mut connection);
        found.await?
    } else {
        None
    };
    connection.close().await?;
    Ok(found.map_or(0, |(generation, _)| generation))
}

/// Returns whether the file has the generation of the WAL, or the one before it. Looks again for as
/// long as servers start, which change both.
async fn have_same_generation(
    connection: &mut SqliteConnection,
    path: &Path,
) -> Result<bool, sqlx::Error> {
    let mut seen = None;
    loop {
        let found: Option<(i64, i64)> = sqlx::query_as(GENERATIONS)
            .fetch_optional(&mut *connection)
            .await?;
        let Some((generation, previous)) = found else {
            return Ok(true);
        };
        if seen == found {
            return Ok(false);
        }
        match generation_in_file(path).await {
            Ok(in_file) if in_file != generation && in_file != previous => seen = found,
            // If the file cannot be read without its WAL, the other checks decide.
            _ => return Ok(true),
        }
    }
}

/// Returns what is wrong with the end of the log, if anything is.
pub(super) async fn find_fault(
    connection: &mut SqliteConnection,
    path: &Path,
) -> Result<Option<String>, sqlx::Error> {
    let names: Vec<String> =
        sqlx::query_scalar("select name from sqlite_schema where type in ('table', 'index')")
            .fetch_all(&mut *connection)
            .await?;
    let exists = |name: &str| names.iter().any(|known| known == name);
    // Files of other versions may lack some of these.
    if !["entries", "log_heads", "watermarks"]
        .iter()
        .all(|table| exists(table))
    {
        return Ok(None);
    }
    if !have_same_generation(connection, path).await? {
        return Ok(Some(
            "the file is not the one that the WAL was begun for".to_owned(),
        ));
    }
    let heads = [
        (HEAD, "the head is before the last entry"),
        (WATERMARK, "the watermark is after the head"),
    ];
    let indexes = INDEXES.iter().filter(|index| exists(index.0));
    let of_indexes = indexes.map(|index| {
        let fault = format!("an entry is missing from the index {}", index.0);
        (index.has_gap(), fault)
    });
    let of_heads = heads.map(|(statement, fault)| (Sql::from(statement), fault.to_owned()));
    for (statement, fault) in of_heads.into_iter().chain(of_indexes) {
        let is_wrong: Option<bool> = sqlx::query_scalar(statement)
            .fetch_optional(&mut *connection)
            .await?;
        if is_wrong == Some(true) {
            return Ok(Some(fault));
        }
    }
    Ok(None)
}
