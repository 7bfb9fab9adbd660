//! `GET /billing`: totals of whole days by customer, as in Evo Voice's `GetBilling`.

use axum::extract::{RawQuery, State};
use axum::response::Response;

use crate::api::caller::{Caller, account_required};
use crate::api::query::Query;
use crate::api::response_format::ResponseFormat;
use crate::api::{ApiError, App};
use crate::billable::Field;
use crate::formats::billing::{BillingCustomerInfo, BillingInfo};
use crate::reader::points_at;
use crate::token::Scope;
use crate::totals::{Days, DaysError, Total, TotalsOf, Zone, read_totals};

/// The maximum number of days with groupBy=day: ten years.
const MAX_DAYS: usize = 3660;

const BAD_DATE: &str = "must be a date from 1980-01-01 to 2999-12-31, such as 2026-03-01";

/// Returns the totals, which are exact up to the log position in `asOf`.
pub(in crate::api) async fn get_billing(
    State(app): State<App>,
    caller: Caller,
    response_format: ResponseFormat,
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
    let by_day = match query.get("groupBy") {
        None => false,
        Some("day") => true,
        Some(_) => return Err(ApiError::parameter("GroupBy", "must be day")),
    };
    let days = days(&query)?;
    if by_day && days.count() > MAX_DAYS {
        return Err(ApiError::parameter(
            "EndDate",
            format!("must not make the range longer than {MAX_DAYS} days with groupBy=day"),
        ));
    }
    let of = TotalsOf {
        days: &days,
        by_day,
        account: account.as_ref().map(|text| text.as_str()),
        customer: customer.as_ref().map(|text| text.as_str()),
        with_unattributed: !is_limited,
    };
    let permit = app.totals.acquire(caller.client()).await?;
    let totals = read_totals(&app.store, app.log, of)
        .await?
        .ok_or(ApiError::TooMuch(
            "the totals have too many rows for one response; request fewer days or one account",
        ))?;
    let as_of = points_at(&app.store, &totals.heads).await?;
    let dates: Vec<_> = if by_day {
        days.dates().map(|date| date.to_string()).collect()
    } else {
        Vec::new()
    };
    let has_account = account.is_some();
    let customers = totals.customers.into_iter().map(|total| {
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
    });
    let info = BillingInfo {
        account_id: account.map(|text| text.as_str().to_owned()),
        start_date: days.first().to_string(),
        end_date: days.last().to_string(),
        time_zone: days.zone().name().to_owned(),
        as_of: app.cursors.seal_feed(&as_of)?,
        customers: customers.collect(),
        unattributed_count: (!is_limited).then_some(totals.unattributed_count),
    };
    let pieces = info.pieces(response_format.format).inspect(move |_| {
        let _held = &permit;
    });
    Ok(response_format.pieces(pieces))
}

fn days(query: &Query) -> Result<Days, ApiError> {
    let zone = query.get("timeZone").unwrap_or("UTC");
    let zone = Zone::find(zone).ok_or_else(|| {
        ApiError::parameter(
            "TimeZone",
            "must be the name of an IANA time zone such as Europe/Rome",
        )
    })?;
    let date = |name: &'static str, parameter| {
        query
            .get(parameter)
            .ok_or_else(|| ApiError::parameter(name, BAD_DATE))
    };
    let (first, last) = (date("StartDate", "startDate")?, date("EndDate", "endDate")?);
    Days::parse(zone, first, last).map_err(|error| match error {
        DaysError::First => ApiError::parameter("StartDate", BAD_DATE),
        DaysError::Last => ApiError::parameter("EndDate", BAD_DATE),
        DaysError::Order => ApiError::parameter("EndDate", "must not be before startDate"),
    })
}
