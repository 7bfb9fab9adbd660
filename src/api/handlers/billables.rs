//! `GET /billables/{id}`: one billable with its state; `GET /billables/{id}/history`: its entries.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use crate::api::caller::Caller;
use crate::api::resource_id::ResourceId;
use crate::api::response_format::ResponseFormat;
use crate::api::{ApiError, App};
use crate::billable::entry::partition_of;
use crate::billable::{Billable, LogEntry};
use crate::formats::record::{Record, page};
use crate::token::Scope;

/// Returns one billable. A billable that the token may not see gets the same 404 as one that does
/// not exist.
pub(in crate::api) async fn get_billable(
    State(app): State<App>,
    caller: Caller,
    response_format: ResponseFormat,
    resource_id: ResourceId,
) -> Result<Response, ApiError> {
    caller.require(Scope::Read)?;
    let id = resource_id.or(None, "Id")?;
    let (billable, _) = find_billable(&app, &caller, &id).await?;
    let record = Record::billable(&billable);
    let record = match caller.accounts() {
        None => record.with_provenance(&billable),
        Some(_) => record,
    };
    Ok(response_format.record(record).into_response())
}

/// Returns the entries of a billable, the first one first.
pub(in crate::api) async fn get_history(
    State(app): State<App>,
    caller: Caller,
    response_format: ResponseFormat,
    resource_id: ResourceId,
) -> Result<Response, ApiError> {
    caller.require(Scope::Read)?;
    let id = resource_id.or(None, "Id")?;
    let (_, entries) = find_billable(&app, &caller, &id).await?;
    let (format, is_limited) = (response_format.format, caller.accounts().is_some());
    let items = entries.into_iter().enumerate().map(move |(index, entry)| {
        Record::log_entry(&entry, is_limited).write_item(format, index == 0)
    });
    Ok(response_format.pieces(page("LogEntry", items, None, None, format)))
}

/// Returns the billable with this id and its entries in the order of the log, if the caller may see it.
pub(in crate::api) async fn find_billable(
    app: &App,
    caller: &Caller,
    id: &str,
) -> Result<(Billable, Vec<LogEntry>), ApiError> {
    let id: Uuid = id.parse().map_err(|_| ApiError::NotFound)?;
    let partition = partition_of(id, app.log.partitions);
    let wanted = [(partition, id)];
    if let Some(accounts) = caller.accounts() {
        // Others' billables are left out by the same query as those that do not exist.
        let accounts: Vec<_> = accounts.iter().map(String::as_str).collect();
        let own = app.store.entries_find_of(&wanted, &accounts).await?;
        if own.is_empty() {
            return Err(ApiError::NotFound);
        }
    }
    let mut found = app.store.entries_find(&wanted).await?;
    found.sort_by_key(|log_entry| log_entry.position);
    let entries = found.iter().map(|log_entry| log_entry.entry.clone());
    let billable = Billable::assemble(entries)
        .remove(&id)
        .filter(|billable| caller.sees(billable));
    Ok((billable.ok_or(ApiError::NotFound)?, found))
}
