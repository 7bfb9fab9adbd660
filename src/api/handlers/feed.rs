//! `GET /log`: the feed of entries, in commit order within each partition.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use tokio::time::{Instant, sleep_until};

use crate::api::caller::Caller;
use crate::api::handlers::list::{DEFAULT_LIMIT, page_of};
use crate::api::query::Query;
use crate::api::response_format::ResponseFormat;
use crate::api::{ApiError, App};
use crate::billable::{Field, LogPoint, Text, Timestamp};
use crate::formats::record::Record;
use crate::reader::{FeedPage, are_beyond, has_points, read_feed};
use crate::token::{Accounts, Scope};

/// The minimum time that an account-limited reader waits before it looks again for entries.
const PAUSE: Duration = Duration::from_millis(250);

/// Returns the entries after a cursor. With `wait`, waits until there are some.
pub(in crate::api) async fn read_log(
    State(app): State<App>,
    caller: Caller,
    response_format: ResponseFormat,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    caller.require(Scope::Read)?;
    let query = Query::parse(query.as_deref())?;
    let limit = query.limit()?.unwrap_or(DEFAULT_LIMIT);
    let deadline = Instant::now() + Duration::from_secs(query.wait()?);
    let account = query.field(Field::AccountId);
    let account = account.map_err(|error| ApiError::from(vec![error]))?;
    let mut caller = caller;
    let mut accounts = accounts_of(&caller, account.as_ref())?;
    let mut heads = app.store.heads(app.log).await?;
    let begun = match query.get("after") {
        Some(cursor) => app.cursors.open_feed(cursor)?,
        None => vec![LogPoint::default(); heads.len()],
    };
    let (FeedPage { entries, after }, permit) = loop {
        if are_beyond(&begun, &heads) {
            // Either these heads were read before this request began, or the log was truncated.
            heads = app.store.heads(app.log).await?;
            if are_beyond(&begun, &heads) {
                return Err(ApiError::CursorGone);
            }
        }
        let permit = app.reads.acquire(caller.client()).await?;
        let page = read_feed(&app.store, &accounts, &begun, &heads, limit).await?;
        if !page.entries.is_empty() || Instant::now() >= deadline || app.stop.is_cancelled() {
            break (page, permit);
        }
        drop(permit);
        if accounts.is_some() {
            // Other accounts may be busy: back off before looking again.
            sleep_until(deadline.min(Instant::now() + PAUSE)).await;
        }
        tokio::select! {
            said = app.writer.heads().other_than(&heads) => heads = said,
            () = sleep_until(deadline) => {}
            () = app.stop.cancelled() => {}
            () = caller.until_changed(&app.tokens) => {}
        }
        // What the token allows can change while the request waits.
        caller = caller.renewed(&app.tokens, Timestamp::now())?;
        accounts = accounts_of(&caller, account.as_ref())?;
    };
    // The log is checked after it was read, so that the page is of the log that the cursor is of.
    if !has_points(&app.store, &begun).await? {
        return Err(ApiError::CursorGone);
    }
    let next = app.cursors.seal_feed(&after)?;
    let is_limited = caller.accounts().is_some();
    let format = response_format.format;
    let entries = entries.into_iter().enumerate();
    let items = entries.map(move |(index, log_entry)| {
        let _held = &permit;
        Record::log_entry(&log_entry, is_limited).write_item(format, index == 0)
    });
    Ok(page_of(response_format, "LogEntry", items, Some(&next)))
}

/// Returns the accounts whose entries the caller gets; `None` for all.
fn accounts_of(caller: &Caller, asked: Option<&Text>) -> Result<Accounts, ApiError> {
    caller.require(Scope::Read)?;
    caller.require_account(asked)?;
    Ok(match asked {
        Some(account) => Some(Arc::from([account.as_str().to_owned()])),
        None => caller.accounts(),
    })
}
