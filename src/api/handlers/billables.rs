//! `GET /billables/{id}`: one billable with its state.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use crate::api::caller::Caller;
use crate::api::resource_id::ResourceId;
use crate::api::response_format::ResponseFormat;
use crate::api::{ApiError, App};
use crate::billable::Billable;
use crate::billable::entry::partition_of;
use crate::formats::record::Record;
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
    let billable = find_billable(&app, &caller, &resource_id.or(None, "Id")?).await?;
    Ok(response_format
        .record(Record::billable(&billable))
        .into_response())
}

/// Returns the billable with this id, if the caller may see it.
pub(in crate::api) async fn find_billable(
    app: &App,
    caller: &Caller,
    id: &str,
) -> Result<Billable, ApiError> {
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
    let found = app.store.entries_find(&wanted).await?;
    let billable = Billable::assemble(found.into_iter().map(|log_entry| log_entry.entry))
        .remove(&id)
        .filter(|billable| caller.sees(billable));
    billable.ok_or(ApiError::NotFound)
}
