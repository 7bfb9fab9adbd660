//! The query parameters of reading routes, and the validation of most of them. An empty parameter
//! counts as absent, and the first value of a repeated one counts.
//!
//! A resource route refuses parameters that it does not know: a misspelt filter would return, and
//! bill, what it should leave out.

use axum::extract::MatchedPath;
use http::Method;
use http::request::Parts;
use strsim::damerau_levenshtein;

use crate::api::ApiError;
use crate::api::path::RouteStyle;
use crate::billable::{BillableState, ClientName, Field, FieldError, Text, Timestamp};
use crate::calendar::{Days, DaysError, Period, Zone};
use crate::contract::types::Location;
use crate::contract::{OPERATIONS, routes};
use crate::formats::Format;
use crate::formats::negotiation::named;
use crate::formats::parameters::Parameters;
use crate::reader::Filter;
use crate::telemetry::printable;

/// The longest wait of a feed reader, in seconds.
const MAX_WAIT: usize = 60;

/// The maximum number of items in a page.
const MAX_LIMIT: usize = 1000;

/// Parameters that a resource route allows without reading them, as ServiceStack's clients and
/// scripts in browsers send them.
const IGNORED: [&str; 3] = ["jsconfig", "debug", "_"];

/// The longest name or value that a message repeats, in characters.
const MAX_SHOWN: usize = 40;

/// The longest range that is searched for a client or a time of storing: 366 days.
const MAX_SEARCHED: i64 = 366 * 86_400_000_000;

const BAD_DATE: &str = "must be a date from 1980-01-01 to 2999-12-31, such as 2026-03-01";

/// Refuses parameters, and formats, that a reading resource route does not know. Routes by name are
/// as lenient as ServiceStack's.
pub(super) fn refuse_unknown_parameters(head: &Parts) -> Result<(), ApiError> {
    let style = head.extensions.get::<RouteStyle>();
    let is_read = matches!(head.method, Method::GET | Method::HEAD);
    let route = head.extensions.get().map(MatchedPath::as_str);
    let mut operations = OPERATIONS.into_iter();
    let operation =
        operations.find(|one| one.method == Method::GET && Some(one.path) == route && is_read);
    // All that is in a hook's query is its sender's.
    let operation = operation.filter(|operation| operation.path != routes::HOOK);
    let (Some(operation), Some(RouteStyle::Resource { .. })) = (operation, style) else {
        return Ok(());
    };
    let query = Parameters::parse(head.uri.query().unwrap_or_default())?;
    let members = operation.members.iter();
    let known: Vec<_> = members
        .filter(|member| member.location == Location::Query)
        .map(|member| member.name)
        .chain(operation.has_formats().then_some("format"))
        .collect();
    for name in query.names() {
        let mut allowed = known.iter().chain(&IGNORED);
        if !allowed.any(|known| known.eq_ignore_ascii_case(name)) {
            return Err(unknown("parameter", name, &known));
        }
    }
    match query.get("format").filter(|format| !format.is_empty()) {
        Some(format) if named(format).is_none() => {
            let names = Format::ALL.map(Format::name);
            Err(unknown("format", format, &names))
        }
        _ => Ok(()),
    }
}

fn unknown(thing: &str, name: &str, known: &[&str]) -> ApiError {
    // Comparing takes the product of the lengths.
    let name = printable(name, MAX_SHOWN);
    let lower = name.to_lowercase();
    let distance = |known: &&&str| damerau_levenshtein(&lower, &known.to_lowercase());
    let nearest = known.iter().min_by_key(distance);
    let hint = match nearest {
        Some(nearest) => format!("did you mean {nearest}? Known are: {}", known.join(", ")),
        None => format!("this route has no {thing}s"),
    };
    ApiError::UnknownParameter(format!("there is no {thing} {name}; {hint}"))
}

fn bad_days(error: DaysError) -> ApiError {
    match error {
        DaysError::First => ApiError::parameter("StartDate", BAD_DATE),
        DaysError::Last => ApiError::parameter("EndDate", BAD_DATE),
        DaysError::Order => ApiError::parameter("EndDate", "must not be before startDate"),
    }
}

/// A request's query.
pub(super) struct Query(Parameters);

impl Query {
    pub(super) fn parse(query: Option<&str>) -> Result<Self, ApiError> {
        Ok(Self(Parameters::parse(query.unwrap_or_default())?))
    }

    /// Returns a parameter's value, if it is given.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).filter(|value| !value.is_empty())
    }

    /// Returns a parameter that is a field of a report.
    pub(super) fn field(&self, field: Field) -> Result<Option<Text>, FieldError> {
        self.get(field.camel())
            .map(|value| Text::parse(field, value.to_owned()))
            .transpose()
    }

    /// Returns the days of a total, which must be given. `zone` is theirs if none is given.
    pub(super) fn days(&self, zone: &Zone) -> Result<Days, ApiError> {
        let date = |name: &'static str, parameter| {
            self.get(parameter)
                .ok_or_else(|| ApiError::parameter(name, BAD_DATE))
        };
        let (first, last) = (date("StartDate", "startDate")?, date("EndDate", "endDate")?);
        Days::parse(self.zone(zone)?, first, last).map_err(bad_days)
    }

    /// Returns the time zone of days, `default` if none is given.
    pub(super) fn zone(&self, default: &Zone) -> Result<Zone, ApiError> {
        let Some(name) = self.get("timeZone") else {
            return Ok(default.clone());
        };
        Zone::find(name).ok_or_else(|| {
            ApiError::parameter(
                "TimeZone",
                "must be the name of an IANA time zone such as Europe/Rome",
            )
        })
    }

    /// Returns the range of time of a list, which is given as timestamps or as days.
    fn period(&self, zone: &Zone) -> Result<Period, ApiError> {
        let (first, last) = (self.get("startDate"), self.get("endDate"));
        if first.is_none() && last.is_none() {
            if self.get("timeZone").is_some() {
                let rule = "needs startDate or endDate: it says where their days begin";
                return Err(ApiError::parameter("TimeZone", rule));
            }
            return Ok(Period {
                from: self.timestamp("from", "From")?,
                to: self.timestamp("to", "To")?,
            });
        }
        for (name, shown) in [("from", "From"), ("to", "To")] {
            if self.get(name).is_some() {
                let rule = "must not be given with startDate or endDate";
                return Err(ApiError::parameter(shown, rule));
            }
        }
        Period::of_days(&self.zone(zone)?, first, last).map_err(bad_days)
    }

    /// Returns the filter of a list. `zone` is that of its days if none is given. The accounts of a
    /// limited caller narrow the list as a filter does.
    pub(super) fn filter(&self, zone: &Zone, is_limited: bool) -> Result<Filter, ApiError> {
        let mut errors = Vec::new();
        let mut field = |field| {
            self.field(field).unwrap_or_else(|error| {
                errors.push(error);
                None
            })
        };
        let [account_id, customer_id, session_id, call_sid] = [
            field(Field::AccountId),
            field(Field::CustomerId),
            field(Field::SessionId),
            field(Field::CallSid),
        ];
        if !errors.is_empty() {
            return Err(errors.into());
        }
        let state = self.get("state").map(|name| {
            BillableState::from_name(name).ok_or_else(|| {
                ApiError::parameter("State", "must be billable, unattributed or voided")
            })
        });
        let Period { from, to } = self.period(zone)?;
        let narrowing = [
            ("Client", self.get("client").is_some()),
            ("RecordedFrom", self.get("recordedFrom").is_some()),
            ("RecordedTo", self.get("recordedTo").is_some()),
        ];
        let narrowing = narrowing.into_iter().find(|(_, is_given)| *is_given);
        let is_narrow = [&account_id, &customer_id, &session_id, &call_sid]
            .into_iter()
            .any(Option::is_some);
        let days = from
            .zip(to)
            .map(|(from, to)| to.as_micros() - from.as_micros());
        let is_short = days.is_some_and(|micros| micros <= MAX_SEARCHED);
        if let Some((name, _)) = narrowing.filter(|_| !is_limited && !is_narrow && !is_short) {
            let rule = "needs accountId, customerId, sessionId, callSid, or a range of at most 366 days: no index has it";
            return Err(ApiError::parameter(name, rule));
        }
        let client = self.get("client").map(|name| {
            ClientName::parse(name)
                .ok_or_else(|| ApiError::parameter("Client", "must be the name of a client"))
        });
        Ok(Filter {
            client: client.transpose()?,
            recorded_from: self.timestamp("recordedFrom", "RecordedFrom")?,
            recorded_to: self.timestamp("recordedTo", "RecordedTo")?,
            account_id,
            customer_id,
            session_id,
            call_sid,
            from,
            to,
            state: state.transpose()?,
        })
    }

    fn timestamp(&self, name: &str, shown: &'static str) -> Result<Option<Timestamp>, ApiError> {
        let timestamp = self.get(name).map(|value| {
            Timestamp::parse(value).ok_or_else(|| {
                ApiError::parameter(
                    shown,
                    "must be an RFC 3339 timestamp such as 2026-03-01T09:30:00Z (escape + as %2B)",
                )
            })
        });
        timestamp.transpose()
    }

    /// Returns whether CSV is for a spreadsheet that reads a file as UTF-8 only with a byte order mark.
    pub(super) fn is_excel(&self) -> Result<bool, ApiError> {
        match self.get("excel").map(str::to_ascii_lowercase).as_deref() {
            None | Some("false" | "0") => Ok(false),
            Some("true" | "1") => Ok(true),
            Some(_) => Err(ApiError::parameter("Excel", "must be true or false")),
        }
    }

    /// Returns the number of items requested: 1 to 1000.
    pub(super) fn limit(&self) -> Result<Option<usize>, ApiError> {
        self.number("limit", "Limit", 1, MAX_LIMIT)
    }

    /// Returns how long to wait for new entries, in seconds: 0 to 60.
    pub(super) fn wait(&self) -> Result<u64, ApiError> {
        let wait = self.number("wait", "Wait", 0, MAX_WAIT)?;
        Ok(wait.unwrap_or_default() as u64)
    }

    fn number(
        &self,
        name: &str,
        shown: &'static str,
        least: usize,
        most: usize,
    ) -> Result<Option<usize>, ApiError> {
        let number = self.get(name).map(|value| {
            let number = value.parse().ok();
            number
                .filter(|number| (least..=most).contains(number))
                .ok_or_else(|| {
                    let rule = format!("must be a whole number from {least} to {most}");
                    ApiError::parameter(shown, rule)
                })
        });
        number.transpose()
    }
}
