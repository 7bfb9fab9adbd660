//! Maps paths, in any form that ServiceStack accepts, to canonical paths.
//!
//! Literal segments match in any letter case, empty segments are dropped, some routes take a format
//! suffix, and most operations have several ServiceStack routes. The routes are
//! defined only in the contract's operations.

use axum::extract::FromRequestParts;
use http::request::Parts;

use crate::contract::{OPERATIONS, Operation};
use crate::formats::Format;

/// Whether a path is a resource route or a ServiceStack route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RouteStyle {
    /// A resource route. The suffix is the format of the response.
    Resource { suffix: Option<Format> },
    /// A ServiceStack route, with the format of the body and of the response.
    Operation {
        format: Format,
        /// Whether the body is a batch.
        is_batch: bool,
    },
}

impl<S: Sync> FromRequestParts<S> for RouteStyle {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let default = Self::Resource { suffix: None };
        Ok(parts.extensions.get().copied().unwrap_or(default))
    }
}

/// A path in the spelling of its route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Canonical {
    pub(super) route: &'static str,
    pub(super) path: String,
    pub(super) style: RouteStyle,
}

/// Returns the canonical path, or `None` if no route has this path.
pub(super) fn canonical(path: &str) -> Option<Canonical> {
    operation(path).or_else(|| resource(path))
}

/// Matches `/api/NewBillable` with an optional `.format` and no trailing slash, and
/// `/{format}/reply/NewBillable` or `/{format}/oneway/NewBillable`. The name of a batch ends in a
/// literal `[]`, which may be percent-encoded.
fn operation(path: &str) -> Option<Canonical> {
    let segments: Vec<_> = path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .collect();
    let is = |segment: &str, name| segment.eq_ignore_ascii_case(name);
    let (name, format) = match *segments {
        [api, name] if is(api, "api") && !path.ends_with('/') => match name.split_once('.') {
            Some((name, format)) => (name, operations_format(format)?),
            None => (name, Format::Json),
        },
        [format, action, name] if is(action, "reply") || is(action, "oneway") => {
            (name, operations_format(&format.to_ascii_lowercase())?)
        }
        _ => return None,
    };
    let brackets = ["[]", "%5B%5D", "%5b%5d"];
    let single = brackets.iter().find_map(|end| name.strip_suffix(end));
    let is_batch = single.is_some();
    let operation = Operation::find(single.unwrap_or(name))?;
    let route = if is_batch {
        operation.batch_by_name?
    } else {
        operation.by_name?
    };
    Some(Canonical {
        route,
        path: route.to_owned(),
        style: RouteStyle::Operation { format, is_batch },
    })
}

/// ServiceStack has no JSON lines format.
fn operations_format(name: &str) -> Option<Format> {
    Format::from_name(name).filter(|format| *format != Format::Ndjson)
}

/// Matches a resource's path. The suffix is the text after the last dot, and must be exactly a
/// format's name. A path with a trailing slash has none.
fn resource(path: &str) -> Option<Canonical> {
    let suffixed = path
        .rsplit_once('.')
        .and_then(|(stem, suffix)| Some((stem, Format::from_name(suffix)?)));
    OPERATIONS.into_iter().find_map(|operation| {
        let route = operation.path;
        let (path, suffix) = match suffixed {
            Some((stem, format)) if operation.takes_suffix => (matched(route, stem)?, Some(format)),
            _ => (matched(route, path)?, None),
        };
        Some(Canonical {
            route,
            path,
            style: RouteStyle::Resource { suffix },
        })
    })
}

/// Returns the path in the route's spelling, with parameters as sent.
fn matched(route: &str, path: &str) -> Option<String> {
    let mut canonical = String::with_capacity(path.len());
    let mut segments = path.split('/').filter(|segment| !segment.is_empty());
    for expected in route.split('/').filter(|segment| !segment.is_empty()) {
        let segment = segments.next()?;
        canonical.push('/');
        match expected.starts_with('{') {
            true => canonical.push_str(segment),
            false if segment.eq_ignore_ascii_case(expected) => canonical.push_str(expected),
            false => return None,
        }
    }
    if canonical.is_empty() {
        canonical.push('/');
    }
    segments.next().is_none().then_some(canonical)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_ignore_case_and_parameters_stay_as_sent() {
        let found = |path: &str, suffix| {
            Some((
                path.to_owned(),
                RouteStyle::Resource {
                    suffix: Format::from_name(suffix),
                },
            ))
        };
        let canonical = |path| canonical(path).map(|found| (found.path, found.style));
        assert_eq!(canonical("/billables"), found("/billables", ""));
        assert_eq!(canonical("//Billables/"), found("/billables", ""));
        assert_eq!(canonical("/BILLABLES.xml"), found("/billables", "xml"));
        assert_eq!(canonical("/billables.json"), found("/billables", "json"));
        assert_eq!(canonical("/billables.csv"), found("/billables", "csv"));
        assert_eq!(
            canonical("/Billables/AbC%2F.xml"),
            found("/billables/AbC%2F.xml", "")
        );
        assert_eq!(canonical("/"), found("/", ""));
        assert_eq!(canonical("//"), found("/", ""));
        assert_eq!(canonical("/XML/metadata/"), found("/XML/metadata", ""));
        for unknown in [
            "/billables.XML",
            "/billables.xml/",
            "/billables.other",
            "/billables[]",
            "/billables/a/b",
            "/nope",
            "/livez.json",
        ] {
            assert_eq!(canonical(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn an_operation_has_many_routes() {
        let found = |path| {
            let Canonical { path, style, .. } = canonical(path)?;
            match style {
                RouteStyle::Operation { format, is_batch } => {
                    assert_eq!(path.ends_with("[]"), is_batch);
                    Some((format.name(), is_batch))
                }
                RouteStyle::Resource { .. } => None,
            }
        };
        for (path, format, is_batch) in [
            ("/api/NewBillable", "json", false),
            ("/API/newbillable.xml", "xml", false),
            ("/api/NewBillable[]", "json", true),
            ("/api/NewBillable%5B%5D", "json", true),
            ("/api/NewBillable[].csv", "csv", true),
            ("/JSV/Reply/NEWBILLABLE/", "jsv", false),
            ("/json//oneway/NewBillable%5b%5d", "json", true),
            ("/xml/oneway/NewBillable", "xml", false),
            ("/api/getbilling.csv", "csv", false),
        ] {
            assert_eq!(found(path), Some((format, is_batch)), "{path}");
        }
        for path in [
            "/api/",
            "/api/NewBillable/",
            "/api/GetBilling[]",
            "/api/GetLivez",
            "/api/NewBillable[]/",
            "/api/NewBillable.XML",
            "/api/NewBillable.other",
            "/api/NewBillable.",
            "/api/NewBillable[][]",
            "/api/NewBillable[",
            "/api/[]",
            "/api/Nope",
            "/json/reply/Nope",
            "/json/reply/NewBillable.xml",
            "/json/reply/NewBillable/x",
            "/json/NewBillable",
            "/html/reply/NewBillable",
            "/json/other/NewBillable",
        ] {
            assert_eq!(found(path), None, "{path}");
        }
    }
}
