//! Vendor formats: the records that FreeSWITCH and Twilio send.
//!
//! - FreeSWITCH's `mod_json_cdr` sends a call detail record: an object with a member `variables`,
//!   which contains the call's `uuid` and its start, as `start_uepoch` in microseconds since 1970
//!   and as `start_epoch` in seconds. The start is zero if the call never started. The values are
//!   percent-encoded strings. The module appends `?uuid=…` to its URL, even if the URL already has a
//!   query, and does not encode it.
//! - Twilio's status callback is a form with `CallSid` and `Timestamp`, a timestamp in the format
//!   of mail headers (RFC 2822).

use jiff::fmt::rfc2822;
use percent_encoding::percent_decode;
use serde::de::{IgnoredAny, MapAccess};
use serde_json::value::RawValue as RawJson;
use sha2::{Digest, Sha256};

use super::document::Item;
use super::json::visit::{FromMembers, Object, next_raw};
use super::parameters::Parameters;
use super::{ReadError, json, lossless};
use crate::billable::{Field, RawReport, RawValue, Text, Timestamp};

/// What FreeSWITCH appends to its URL, before the call's uuid.
const APPENDED: &str = "?uuid=";

/// Values from a vendor format, for the fields that the report leaves out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hints {
    pub(super) is_cdr: bool,
    call_sid: Option<RawValue>,
    occurred_at: Option<RawValue>,
}

impl Hints {
    /// Fills in the fields that the report leaves out. Returns whether the call is a hash, because
    /// its id cannot be stored: a caller who chooses it must not make the call free.
    pub(super) fn fill(self, report: &mut RawReport) -> bool {
        report.fill(Field::OccurredAt, self.occurred_at);
        if report.is_given(Field::CallSid) {
            return false;
        }
        let (call_sid, is_hash) = match self.call_sid.map(storable) {
            Some((call_sid, is_hash)) => (Some(call_sid), is_hash),
            None => (None, false),
        };
        report.set(Field::CallSid, call_sid);
        is_hash
    }

    /// Parses the query. If the body is a call detail record, what FreeSWITCH appended from the
    /// first `?uuid=` on is no part of it, whatever it holds: with the caller's Call-ID as the uuid,
    /// it is a text that the caller chose. It names the call if the record does not. Elsewhere a
    /// question mark is part of a value.
    pub(super) fn read_query(&mut self, query: &str) -> Result<Parameters, ReadError> {
        let appended = query.split_once(APPENDED).filter(|_| self.is_cdr);
        let Some((query, uuid)) = appended else {
            return Parameters::parse(query);
        };
        if self.call_sid.is_none() && !uuid.is_empty() {
            self.call_sid = Some(RawValue::Text(uuid.to_owned()));
        }
        Parameters::parse(query)
    }
}

/// Reads the hints in a report's member `variables`. The report is a call detail record only if the
/// member is an object.
pub(super) fn of_variables(value: &RawJson) -> serde_json::Result<Hints> {
    if !value.get().starts_with('{') {
        return Ok(Hints::default());
    }
    let Object(Variables {
        uuid,
        start_uepoch,
        start_epoch,
    }) = serde_json::from_str(value.get())?;
    let is_given = |value: &RawValue| !matches!(value, RawValue::Text(text) if text.is_empty());
    let is_set =
        |value: &RawValue| !matches!(value, RawValue::Text(text) if matches!(&**text, "" | "0"));
    let micros = start_uepoch.filter(is_set).map(|value| start(value, 1));
    let seconds = start_epoch.filter(is_set);
    Ok(Hints {
        is_cdr: true,
        call_sid: uuid.filter(is_given).map(decoded),
        occurred_at: micros.or_else(|| seconds.map(|value| start(value, 1_000_000))),
    })
}

/// Returns the id of a call as it is, or as `sha256:` and the hash of its bytes if it cannot be
/// stored, and whether it is the hash.
fn storable(call_sid: RawValue) -> (RawValue, bool) {
    let bytes = match call_sid {
        RawValue::Text(text)
            if Text::named("callSid", text.clone()).is_ok() && !text.trim().is_empty() =>
        {
            return (RawValue::Text(text), false);
        }
        RawValue::Text(text) => text.into_bytes(),
        RawValue::Bytes(bytes) => bytes.into_vec(),
        RawValue::Structure => return (call_sid, false),
    };
    let hash = Sha256::digest(&bytes);
    let hex = hash.iter().map(|byte| format!("{byte:02x}"));
    (
        RawValue::Text(format!("sha256:{}", hex.collect::<String>())),
        true,
    )
}

/// Decodes the percent-encoding that the module applies to the variables.
fn decoded(uuid: RawValue) -> RawValue {
    let bytes = match &uuid {
        RawValue::Text(text) => text.as_bytes(),
        RawValue::Bytes(bytes) => bytes,
        RawValue::Structure => return uuid,
    };
    lossless::value_of(percent_decode(bytes).collect())
}

/// Returns the time of so many units since 1970, each of so many microseconds. What is no such time
/// is returned as it is, and refused as the report's `occurredAt`.
fn start(value: RawValue, unit: i64) -> RawValue {
    let RawValue::Text(text) = &value else {
        return value;
    };
    let micros = text
        .parse()
        .ok()
        .and_then(|units: i64| units.checked_mul(unit));
    match micros.and_then(Timestamp::from_micros) {
        Some(at) => RawValue::Text(at.to_string()),
        None => value,
    }
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
    let occurred_at = timestamp.map(|text| {
        let mail = rfc2822::parse(text).ok();
        let mail = mail.and_then(|at| Timestamp::from_micros(at.timestamp().as_microsecond()));
        // Another form of time is read, or refused, as the report's `occurredAt`.
        RawValue::Text(mail.map_or_else(|| text.to_owned(), |at| at.to_string()))
    });
    Ok(Item {
        hints: Hints {
            occurred_at,
            ..Hints::default()
        },
        ..Item::default()
    })
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
            "uuid" => &mut self.uuid,
            "start_uepoch" => &mut self.start_uepoch,
            "start_epoch" => &mut self.start_epoch,
            _ => return map.next_value::<IgnoredAny>().map(|_| ()),
        };
        *slot = next_raw(map)?;
        Ok(())
    }
}
