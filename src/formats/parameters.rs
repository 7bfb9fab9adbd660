//! Query strings and url-encoded forms: strict decoding, and binding to a report's fields.

use std::borrow::Cow;

use memchr::{memchr, memchr2};
use percent_encoding::percent_decode;

use super::ReadError;
use super::lossless::Decoder;
use crate::billable::{Field, RawReport};

/// The maximum number of query parameters or form fields. Each takes more memory than its text.
const MAX_PARAMETERS: usize = 1000;

/// The decoded parameters of a query or the fields of a form, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Decodes a query: `&` separates parameters, `+` is a space, `%XX` is a byte.
    ///
    /// # Errors
    /// There are too many parameters, or the bytes are not UTF-8. Replacing invalid bytes could
    /// bill the wrong account.
    pub fn parse(query: &str) -> Result<Self, ReadError> {
        Self::decode(query.as_bytes(), |bytes| {
            String::from_utf8(bytes)
                .map_err(|_| ReadError::Malformed("the query is not valid UTF-8".to_owned()))
        })
    }

    /// Works like [`Self::parse`], for a form, whose fields are read by [`Decoder::decode`].
    ///
    /// # Errors
    /// There are too many fields.
    pub(super) fn parse_form(form: &[u8], decoder: &mut Decoder) -> Result<Self, ReadError> {
        Self::decode(form, |bytes| Ok(decoder.decode_owned(bytes)))
    }

    fn decode(
        text: &[u8],
        mut read: impl FnMut(Vec<u8>) -> Result<String, ReadError>,
    ) -> Result<Self, ReadError> {
        let mut decode = |text: &[u8]| {
            if memchr2(b'%', b'+', text).is_none() {
                return read(text.to_vec());
            }
            let mut spaced = text.to_vec();
            for byte in spaced.iter_mut().filter(|byte| **byte == b'+') {
                *byte = b' ';
            }
            read(Cow::from(percent_decode(&spaced)).into_owned())
        };
        let mut parsed = Vec::new();
        for parameter in text.split(|byte| *byte == b'&') {
            if parameter.is_empty() {
                continue;
            }
            if parsed.len() == MAX_PARAMETERS {
                let reason = format!("the query or form has more than {MAX_PARAMETERS} fields");
                return Err(ReadError::Malformed(reason));
            }
            let equals = memchr(b'=', parameter).unwrap_or(parameter.len());
            let (name, value) = parameter.split_at(equals);
            parsed.push((decode(name)?, decode(value.get(1..).unwrap_or_default())?));
        }
        Ok(Self(parsed))
    }

    /// Returns the first value of a parameter. The name is case-insensitive.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| &**value)
    }

    /// Returns the names of all parameters, as sent.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| &**name)
    }

    /// Returns every value of a parameter, in order.
    pub(crate) fn get_all(&self, name: &str) -> Vec<&str> {
        let named = self.0.iter();
        named
            .filter(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| &**value)
            .collect()
    }

    pub(super) fn push(&mut self, name: String, value: String) {
        self.0.push((name, value));
    }

    /// Returns the parameters as a report. Empty values are skipped. The values of a repeated name
    /// are joined with commas.
    pub fn report(&self) -> RawReport {
        let mut report = RawReport::default();
        for (name, value) in self.0.iter().filter(|(_, value)| !value.is_empty()) {
            if let Some(field) = Field::from_name(name) {
                report.append(field, value);
            }
        }
        report
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::billable::RawValue;

    fn bound(query: &str, field: Field) -> Option<RawValue> {
        let report = Parameters::parse(query).expect("a query").report();
        report.get(field).cloned()
    }

    #[test]
    fn parameters_bind_in_any_case() {
        let text = |text: &str| Some(RawValue::Text(text.to_owned()));
        assert_eq!(
            bound("SESSIONID=S%2B1+x&other=1", Field::SessionId),
            text("S+1 x")
        );
        assert_eq!(bound("sessionId=", Field::SessionId), None);
        assert_eq!(
            bound("callSid=a&callsid=b&callSid", Field::CallSid),
            text("a,b")
        );
        assert_eq!(bound("account_id=a", Field::AccountId), None);
        assert_eq!(
            bound("callSid=%F0%9F%98%80%2", Field::CallSid),
            text("😀%2")
        );
    }

    #[test]
    fn a_query_that_is_not_utf8_or_too_long_is_refused() {
        assert!(Parameters::parse(&"&a&".repeat(1000)).is_ok());
        assert!(Parameters::parse(&"&a&".repeat(1001)).is_err());
        assert!(Parameters::parse("callSid=%FF").is_err());
        assert!(Parameters::parse("%C3=1").is_err());
    }
}
