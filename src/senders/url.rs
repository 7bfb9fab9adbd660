//! What a URL says about reports: their sender, whether only answered calls count, and fields.

use percent_encoding::percent_decode_str;
use strsim::damerau_levenshtein;

use super::file::Kind;
use super::profile::Profile;
use crate::billable::{Code, Field, FieldError, RawReport, RawValue, Text};
use crate::formats::ReadError;
use crate::formats::parameters::Parameters;
use crate::telemetry::printable;

/// The parameters of a URL that are no fields of a report.
pub const OWN_PARAMETERS: [&str; 6] = ["sender", "answered", "format", "jsconfig", "debug", "_"];

/// The parameters that say how a request is read.
const NAMING: [&str; 2] = ["sender", "answered"];

/// Why a URL is refused.
#[derive(Clone, Debug, thiserror::Error)]
pub enum UrlError {
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A parameter violates a rule. The name is in PascalCase.
    #[error("the URL's parameter {0} {1}")]
    Parameter(&'static str, String),
    /// There is no such parameter; the message is a sentence.
    #[error("{0}")]
    Unknown(String),
    #[error("{}", .0.message)]
    Field(FieldError),
}

/// How a URL says that its requests are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    pub sender: Option<String>,
    pub answered: Option<bool>,
}

impl Named {
    /// Reads the part of a query that the sender did not append. The rest need not be decodable.
    ///
    /// # Errors
    /// A parameter is empty, repeated or none of its values.
    pub fn of(own: &str) -> Result<Self, UrlError> {
        let rule = |name, rule: &str| Err(UrlError::Parameter(name, rule.to_owned()));
        let sender = match &*values(own, "sender") {
            [] => None,
            [name] if !name.is_empty() => Some(name.clone()),
            [_] => return rule("Sender", "must not be empty"),
            _ => return rule("Sender", "must be given only once"),
        };
        Ok(Self {
            sender,
            answered: Self::answered(own)?,
        })
    }

    /// Reads whether only answered calls count.
    ///
    /// # Errors
    /// The parameter is empty, repeated or none of its values.
    pub fn answered(own: &str) -> Result<Option<bool>, UrlError> {
        let rule = |rule: &str| Err(UrlError::Parameter("Answered", rule.to_owned()));
        match &*values(own, "answered") {
            [] => Ok(None),
            [text] => match &*text.to_ascii_lowercase() {
                "true" | "1" => Ok(Some(true)),
                "false" | "0" => Ok(Some(false)),
                _ => rule("must be true or false"),
            },
            _ => rule("must be given only once"),
        }
    }
}

/// Returns the decoded values of a parameter.
fn values(own: &str, wanted: &str) -> Vec<String> {
    let parameters = own.split('&').filter_map(|parameter| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let value = percent_decode_str(value).decode_utf8_lossy();
        name.eq_ignore_ascii_case(wanted)
            .then(|| value.into_owned())
    });
    parameters.collect()
}

impl Profile {
    /// Returns the fields of a report that the URL of a request gives.
    ///
    /// Where the sender writes its events into the query, only the account and the customer count: it
    /// may use the other names, too.
    ///
    /// # Errors
    /// The query is malformed, has a parameter that nobody reads, or a field twice or that cannot be
    /// stored.
    pub fn fields_of_url(&self, query: &str, kind: Kind) -> Result<RawReport, UrlError> {
        let query = Parameters::parse(self.split_query(query).0)?;
        for name in query.names() {
            if !self.reads_parameter(name) {
                refuse_unknown(name, kind == Kind::Query)?;
            }
        }
        let mut given = query.report();
        for field in Field::ALL {
            let error = |code, message| UrlError::Field(FieldError::new(field, code, message));
            let names_subject = matches!(field, Field::AccountId | Field::CustomerId);
            if kind == Kind::Query && !names_subject {
                given.set(field, None);
            } else if query.get_all(field.camel()).len() > 1 {
                let message = format!("the URL has more than one {}", field.camel());
                return Err(error(Code::Predicate, message));
            } else if let Some(RawValue::Text(text)) = given.get(field) {
                Text::parse(field, text.clone()).map_err(UrlError::Field)?;
            }
        }
        Ok(given)
    }
}

/// Checks the query of a hook, in which only `answered` counts: the sender may have put something of its
/// own there.
///
/// # Errors
/// The query is malformed, or has a parameter that is nearly the name of another one.
pub fn check_hook(profile: &Profile, query: &str) -> Result<(), UrlError> {
    let query = Parameters::parse(profile.split_query(query).0)?;
    let mut unread = query.names().filter(|name| !profile.reads_parameter(name));
    unread.try_for_each(|name| refuse_unknown(name, true))
}

/// Refuses a parameter that nobody reads.
///
/// It may be a misspelt one, without which calls are billed that should not be. Where the rest of the
/// query may be the sender's event, only what is nearly `sender` or `answered` is refused.
pub fn refuse_unknown(name: &str, may_be_event: bool) -> Result<(), UrlError> {
    let lower = name.to_ascii_lowercase();
    let mut own = OWN_PARAMETERS.iter();
    if own.any(|own| **own == *lower) || Field::from_name(name).is_some() {
        return Ok(());
    }
    let shown = printable(name, 40);
    if lower.starts_with("amp;") {
        return Err(UrlError::Unknown(format!(
            "there is no parameter {shown}: write & instead of &amp; in this URL"
        )));
    }
    let distance = |known: &&str| damerau_levenshtein(&shown.to_lowercase(), &known.to_lowercase());
    let is_near = |known: &&str| distance(known) == 1;
    if may_be_event && !NAMING.iter().any(is_near) {
        return Ok(());
    }
    let known = NAMING.into_iter().chain(Field::ALL.map(Field::camel));
    let nearest = known.min_by_key(distance).unwrap_or_default();
    Err(UrlError::Unknown(format!(
        "there is no parameter {shown}; did you mean {nearest}?"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_could_be_meant_otherwise_is_refused() {
        let named = |own: &str| {
            Named::of(own)
                .ok()
                .map(|named| (named.sender, named.answered))
        };
        let some = |name: &str| Some(name.to_owned());
        assert_eq!(named("a=1"), Some((None, None)));
        assert_eq!(
            named("SENDER=a%62&answered=True"),
            Some((some("ab"), Some(true)))
        );
        assert_eq!(named("answered=0"), Some((None, Some(false))));
        for own in [
            "sender=",
            "sender",
            "sender=a&sender=a",
            "answered=",
            "answered=yes",
            "answered=1&answered=1",
        ] {
            assert_eq!(named(own), None, "{own}");
        }
    }

    #[test]
    fn a_parameter_that_nobody_reads_is_refused_unless_it_may_be_an_event() {
        for name in ["answerd", "amp;answered", "Sendr"] {
            assert!(refuse_unknown(name, false).is_err(), "{name}");
            assert!(refuse_unknown(name, true).is_err(), "{name}");
        }
        for name in ["CallStatus", "AccountSid", "c"] {
            assert!(refuse_unknown(name, false).is_err(), "{name}");
            assert!(refuse_unknown(name, true).is_ok(), "{name}");
        }
        assert!(refuse_unknown("FORMAT", false).is_ok());
        assert!(refuse_unknown("callsid", false).is_ok());
    }
}
