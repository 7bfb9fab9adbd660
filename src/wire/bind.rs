//! Query strings: strict decoding, and binding to the fields of a report.

use percent_encoding::percent_decode_str;

use super::Malformed;
use crate::billable::{Field, Given, RawReport};

/// The decoded parameters of a query, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Decodes a query string: `&` separates, `+` is a blank, `%XX` a byte.
    ///
    /// # Errors
    /// The bytes are not UTF-8. Replacing them would bill somebody else.
    pub fn parse(query: &str) -> Result<Self, Malformed> {
        let decode = |text: &str| match percent_decode_str(&text.replace('+', " ")).decode_utf8() {
            Ok(text) => Ok(text.into_owned()),
            Err(_) => Err(Malformed("the query is not UTF-8".to_owned())),
        };
        let parameters = query
            .split('&')
            .filter(|parameter| !parameter.is_empty())
            .map(|parameter| {
                let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
                Ok((decode(name)?, decode(value)?))
            });
        Ok(Self(parameters.collect::<Result<_, _>>()?))
    }

    /// The first value of a parameter, whatever its letter case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| &**value)
    }

    /// Sets the fields that the query names over those of the body. Empty values are skipped;
    /// a repeated name gives its values joined with commas.
    pub fn bind_over(&self, report: &mut RawReport) {
        for field in Field::ALL {
            let named = self
                .0
                .iter()
                .filter(|(name, value)| Field::from_name(name) == Some(field) && !value.is_empty());
            let values: Vec<_> = named.map(|(_, value)| &**value).collect();
            if !values.is_empty() {
                report.set(field, Some(Given::Text(values.join(","))));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(query: &str, field: Field) -> Option<Given> {
        let mut report = RawReport::default();
        report.set(Field::SessionId, Some(Given::Text("body".to_owned())));
        Query::parse(query).expect("a query").bind_over(&mut report);
        report.get(field).cloned()
    }

    #[test]
    fn a_query_binds_over_the_body() {
        let text = |text: &str| Some(Given::Text(text.to_owned()));
        assert_eq!(
            bound("SESSIONID=S%2B1+x&other=1", Field::SessionId),
            text("S+1 x")
        );
        assert_eq!(bound("sessionId=", Field::SessionId), text("body"));
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
    fn a_query_that_is_not_utf8_is_refused() {
        assert!(Query::parse("callSid=%FF").is_err());
        assert!(Query::parse("%C3=1").is_err());
    }
}
