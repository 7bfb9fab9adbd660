//! The query parameters of reading routes, and the validation of most of them. Unknown parameters
//! are ignored, an empty one counts as absent, and the first value of a repeated one counts.

use crate::api::ApiError;
use crate::billable::{BillableState, Field, FieldError, Text, Timestamp};
use crate::formats::parameters::Parameters;
use crate::reader::Filter;

/// The longest wait of a feed reader, in seconds.
const MAX_WAIT: usize = 60;

/// The maximum number of items in a page.
const MAX_LIMIT: usize = 1000;

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

    /// Returns the filter of a list.
    pub(super) fn filter(&self) -> Result<Filter, ApiError> {
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
        Ok(Filter {
            account_id,
            customer_id,
            session_id,
            call_sid,
            from: self.timestamp("from", "From")?,
            to: self.timestamp("to", "To")?,
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
