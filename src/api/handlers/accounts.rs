//! `GET /accounts`: accounts with their first and last day and their counts.

use axum::extract::{RawQuery, State};
use axum::response::Response;

use crate::api::caller::Caller;
use crate::api::handlers::list::{of_ids, page_of};
use crate::api::query::Query;
use crate::api::response_format::ResponseFormat;
use crate::api::{ApiError, App};
use crate::formats::record::Record;
use crate::formats::value::Value;
use crate::store::{AccountRow, DerivedPage};
use crate::token::Scope;

/// Tells the cursors of this list from those of others.
const LIST: &[u8] = b"accounts";

pub(in crate::api) async fn list_accounts(
    State(app): State<App>,
    caller: Caller,
    response_format: ResponseFormat,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    caller.require(Scope::Read)?;
    let query = Query::parse(query.as_deref())?;
    let zone = query.zone(&app.zone)?;
    let (limit, after) = of_ids(&app, &query, LIST)?;
    let permit = app.reads.acquire(caller.client()).await?;
    let page = DerivedPage {
        after: &after,
        accounts: caller.accounts(),
        limit,
    };
    let (accounts, next) = app.store.accounts_page(app.log, &page).await?;
    let next = next.map(|id| app.cursors.seal_id(LIST, &id)).transpose()?;
    let format = response_format.format;
    let items = accounts
        .into_iter()
        .enumerate()
        .map(move |(index, account)| {
            let _held = &permit;
            let AccountRow {
                account_id,
                billable_count,
                voided_count,
                first_at,
                last_at,
            } = account;
            let members = vec![
                ("accountId", Value::text(Some(account_id))),
                ("firstDay", Value::text(Some(zone.day_of(first_at)))),
                ("lastDay", Value::text(Some(zone.day_of(last_at)))),
                ("billableCount", Value::Number(billable_count)),
                ("voidedCount", Value::Number(voided_count)),
            ];
            Record::new("Account", members).write_item(format, index == 0)
        });
    Ok(page_of(response_format, "Account", items, next.as_deref()))
}
