//! Content negotiation: chooses the format of a response.

use super::{Format, essence};

/// The media type of pages, which browsers name in `Accept`.
pub const PAGE: &str = "text/html";

/// The media type of problem details (RFC 9457).
pub const PROBLEM: &str = "application/problem+json";

/// What a request says about the format of its response.
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

/// Chooses the response format: the suffix, then `?format=`, then `Accept` with its weights, then
/// the request's own format, then JSON. No request is refused because of its `Accept`.
pub fn negotiate(wishes: Wishes<'_>) -> Format {
    let Wishes {
        suffix,
        format,
        accept,
        request,
    } = wishes;
    // A batch in NDJSON gets a JSON array, unless the client asks for NDJSON.
    let request = request.filter(|format| *format != Format::Ndjson);
    suffix
        .or_else(|| named(format?))
        .or_else(|| accepted(accept?, request))
        .or(request)
        .unwrap_or(Format::Json)
}

/// Returns the format that a value of `?format=` names.
pub fn named(format: &str) -> Option<Format> {
    let value = format.split('.').next()?.to_ascii_lowercase();
    Format::from_name(&value)
}

/// Returns the format with the highest weight in `Accept`. Ties go to the format that is named more
/// specifically, then to the request's own format, then to the server's order.
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
        // RFC 9110, 12.5.1: the most specific matching range determines the weight.
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

/// Whether the client asks for errors in this media type: `Accept` names it with a weight above
/// zero, and neither the suffix nor `?format=` names a format.
pub fn wants_error_in(wishes: Wishes<'_>, media_type: &str) -> bool {
    let is_named = wishes.suffix.is_some() || wishes.format.and_then(named).is_some();
    !is_named && accepts(wishes.accept.unwrap_or_default(), media_type)
}

/// Whether `Accept` names exactly this media type, with a weight above zero.
pub fn accepts(accept: &str, media_type: &str) -> bool {
    let mut ranges = accept.split(',');
    ranges.any(|range| essence(range) == media_type && weight(range) > 0)
}

/// Whether an `Accept-Encoding` accepts gzip: by name, or by `*` if gzip is not named.
pub fn accepts_gzip(accept_encoding: &str) -> bool {
    let weight_of = |name: &str| {
        let mut codings = accept_encoding.split(',');
        codings.find(|coding| essence(coding) == name).map(weight)
    };
    let weight = weight_of("gzip")
        .or_else(|| weight_of("x-gzip"))
        .or_else(|| weight_of("*"));
    weight.is_some_and(|weight| weight > 0)
}

/// Returns a range's weight in thousandths. A missing or invalid weight counts as 1.
fn weight(range: &str) -> u16 {
    let weight = range.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("q")
            .then(|| value.trim().parse::<f32>().ok())?
    });
    // The clamp keeps the value between 0 and 1000, so the cast does not change it.
    weight.map_or(1000, |weight| {
        (weight.clamp(0.0, 1.0) * 1000.0).round() as u16
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_taken_when_it_is_named_or_anything_is() {
        for yes in ["gzip", "deflate, GZIP;q=0.1", "br, *", "x-gzip"] {
            assert!(accepts_gzip(yes), "{yes}");
        }
        for no in ["", "deflate", "gzip;q=0", "*;q=0", "gzip;q=0, *"] {
            assert!(!accepts_gzip(no), "{no}");
        }
    }

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
    fn a_format_parameter_is_truncated_and_lowercased_and_ignored_when_unknown() {
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
        assert_eq!(accept("application/jsv", None), Format::Jsv);
        assert_eq!(
            accept("text/csv;q=0.9, application/*;q=0.5", None),
            Format::Csv
        );
        for nothing in ["text/html", "", ",;q=,", "application/json;q=0", "image/*"] {
            assert_eq!(accept(nothing, Some(Xml)), Xml, "{nothing}");
            assert_eq!(accept(nothing, None), Json, "{nothing}");
        }
    }

    #[test]
    fn problem_details_are_asked_for_by_name() {
        let wants = |accept, format| {
            let wishes = Wishes {
                accept: Some(accept),
                format,
                ..Wishes::default()
            };
            wants_error_in(wishes, PROBLEM)
        };
        assert!(wants("application/problem+json", None));
        assert!(wants(
            "application/json, Application/Problem+JSON;q=0.1",
            None
        ));
        assert!(!wants("application/problem+json;q=0", None));
        assert!(!wants("application/json, */*", None));
        assert!(!wants("application/problem+json", Some("xml")));
        assert_eq!(accept("application/problem+json", None), Format::Json);
    }
}
