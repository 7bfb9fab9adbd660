//! Vendor formats: the records that FreeSWITCH and Twilio send.
//!
//! - FreeSWITCH's `mod_json_cdr` sends a call detail record: an object with a member `variables`,
//!   which contains the call's `uuid` and its start, as `start_uepoch` in microseconds since 1970
//!   and as `start_epoch` in seconds. The start is zero if the call never started. The values are
//!   strings. The module appends `?uuid=…` to its URL, even if the URL already has a query.
//! - Twilio's status callback is a form with `CallSid` and `Timestamp`, a timestamp in the format
//!   of mail headers (RFC 2822).

use jiff::fmt::rfc2822;
use serde::de::MapAccess;
use serde_json::value::RawValue as RawJson;

use super::ReadError;
use super::document::Item;
use super::json;
use super::json::visit::{FromMembers, Object, Skipped, next_raw};
use super::parameters::Parameters;
use crate::billable::{Field, RawReport, RawValue, Timestamp};

/// The parameter that FreeSWITCH appends.
const UUID: &str = "uuid";

/// Values from a vendor format, for the fields that the report leaves out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hints {
    pub(super) is_cdr: bool,
    call_sid: Option<RawValue>,
    occurred_at: Option<Timestamp>,
}

impl Hints {
    /// Fills in the fields that the report leaves out.
    pub(super) fn fill(self, report: &mut RawReport) {
        let occurred_at = self.occurred_at.map(|at| RawValue::Text(at.to_string()));
        report.fill(Field::CallSid, self.call_sid);
        report.fill(Field::OccurredAt, occurred_at);
    }

    /// Parses the query. If the body is a call detail record, the appended `?uuid=…` is read as a
    /// parameter, which names the call if the record does not. Elsewhere a question mark is part of
    /// a value.
    pub(super) fn read_query(&mut self, query: &str) -> Result<Parameters, ReadError> {
        if !self.is_cdr {
            return Parameters::parse(query);
        }
        let appended = query.rfind("?uuid=").map(|at| query.split_at(at));
        let parameters = match appended {
            Some((own, appended)) => Parameters::parse(&format!("{own}&{}", &appended[1..])),
            None => Parameters::parse(query),
        }?;
        if self.call_sid.is_none() {
            self.call_sid = parameters
                .get(UUID)
                .map(|uuid| RawValue::Text(uuid.to_owned()));
        }
        Ok(parameters)
    }
}

/// Reads the hints in a report's member `variables`. The report is a call detail record only if the
/// member is an object.
pub(super) fn of_variables(value: &RawJson) -> serde_json::Result<Hints> {
    if !value.get().starts_with('{') {
        return serde_json::from_str::<Skipped>(value.get()).map(|_| Hints::default());
    }
    let Object(Variables {
        uuid,
        start_uepoch,
        start_epoch,
    }) = serde_json::from_str(value.get())?;
    let micros = number(start_uepoch).or_else(|| number(start_epoch)?.checked_mul(1_000_000));
    Ok(Hints {
        is_cdr: true,
        call_sid: uuid,
        occurred_at: micros.and_then(Timestamp::from_micros),
    })
}

/// Reads the vendor data in a form: the record in `cdr`, or the time of a Twilio callback.
pub(super) fn of_form(form: &Parameters) -> Result<Item, ReadError> {
    match *form.get_all("cdr") {
        [] => {}
        [cdr] => return json::read_object(cdr),
        _ => {
            let reason = "the form has more than one cdr field".to_owned();
            return Err(ReadError::Malformed(reason));
        }
    }
    let timestamp = form.get(Field::CallSid.camel()).and(form.get("Timestamp"));
    let occurred_at = timestamp.and_then(|text| rfc2822::parse(text).ok());
    let hints = Hints {
        occurred_at: occurred_at
            .and_then(|at| Timestamp::from_micros(at.timestamp().as_microsecond())),
        ..Hints::default()
    };
    Ok(Item {
        hints,
        ..Item::default()
    })
}

/// Parses a number above zero.
fn number(value: Option<RawValue>) -> Option<i64> {
    match value? {
        RawValue::Text(text) => text.parse().ok().filter(|number| *number > 0),
        RawValue::Structure => None,
    }
}

#[derive(Default)]
struct Variables {
    uuid: Option<RawValue>,
    start_uepoch: Option<RawValue>,
    start_epoch: Option<RawValue>,
}

impl FromMembers for Variables {
    fn take<'de, A: MapAccess<'de>>(&mut self, name: String, map: &mut A) -> Result<(), A::Error> {
        let slot = match &*name {
            UUID => &mut self.uuid,
            "start_uepoch" => &mut self.start_uepoch,
            "start_epoch" => &mut self.start_epoch,
            _ => return map.next_value::<Skipped>().map(|_| ()),
        };
        *slot = next_raw(map)?;
        Ok(())
    }
}
