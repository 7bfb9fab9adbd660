//! `GET /billables`: pages of billables, newest first, as of the cut that the first page fixes. In row
//! formats (CSV, NDJSON) it streams all billables that match, up to `limit` if one is given.

use std::time::Duration;

use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, Version};
use tokio::time::Instant;

use crate::api::caller::Caller;
use crate::api::handlers::export;
use crate::api::query::Query;
use crate::api::response_format::ResponseFormat;
use crate::api::{ApiError, App, Cut};
use crate::formats::record::{Record, page};
use crate::reader::{List, points_at};
use crate::token::Scope;

/// The number of items in a page if the client gives no limit.
pub(in crate::api) const DEFAULT_LIMIT: usize = 100;

/// The cut of the log that a list is of.
const AS_OF: HeaderName = HeaderName::from_static("as-of");

/// The cursor of the next page. Sent in every format, because some have no room for it in the body.
const NEXT_CURSOR: HeaderName = HeaderName::from_static("next-cursor");

/// How long to search for one page; a page that is short because few billables match has a cursor
/// that continues the search.
const PAGE_TIMEOUT: Duration = Duration::from_secs(5);

pub(in crate::api) async fn list_billables(
    State(app): State<App>,
    caller: Caller,
    response_format: ResponseFormat,
    cut: Option<Extension<Cut>>,
    version: Version,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    caller.require(Scope::Read)?;
    let query = Query::parse(query.as_deref())?;
    let is_limited = caller.accounts().is_some();
    if is_limited && query.get("client").is_some() {
        return Err(ApiError::Limited);
    }
    let filter = query.filter(&app.zone, is_limited)?;
    let limit = query.limit()?;
    caller.require_account(filter.account_id.as_ref())?;
    let mut list = List::begin(
        app.store.clone(),
        app.log,
        filter.clone(),
        caller.accounts(),
    )
    .await?;
    let points = match (query.get("asOf"), query.get("cursor")) {
        (Some(_), Some(_)) => {
            // Comparing the two would tell whether anything was written between them.
            let rule = "must not be given with cursor, which has its cut";
            return Err(ApiError::parameter("AsOf", rule));
        }
        (Some(as_of), None) => Some(app.cursors.open_feed(as_of)?),
        (None, Some(cursor)) => {
            let (points, after) = app.cursors.open_list(&filter, cursor)?;
            list = list.resumed(after);
            Some(points)
        }
        (None, None) => None,
    };
    let points = match points {
        Some(points) => {
            let cut = app.check_cut(&points, list.cut()).await?;
            list = list.at(cut);
            points
        }
        None => points_at(&app.store, list.cut()).await?,
    };
    let as_of = app.cursors.seal_feed(&points)?;
    let is_lookup =
        filter.call_sid.is_some() || (filter.session_id.is_some() && caller.accounts().is_some());
    let _lookup = if is_lookup {
        Some(app.lookups.acquire(caller.client()).await?)
    } else {
        None
    };
    if response_format.format.is_rows() {
        // An HTTP/1.0 body ends with the connection, so a truncated one looks complete.
        if version < Version::HTTP_11 {
            return Err(ApiError::OldVersion);
        }
        let cut = cut.map(|Extension(cut)| cut);
        let stream = export::stream(
            &app,
            caller,
            cut,
            list,
            limit,
            response_format,
            query.is_excel()?,
            &headers,
        );
        return Ok(with_as_of(stream.await?, &as_of));
    }
    let permit = app.reads.acquire(caller.client()).await?;
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    let started = Instant::now();
    let mut billables = Vec::new();
    while billables.len() < limit && list.after().is_some() && started.elapsed() < PAGE_TIMEOUT {
        billables.extend(list.read(limit - billables.len()).await?);
    }
    let next = match list.after() {
        Some(after) => Some(app.cursors.seal_list(&filter, &points, after)?),
        None => None,
    };
    let format = response_format.format;
    let items = billables
        .into_iter()
        .enumerate()
        .map(move |(index, billable)| {
            let _held = &permit;
            Record::billable(&billable).write_item(format, index == 0)
        });
    let pieces = page("Billable", items, next.as_deref(), Some(&as_of), format);
    Ok(with_as_of(response_format.pieces(pieces), &as_of))
}

/// Returns what `limit` and `cursor` ask of a list in the order of ids: the number of items, and the
/// id to continue after. `list` tells the cursors of lists apart.
pub(in crate::api) fn of_ids(
    app: &App,
    query: &Query,
    list: &[u8],
) -> Result<(usize, String), ApiError> {
    let after = match query.get("cursor") {
        Some(cursor) => app.cursors.open_id(list, cursor)?,
        None => String::new(),
    };
    Ok((query.limit()?.unwrap_or(DEFAULT_LIMIT), after))
}

/// Returns a page of a list with its cursor also in a header, because some formats have no room for
/// it.
pub(in crate::api) fn page_of(
    response_format: ResponseFormat,
    name: &str,
    items: impl Iterator<Item = String> + Send + 'static,
    next: Option<&str>,
) -> Response {
    let pieces = page(name, items, next, None, response_format.format);
    let mut response = response_format.pieces(pieces);
    if let Some(next) = next {
        let value = HeaderValue::from_str(next).expect("base64 is visible ASCII");
        response.headers_mut().insert(NEXT_CURSOR, value);
    }
    response
}

/// Adds the cut of a list, which some formats have no room for.
pub(in crate::api) fn with_as_of(mut response: Response, as_of: &str) -> Response {
    let value = HeaderValue::from_str(as_of).expect("base64 is visible ASCII");
    response.headers_mut().insert(AS_OF, value);
    response
}
