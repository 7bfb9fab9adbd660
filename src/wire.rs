//! The formats: which one a body is in, which one an answer gets, and how each is read and
//! written. Knows no routes and no status codes.

pub mod bind;
pub mod json;
pub mod record;
pub mod status;
pub mod xml;

use crate::billable::RawReport;

/// A format of bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JSON.
    Json,
    /// XML as .NET's data contracts have it.
    Xml,
}

/// A body is not what its format says. The text is safe to show to the caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub String);

/// A `Content-Type` that is no format of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsupported;

impl Format {
    /// Every format, the one that the server prefers first.
    pub const ALL: [Self; 2] = [Self::Json, Self::Xml];

    /// The name in suffixes and in `?format=`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Xml => "xml",
        }
    }

    /// The format of that name; letter case counts.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// As the `Content-Type` of an answer has it.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json; charset=utf-8",
            Self::Xml => "application/xml",
        }
    }

    /// The media types that mean this format, the canonical one first.
    fn media_types(self) -> [&'static str; 2] {
        match self {
            Self::Json => ["application/json", "text/json"],
            Self::Xml => ["application/xml", "text/xml"],
        }
    }

    /// The format of a request by its `Content-Type`, parameters and letter case aside.
    pub fn from_content_type(content_type: &str) -> Option<Self> {
        let essence = essence(content_type);
        Self::ALL.into_iter().find(|format| {
            let is_suffixed = essence
                .rsplit_once('+')
                .is_some_and(|(_, suffix)| suffix == format.name());
            is_suffixed || format.media_types().contains(&&*essence)
        })
    }

    /// Reads a report. An empty body is a report without fields.
    ///
    /// # Errors
    /// The body is not of this format.
    pub fn read_report(self, body: &str) -> Result<RawReport, Malformed> {
        match (self, body) {
            (_, "") => Ok(RawReport::default()),
            (Self::Json, body) => json::read_report(body),
            (Self::Xml, body) => xml::read_report(body),
        }
    }
}

/// The format of a request body: by its label, else by its first character that is not blank.
///
/// # Errors
/// The label is none of ours or names another character encoding than UTF-8, or there is
/// no label and the body is neither JSON nor XML.
pub fn body_format(content_type: Option<&str>, body: &str) -> Result<Format, Unsupported> {
    if body.is_empty() {
        return Ok(Format::Json);
    }
    match content_type {
        Some(label) if is_utf8(label) => Format::from_content_type(label).ok_or(Unsupported),
        Some(_) => Err(Unsupported),
        None => match body.trim_start().chars().next() {
            Some('{' | '[') => Ok(Format::Json),
            Some('<') => Ok(Format::Xml),
            _ => Err(Unsupported),
        },
    }
}

/// A body's text: valid UTF-8, a byte order mark dropped.
///
/// # Errors
/// It is not UTF-8.
pub fn text(body: &[u8]) -> Result<&str, Malformed> {
    let text = std::str::from_utf8(body).map_err(|error| {
        Malformed(format!(
            "the body is not UTF-8: the byte at offset {} is no part of it",
            error.valid_up_to()
        ))
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// What a request says about the format of its answer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wishes<'a> {
    /// The format suffix of the path.
    pub suffix: Option<Format>,
    /// The value of `?format=`.
    pub format: Option<&'a str>,
    /// The values of `Accept`, joined with commas.
    pub accept: Option<&'a str>,
    /// The format of the request's own body.
    pub request: Option<Format>,
}

/// The format of an answer: suffix, then `?format=`, then `Accept` with its weights, then the
/// request's own, then JSON. Nothing is ever refused for its `Accept`.
pub fn negotiate(wishes: Wishes<'_>) -> Format {
    let Wishes {
        suffix,
        format,
        accept,
        request,
    } = wishes;
    let named = || {
        let value = format?.split('.').next()?.to_ascii_lowercase();
        Format::from_name(&value)
    };
    suffix
        .or_else(named)
        .or_else(|| accepted(accept?, request))
        .or(request)
        .unwrap_or(Format::Json)
}

/// The format that `Accept` gives the highest weight. Among equals the one that is named more
/// precisely, then the request's own, then the server's order.
fn accepted(accept: &str, request: Option<Format>) -> Option<Format> {
    let ranges: Vec<(String, u16)> = accept
        .split(',')
        .map(|range| (essence(range), weight(range)))
        .collect();
    let rank = |format: Format| {
        let precision = |range: &str| match range {
            "*/*" => Some(1),
            "application/*" | "text/*" => Some(2),
            range => format.media_types().contains(&range).then_some(3),
        };
        // RFC 9110, 12.5.1: the most precise range that matches gives the weight.
        let matches = ranges
            .iter()
            .filter_map(|(range, weight)| Some((precision(range)?, *weight)));
        let (precision, weight) = matches.max()?;
        (weight > 0).then_some((weight, precision, request == Some(format)))
    };
    let ranked = Format::ALL
        .into_iter()
        .rev()
        .filter_map(|format| Some((rank(format)?, format)));
    ranked
        .max_by_key(|(rank, _)| *rank)
        .map(|(_, format)| format)
}

/// A media type or range without parameters, in lower case.
fn essence(value: &str) -> String {
    value
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase()
}

/// A range's weight in thousandths; one that cannot be read counts as 1.
fn weight(range: &str) -> u16 {
    let weight = range.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("q")
            .then(|| value.trim().parse::<f32>().ok())?
    });
    // Between 0 and 1000 by the clamp, so the cast keeps the value.
    weight.map_or(1000, |weight| {
        (weight.clamp(0.0, 1.0) * 1000.0).round() as u16
    })
}

/// Whether a label leaves the encoding open or names UTF-8 or its subset US-ASCII.
fn is_utf8(content_type: &str) -> bool {
    content_type
        .split(';')
        .skip(1)
        .all(|parameter| match parameter.split_once('=') {
            Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
                let value = value.trim().trim_matches('"');
                ["utf-8", "utf8", "us-ascii"]
                    .iter()
                    .any(|known| value.eq_ignore_ascii_case(known))
            }
            _ => true,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(accept: &str, request: Option<Format>) -> Format {
        negotiate(Wishes {
            accept: Some(accept),
            request,
            ..Wishes::default()
        })
    }

    #[test]
    fn suffix_beats_format_beats_accept_beats_the_request() {
        let all = Wishes {
            suffix: Some(Format::Json),
            format: Some("xml"),
            accept: Some("application/json"),
            request: Some(Format::Xml),
        };
        assert_eq!(negotiate(all), Format::Json);
        assert_eq!(
            negotiate(Wishes {
                suffix: None,
                ..all
            }),
            Format::Xml
        );
        assert_eq!(
            negotiate(Wishes {
                suffix: None,
                format: None,
                ..all
            }),
            Format::Json
        );
        assert_eq!(
            negotiate(Wishes {
                request: Some(Format::Xml),
                ..Wishes::default()
            }),
            Format::Xml
        );
        assert_eq!(negotiate(Wishes::default()), Format::Json);
    }

    #[test]
    fn a_format_parameter_is_cut_and_folded_and_ignored_when_unknown() {
        let format = |format| {
            negotiate(Wishes {
                format: Some(format),
                accept: Some("text/xml"),
                ..Wishes::default()
            })
        };
        assert_eq!(format("XML"), Format::Xml);
        assert_eq!(format("Json.anything"), Format::Json);
        assert_eq!(format("other"), Format::Xml);
        assert_eq!(format(""), Format::Xml);
    }

    #[test]
    fn accept_is_read_as_rfc_9110_has_it() {
        use Format::{Json, Xml};
        assert_eq!(
            accept("application/xml;q=0.1, application/json", None),
            Json
        );
        assert_eq!(accept("application/json;q=0.5, text/xml", None), Xml);
        assert_eq!(accept("application/xml; Q=0, */*", Some(Xml)), Json);
        assert_eq!(accept("application/json, text/plain, */*", Some(Xml)), Json);
        assert_eq!(accept("*/*", Some(Xml)), Xml);
        assert_eq!(accept("*/*", None), Json);
        assert_eq!(accept("application/json, application/xml", Some(Xml)), Xml);
        assert_eq!(accept("application/json, application/xml", None), Json);
        for nothing in ["text/html", "", ",;q=,", "application/json;q=0", "image/*"] {
            assert_eq!(accept(nothing, Some(Xml)), Xml, "{nothing}");
            assert_eq!(accept(nothing, None), Json, "{nothing}");
        }
    }

    #[test]
    fn a_body_is_known_by_its_label_or_its_first_character() {
        use Format::{Json, Xml};
        let of = |label: Option<&str>, body| body_format(label, body).ok();
        assert_eq!(
            of(Some("Application/JSON; charset=\"UTF-8\""), "{}"),
            Some(Json)
        );
        assert_eq!(of(Some("application/vnd.x+json"), "{}"), Some(Json));
        assert_eq!(of(Some("text/xml;charset=us-ascii"), "<a/>"), Some(Xml));
        assert_eq!(of(Some("application/json; charset=utf-16"), "{}"), None);
        assert_eq!(of(Some("application/octet-stream"), "{}"), None);
        assert_eq!(of(Some("application/octet-stream"), ""), Some(Json));
        assert_eq!(of(None, " \n{"), Some(Json));
        assert_eq!(of(None, "<a/>"), Some(Xml));
        assert_eq!(of(None, "a=b"), None);
    }
}
