//! `Prefer` (RFC 7240): whether the response contains the stored billables.

use http::{HeaderMap, HeaderName, HeaderValue};

const PREFER: HeaderName = HeaderName::from_static("prefer");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// The value of the `return` preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Return {
    Minimal,
    /// The billable, or the billables.
    Representation,
}

impl Return {
    /// Reads the `return` preference. The first one counts; other preferences are ignored.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let values = headers.get_all(PREFER).iter();
        let preferences = values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','));
        preferences
            .filter_map(|preference| preference.split(';').next()?.split_once('='))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case("return"))
            .and_then(|(_, value)| match value.trim().trim_matches('"') {
                "minimal" => Some(Self::Minimal),
                "representation" => Some(Self::Representation),
                _ => None,
            })
    }

    /// Returns the `Preference-Applied` header.
    pub(super) fn applied(self) -> (HeaderName, HeaderValue) {
        let value = match self {
            Self::Minimal => "return=minimal",
            Self::Representation => "return=representation",
        };
        (PREFERENCE_APPLIED, HeaderValue::from_static(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preferred(values: &[&'static str]) -> Option<Return> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(PREFER, HeaderValue::from_static(value));
        }
        Return::of(&headers)
    }

    #[test]
    fn the_first_return_counts() {
        assert_eq!(preferred(&["return=minimal"]), Some(Return::Minimal));
        assert_eq!(
            preferred(&["wait=5, Return = \"representation\"; x=1, return=minimal"]),
            Some(Return::Representation)
        );
        assert_eq!(
            preferred(&["respond-async", "return=minimal"]),
            Some(Return::Minimal)
        );
        assert_eq!(preferred(&["return=all"]), None);
        assert_eq!(preferred(&["return", ",;=,"]), None);
        assert_eq!(preferred(&[]), None);
    }
}
