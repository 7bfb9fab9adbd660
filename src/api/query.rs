//! The parameters of reading routes, each checked once. Unknown ones are ignored, an empty one is
//! not given, and of one that is repeated the first counts.

use crate::api::ApiError;
use crate::billable::{BillableState, Field, FieldError, Text, Timestamp};
use crate::formats::parameters::Parameters;
use crate::reader::Filter;

/// The longest that a reader of the feed may wait, in seconds.
const MAX_WAIT: usize = 60;

/// The most items of a page.
const MAX_LIMIT: usize = 1000;

/// A request's query.
pub(super) struct Query(Parameters);

impl Query {
    pub(super) fn parse(query: Option<&str>) -> Result<Self, ApiError> {
        Ok(Self(Parameters::parse(query.unwrap_or_default())?))
    }

    /// A parameter's value, if it is given.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).filter(|value| !value.is_empty())
    }

    /// A field of a report.
    pub(super) fn field(&self, field: Field) -> Result<Option<Text>, FieldError> {
        self.get(field.camel())
            .map(|value| Text::parse(field, value.to_owned()))
            .transpose()
    }

    /// The conditions of a list.
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
                    "must be an RFC 3339 timestamp such as 2026-03-01T09:30:00Z (a + in a query is %2B)",
                )
            })
        });
        timestamp.transpose()
    }

    /// How many items are wanted: 1 to 1000.
    pub(super) fn limit(&self) -> Result<Option<usize>, ApiError> {
        self.number("limit", "Limit", 1, MAX_LIMIT)
    }

    /// How long to wait for something, in seconds: 0 to 60.
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
