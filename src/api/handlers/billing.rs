//! `GET /billing`: totals of whole days by customer, as in Evo Voice's `GetBilling`. Totals that
//! do not fit into one page are written page by page, while the client reads.

use std::{iter, mem};

use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::Version;

use crate::api::caller::{Caller, account_required};
use crate::api::handlers::list::with_as_of;
use crate::api::handlers::stream;
use crate::api::query::Query;
use crate::api::response_format::ResponseFormat;
use crate::api::{ApiError, App, Cut};
use crate::billable::Field;
use crate::calendar::Days;
use crate::formats::Format;
use crate::formats::billing::{BillingCustomerInfo, BillingInfo, BillingWriter};
use crate::formats::csv::BYTE_ORDER_MARK;
use crate::reader::points_at;
use crate::token::Scope;
use crate::totals::{Total, TotalsOf, TotalsPages};

/// The maximum number of days with groupBy=day: ten years.
const MAX_DAYS: usize = 3660;

/// The size of a frame of totals that are written page by page, in bytes.
const FRAME: usize = 64 * 1024;

/// Returns the totals, which are exact up to the log position in `asOf`.
pub(in crate::api) async fn get_billing(
    State(app): State<App>,
    caller: Caller,
    response_format: ResponseFormat,
    cut: Option<Extension<Cut>>,
    version: Version,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    caller.require(Scope::Read)?;
    let query = Query::parse(query.as_deref())?;
    let field = |field| {
        query
            .field(field)
            .map_err(|error| ApiError::from(vec![error]))
    };
    let (account, customer) = (field(Field::AccountId)?, field(Field::CustomerId)?);
    caller.require_account(account.as_ref())?;
    let is_limited = caller.accounts().is_some();
    if account.is_none() && is_limited {
        return Err(vec![account_required()].into());
    }
    let (days, by_day) = days(&query, &app)?;
    let dates: Vec<_> = if by_day {
        days.dates().map(|date| date.to_string()).collect()
    } else {
        Vec::new()
    };
    let mut info = BillingInfo {
        account_id: account.as_ref().map(|text| text.as_str().to_owned()),
        start_date: days.first().to_string(),
        end_date: days.last().to_string(),
        time_zone: days.zone().name().to_owned(),
        as_of: String::new(),
    };
    let has_account = account.is_some();
    let of = TotalsOf {
        days,
        by_day,
        account,
        customer,
        with_unattributed: !is_limited,
    };
    let mut pages = TotalsPages::new(app.store.clone(), app.log, of);
    if let Some(as_of) = query.get("asOf") {
        let points = app.cursors.open_feed(as_of)?;
        let heads = app.store.heads(app.log).await?;
        pages = pages.at(app.check_cut(&points, &heads).await?);
    }
    let permit = app.totals.acquire(caller.client()).await?;
    let first = pages.next().await?;
    let points = points_at(&app.store, pages.cut()).await?;
    let as_of = app.cursors.seal_feed(&points)?;
    info.as_of.clone_from(&as_of);
    let format = response_format.format;
    let unattributed =
        move |pages: &TotalsPages| pages.unattributed_count().filter(|_| !is_limited);
    let mut writer = BillingWriter::new(info, format);
    let mark = if query.is_excel()? && format == Format::Csv {
        BYTE_ORDER_MARK
    } else {
        ""
    };
    let start = mark.to_owned() + &writer.start();
    if pages.are_done() {
        let rows = first.into_iter();
        let rows = rows.map(|total| writer.customer(&customer_info(total, has_account, &dates)));
        let rows: Vec<_> = rows.collect();
        let end = writer.end(unattributed(&pages));
        let pieces = iter::once(start).chain(rows).chain(iter::once(end));
        let response = response_format.pieces(pieces.inspect(move |_| {
            let _held = &permit;
        }));
        return Ok(with_as_of(response, &as_of));
    }
    // An HTTP/1.0 body ends with the connection, so a truncated one looks complete.
    if version < Version::HTTP_11 {
        return Err(ApiError::OldVersion);
    }
    drop(permit);
    let place = app.exports.acquire(caller.client()).await?;
    let cut = cut.map(|Extension(cut)| cut);
    let body = stream::body(&app, caller, cut, place, |output| async move {
        let mut page = Some(first);
        let mut text = start;
        while let Some(totals_of_page) = page {
            for total in totals_of_page {
                let customer = customer_info(total, has_account, &dates);
                text.push_str(&writer.customer(&customer));
                if text.len() >= FRAME && output.send(mem::take(&mut text)).await.is_err() {
                    return Ok(());
                }
            }
            page = if pages.are_done() {
                None
            } else {
                Some(pages.next().await?)
            };
        }
        text.push_str(&writer.end(unattributed(&pages)));
        if output.send(text).await.is_ok() {
            output.end(None).await;
        }
        Ok(())
    });
    Ok(with_as_of(response_format.text(body), &as_of))
}

fn customer_info(total: Total, has_account: bool, dates: &[String]) -> BillingCustomerInfo {
    let Total {
        day,
        account_id,
        customer_id,
        billable_count,
        voided_count,
    } = total;
    BillingCustomerInfo {
        account_id: (!has_account).then_some(account_id),
        customer_id,
        date: dates.get(day).cloned(),
        billable_count,
        voided_count,
    }
}

/// Returns the days of a total, and whether there is to be one for each.
fn days(query: &Query, app: &App) -> Result<(Days, bool), ApiError> {
    let by_day = match query.get("groupBy") {
        None => false,
        Some("day") => true,
        Some(_) => return Err(ApiError::parameter("GroupBy", "must be day")),
    };
    let days = query.days(&app.zone)?;
    if by_day && days.count() > MAX_DAYS {
        return Err(ApiError::parameter(
            "EndDate",
            format!("must not make the range longer than {MAX_DAYS} days with groupBy=day"),
        ));
    }
    Ok((days, by_day))
}
