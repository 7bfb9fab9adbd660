//! Accounts and undecided sessions, from what the roller derives and the entries after its watermark.

use std::collections::{BTreeMap, BTreeSet};

use super::feed::by_partition;
use super::totals::roll::{CHANGES_UNDECIDED, UNDECIDED_DELTA};
use super::totals::{FEW, MAX_READ, QUARTER_HOUR, WATERMARKS, heads};
use crate::billable::{LogEntry, Timestamp};
use crate::store::LogInfo;
use crate::store::backend::Backend;
use crate::store::dialect::{Connector, Dialect};
use crate::store::error::StoreError;
use crate::store::query::{Statement, query};
use crate::store::row::{ENTRY_COLUMNS, EntryRow, log_entries};
use crate::store::sql::Sql;
use crate::store::table::Column;
use crate::token::Accounts;

/// The maximum number of sessions in one statement. With more, PostgreSQL may prefer to read the whole
/// log.
const SESSIONS: usize = 500;

/// A page of accounts or of undecided sessions, in the order of their ids.
#[derive(Clone, Debug)]
pub struct DerivedPage<'a> {
    /// Only ids after this.
    pub after: &'a str,
    /// Only these accounts, or what names one of them.
    pub accounts: Accounts,
    /// The maximum number of rows.
    pub limit: usize,
}

/// What an account has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRow {
    pub account_id: String,
    pub billable_count: i64,
    pub voided_count: i64,
    /// The times of the first and the last call, in microseconds since 1970.
    pub first_at: i64,
    pub last_at: i64,
}

/// A session with billables that bill nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UndecidedRow {
    pub session_id: String,
    pub billable_count: i64,
    /// The time of the first call, in microseconds since 1970; perhaps one that was attributed or
    /// voided since.
    pub first_at: i64,
    /// The account of the session's decision, if it is carried out: what is left contradicts it.
    pub decided_account: Option<String>,
}

/// What is read of a list of unattributed billables at once.
#[derive(Clone, Copy, Debug)]
pub struct UndecidedLookup<'a> {
    /// Only entries of calls at or after this timestamp.
    pub from: Timestamp,
    /// The last position of each partition.
    pub cut: &'a [i64],
    /// The maximum number of entries.
    pub limit: usize,
}

/// The counts of an account or a session.
#[derive(Clone, Debug, sqlx::FromRow)]
struct Counts {
    id: String,
    billable_count: i64,
    voided_count: i64,
    first_at: i64,
    last_at: i64,
}

/// The end of a statement that selects [`Counts`] of the entries of the partition `$3` after the
/// position `$4` and up to `$5`.
const OF_TAIL: &str =
    " from entries where partition = $3 and position > $4 and position <= $5 and ";

/// The condition for a column with one of the accounts `$parameter`, if the page is limited.
///
/// It is a condition of its own, and not one that a null parameter makes true, so that the indexes by
/// account serve it: what others have must not slow a limited client down.
fn limited<D: Dialect>(is_limited: bool, column: &'static str, parameter: i64) -> Sql {
    if is_limited {
        Sql::from(" and ") + column + " " + D::among(parameter)
    } else {
        Sql::from("")
    }
}

/// Selects the [`Counts`] of accounts after `$1`, at most `$2`: what is derived, limited to the
/// accounts `$3`, and what the entries of a partition add, limited to the accounts `$6`.
pub(in crate::store) fn of_accounts<D: Dialect>(is_limited: bool) -> (Sql, Sql) {
    let derived = Sql::from(
        "select account_id as id, cast(sum(billable_count) as bigint) as billable_count,
             cast(sum(voided_count) as bigint) as voided_count,
             min(first_at) as first_at, max(last_at) as last_at
         from account_totals where account_id > $1",
    ) + limited::<D>(is_limited, "account_id", 3)
        + " group by account_id order by account_id limit $2";
    let tail = Sql::from(
        "select billed_account_id as id, cast(sum(case when kind = 3 then -1 else 1 end) as bigint) as billable_count,
             cast(sum(case when kind = 3 then 1 else 0 end) as bigint) as voided_count,
             min(occurred_at) as first_at, max(occurred_at) as last_at",
    ) + OF_TAIL
        + "billed_account_id > $1"
        + limited::<D>(is_limited, OF_ENTRY, 6)
        + " group by billed_account_id order by billed_account_id limit $2";
    (derived, tail)
}

/// The account that an entry bills, or names while it bills none, as in the indexes by account.
const OF_ENTRY: &str = "coalesce(billed_account_id, account_id)";

/// Selects the [`Counts`] of undecided sessions like [`of_accounts`].
pub(in crate::store) fn of_sessions<D: Dialect>(is_limited: bool) -> (Sql, Sql) {
    let derived = Sql::from(
        "select session_id as id, cast(sum(billable_count) as bigint) as billable_count,
             cast(0 as bigint) as voided_count, min(first_at) as first_at, min(first_at) as last_at
         from undecided where session_id > $1",
    ) + limited::<D>(is_limited, "account_id", 3)
        + " group by session_id order by session_id limit $2";
    // What is attributed to an account that its report does not name was not counted for it.
    let is_named = if is_limited {
        " and account_id is not null"
    } else {
        ""
    };
    let tail = Sql::from("select session_id as id, cast(sum(")
        + UNDECIDED_DELTA
        + ") as bigint) as billable_count, cast(0 as bigint) as voided_count,
             min(occurred_at) as first_at, min(occurred_at) as last_at"
        + OF_TAIL
        + CHANGES_UNDECIDED
        + " and session_id > $1"
        + limited::<D>(is_limited, OF_ENTRY, 6)
        + is_named
        + " group by session_id order by session_id limit $2";
    (derived, tail)
}

/// Selects the sessions that may have unattributed billables at a cut other than the watermark `$2`.
pub(in crate::store) fn sessions_between() -> Sql {
    Sql::from(
        "select distinct session_id from entries where partition = $1 and position > $2 and position <= $3 and session_id is not null and ",
    ) + CHANGES_UNDECIDED
}

/// Selects the start of the newest quarter of an hour that starts before `$1` and has unattributed
/// billables, according to the buckets.
const NEWEST_BUCKET: &str = "select starts_at from buckets
     where level = 1 and account_id = '' and starts_at < $1 and billable_count > 0
     order by starts_at desc limit 1";

/// Selects the time of the newest call before `$4` among the entries of the partition `$1` after the
/// position `$2` and up to `$3` that change what is unattributed.
pub(in crate::store) fn newest_change() -> Sql {
    Sql::from(
        "select max(occurred_at) from entries where partition = $1 and position > $2 and position <= $3 and occurred_at < $4 and ",
    ) + CHANGES_UNDECIDED
}

/// Selects the entries of the sessions `$1` that were recorded without a pair.
///
/// The unary plus keeps the planners from the index by time.
pub(in crate::store) fn without_pair<D: Dialect>() -> Sql {
    Sql::from("select ")
        + ENTRY_COLUMNS
        + " from entries where session_id "
        + D::among(1)
        + " and kind = 1 and billed_account_id is null and +occurred_at >= $2 limit $3"
}

pub(super) const ACCOUNTS_WATERMARKS: &str = "select partition, accounts_position from watermarks";

impl<D: Dialect> Backend<D> {
    pub(in crate::store) async fn accounts_page(
        &self,
        log: LogInfo,
        page: &DerivedPage<'_>,
    ) -> Result<(Vec<AccountRow>, Option<String>), StoreError> {
        self.connector.check_files()?;
        let mut transaction = self.read.begin_with(D::BEGIN_SNAPSHOT).await?;
        let statements = of_accounts::<D>(page.accounts.is_some());
        let (counts, next) = counts::<D>(&mut transaction, log, statements, page).await?;
        transaction.commit().await?;
        let rows = counts.into_iter().map(|row| AccountRow {
            account_id: row.id,
            billable_count: row.billable_count,
            voided_count: row.voided_count,
            first_at: row.first_at,
            last_at: row.last_at,
        });
        Ok((rows.collect(), next))
    }

    pub(in crate::store) async fn undecided_page(
        &self,
        log: LogInfo,
        page: &DerivedPage<'_>,
    ) -> Result<(Vec<UndecidedRow>, Option<String>), StoreError> {
        self.connector.check_files()?;
        let mut transaction = self.read.begin_with(D::BEGIN_SNAPSHOT).await?;
        let statements = of_sessions::<D>(page.accounts.is_some());
        let (mut counts, next) = counts::<D>(&mut transaction, log, statements, page).await?;
        counts.retain(|row| row.billable_count > 0);
        let decided = Sql::from(
            "select session_id, account_id from sessions where is_complete and session_id ",
        ) + D::among(1);
        let decided: Vec<(String, String)> = query::<D>(decided)
            .bind_list(Column::texts(counts.iter().map(|row| &*row.id)))
            .fetch_all(&mut *transaction)
            .await?;
        transaction.commit().await?;
        let mut decided: BTreeMap<_, _> = decided.into_iter().collect();
        let rows = counts.into_iter().map(|row| UndecidedRow {
            decided_account: decided.remove(&row.id),
            session_id: row.id,
            billable_count: row.billable_count,
            first_at: row.first_at,
        });
        Ok((rows.collect(), next))
    }

    /// Finds the sessions that have unattributed billables now, or had them at the cut, and reads
    /// their entries.
    pub(in crate::store) async fn entries_undecided(
        &self,
        log: LogInfo,
        lookup: &UndecidedLookup<'_>,
    ) -> Result<Option<Vec<LogEntry>>, StoreError> {
        let most = i64::try_from(lookup.limit).unwrap_or(i64::MAX);
        let mut transaction = self.read.begin_with(D::BEGIN_SNAPSHOT).await?;
        let watermarks = accounts_watermarks::<D>(&mut transaction, log).await?;
        let ends = || lookup.cut.iter().zip(&watermarks);
        let between: i64 = ends().map(|(cut, watermark)| (cut - watermark).abs()).sum();
        if between > FEW {
            return Ok(None);
        }
        let derived = "select session_id, billable_count from undecided limit $1";
        let found: Vec<(String, i64)> = query::<D>(derived)
            .bind(most)
            .fetch_all(&mut *transaction)
            .await?;
        if found.iter().map(|(_, count)| count).sum::<i64>() >= most {
            return Ok(None);
        }
        let mut sessions: BTreeSet<String> = found.into_iter().map(|(id, _)| id).collect();
        for (partition, (cut, watermark)) in (0..).zip(ends()) {
            if cut != watermark {
                let found: Vec<(String,)> = query::<D>(sessions_between())
                    .bind(partition)
                    .bind(*cut.min(watermark))
                    .bind(*cut.max(watermark))
                    .fetch_all(&mut *transaction)
                    .await?;
                sessions.extend(found.into_iter().map(|(id,)| id));
            }
        }
        let sessions: Vec<_> = sessions.iter().map(String::as_str).collect();
        let mut rows: Vec<EntryRow> = Vec::new();
        for sessions in sessions.chunks(SESSIONS) {
            let found: Vec<EntryRow> = query::<D>(without_pair::<D>())
                .bind_list(Column::texts(sessions.iter().copied()))
                .bind(lookup.from.as_micros())
                .bind(most)
                .fetch_all(&mut *transaction)
                .await?;
            rows.extend(found);
            if rows.len() >= lookup.limit {
                return Ok(None);
            }
        }
        transaction.commit().await?;
        log_entries(rows).map(Some)
    }
}

impl<D: Dialect> Backend<D> {
    pub(in crate::store) async fn unattributed_end(
        &self,
        log: LogInfo,
        cut: &[i64],
        before: i64,
    ) -> Result<Option<i64>, StoreError> {
        let mut transaction = self.read.begin_with(D::BEGIN_SNAPSHOT).await?;
        let watermarks = query::<D>(WATERMARKS).fetch_all(&mut *transaction).await?;
        let watermarks = by_partition("watermarks", watermarks, log)?;
        let ends = || cut.iter().zip(&watermarks);
        let between: i64 = ends().map(|(cut, watermark)| (cut - watermark).abs()).sum();
        if between > FEW {
            return Ok(Some(before));
        }
        let bucket: Option<(i64,)> = query::<D>(NEWEST_BUCKET)
            .bind(before)
            .fetch_optional(&mut *transaction)
            .await?;
        let mut newest = bucket.map(|(starts_at,)| starts_at.saturating_add(QUARTER_HOUR));
        for (partition, (cut, watermark)) in (0_i32..).zip(ends()) {
            if cut != watermark {
                let (changed,): (Option<i64>,) = query::<D>(newest_change())
                    .bind(partition)
                    .bind(*cut.min(watermark))
                    .bind(*cut.max(watermark))
                    .bind(before)
                    .fetch_one(&mut *transaction)
                    .await?;
                newest = newest.max(changed.map(|at| at.saturating_add(1)));
            }
        }
        transaction.commit().await?;
        Ok(newest.map(|end| end.min(before)))
    }
}

async fn accounts_watermarks<D: Dialect>(
    connection: &mut D::Connection,
    log: LogInfo,
) -> Result<Vec<i64>, StoreError> {
    let rows = query::<D>(ACCOUNTS_WATERMARKS)
        .fetch_all(connection)
        .await?;
    by_partition("watermarks", rows, log)
}

/// Returns a page, exact up to the heads of the log, and the id to continue after if there may be
/// more.
async fn counts<D: Dialect>(
    connection: &mut D::Connection,
    log: LogInfo,
    (derived, tail): (Sql, Sql),
    page: &DerivedPage<'_>,
) -> Result<(Vec<Counts>, Option<String>), StoreError> {
    let heads = heads::<D>(&mut *connection, log).await?;
    let watermarks = accounts_watermarks::<D>(&mut *connection, log).await?;
    let ends = || heads.iter().zip(&watermarks);
    if ends()
        .map(|(head, watermark)| head - watermark)
        .sum::<i64>()
        > MAX_READ
    {
        return Err(StoreError::FarBehind);
    }
    let of_page = |statement: Sql| {
        query::<D>(statement)
            .bind(page.after)
            .bind(i64::try_from(page.limit).expect("a page is bounded"))
    };
    let of_accounts = |statement: Statement<D>| match &page.accounts {
        Some(accounts) => statement.bind_list(Column::texts(accounts.iter().map(String::as_str))),
        None => statement,
    };
    let mut sums: BTreeMap<String, Counts> = BTreeMap::new();
    let mut ends_at: Option<String> = None;
    let mut add = |found: Vec<Counts>| {
        // A full page may lack later ids, so the result ends where the first of them ends.
        if let Some(last) = found.last().filter(|_| found.len() >= page.limit) {
            let end = ends_at.take().unwrap_or_else(|| last.id.clone());
            ends_at = Some(end.min(last.id.clone()));
        }
        for row in found {
            let sum = sums.entry(row.id.clone()).or_insert(Counts {
                billable_count: 0,
                voided_count: 0,
                ..row.clone()
            });
            sum.billable_count += row.billable_count;
            sum.voided_count += row.voided_count;
            sum.first_at = sum.first_at.min(row.first_at);
            sum.last_at = sum.last_at.max(row.last_at);
        }
    };
    let found = of_accounts(of_page(derived)).fetch_all(&mut *connection);
    add(found.await?);
    for (partition, (head, watermark)) in (0_i32..).zip(ends()) {
        if watermark < head {
            let of_tail = of_page(tail.clone())
                .bind(partition)
                .bind(*watermark)
                .bind(*head);
            let found = of_accounts(of_tail).fetch_all(&mut *connection);
            add(found.await?);
        }
    }
    let counts = sums.into_values();
    let counts = counts.filter(|row| ends_at.as_ref().is_none_or(|end| row.id <= *end));
    Ok((counts.collect(), ends_at.clone()))
}
