//! Paths as ServiceStack takes them: literal segments in any letter case, empty segments
//! dropped, a format suffix where a route has one, an operation under each of its names; and the
//! canonical path they stand for.

use axum::extract::FromRequestParts;
use http::request::Parts;

use crate::docs::routes;
use crate::wire::Format;

/// Reports are posted here.
pub(super) const BILLABLES: &str = "/billables";
/// One billable.
pub(super) const BILLABLE: &str = "/billables/{id}";
/// A billable is voided here.
pub(super) const VOID: &str = "/billables/{id}/void";
/// Which billables are there.
pub(super) const CHECK: &str = "/billables/check";
/// A session.
pub(super) const SESSION: &str = "/sessions/{sessionId}";
/// Totals.
pub(super) const BILLING: &str = "/billing";
/// The feed.
pub(super) const LOG: &str = "/log";
/// The operation by its name: one report.
pub(super) const NEW_BILLABLE: &str = "/api/NewBillable";
/// The operation's batch.
pub(super) const NEW_BILLABLES: &str = "/api/NewBillable[]";
/// Whether the process lives.
pub(super) const LIVEZ: &str = "/livez";
/// Whether it can serve.
pub(super) const READYZ: &str = "/readyz";
/// What it counts.
pub(super) const METRICS: &str = "/metrics";

/// Every route of resources, and whether it takes a format suffix.
const RESOURCES: [(&str, bool); 14] = [
    (BILLABLES, true),
    (CHECK, false),
    (BILLABLE, false),
    (VOID, false),
    (SESSION, false),
    (BILLING, true),
    (LOG, false),
    (LIVEZ, false),
    (READYZ, false),
    (METRICS, false),
    (routes::FRONT, false),
    (routes::METADATA, false),
    (routes::TYPES, false),
    (routes::OPERATION_METADATA, false),
];

/// What a path says beside which route it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Convention {
    /// A resource, with the format of its suffix, which is the answer's.
    Resource {
        /// The suffix.
        suffix: Option<Format>,
    },
    /// An operation of ServiceStack's, with a format for the body and for the answer.
    Operation {
        /// The format.
        format: Format,
        /// Whether it takes several at once.
        is_batch: bool,
    },
}

impl<S: Sync> FromRequestParts<S> for Convention {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let unsaid = Self::Resource { suffix: None };
        Ok(parts.extensions.get().copied().unwrap_or(unsaid))
    }
}

/// A path in its route's spelling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Canonical {
    /// The route.
    pub(super) route: &'static str,
    /// The path.
    pub(super) path: String,
    /// What it says besides.
    pub(super) convention: Convention,
}

/// The canonical path; `None` when no route has this path.
pub(super) fn canonical(path: &str) -> Option<Canonical> {
    operation(path).or_else(|| resource(path))
}

/// `/api/NewBillable[.format]`, where a trailing slash would name no operation; and
/// `/{format}/{reply or oneway}/NewBillable`. Either has a batch with `[]` behind the name.
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
    let route = match is_batch {
        true => NEW_BILLABLES,
        false => NEW_BILLABLE,
    };
    is(single.unwrap_or(name), "NewBillable").then(|| Canonical {
        route,
        path: route.to_owned(),
        convention: Convention::Operation { format, is_batch },
    })
}

/// ServiceStack has no lines of JSON.
fn operations_format(name: &str) -> Option<Format> {
    Format::from_name(name).filter(|format| *format != Format::Ndjson)
}

/// A suffix is the text after the last dot, exactly as a format is named; after a trailing slash
/// there is none.
fn resource(path: &str) -> Option<Canonical> {
    let suffixed = path
        .rsplit_once('.')
        .and_then(|(stem, suffix)| Some((stem, Format::from_name(suffix)?)));
    RESOURCES.iter().find_map(|(route, takes_suffix)| {
        let (path, suffix) = match suffixed {
            Some((stem, format)) if *takes_suffix => (matched(route, stem)?, Some(format)),
            _ => (matched(route, path)?, None),
        };
        Some(Canonical {
            route,
            path,
            convention: Convention::Resource { suffix },
        })
    })
}

/// The path in the route's spelling; parameters stay as sent.
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
    fn literals_fold_and_parameters_stay_as_sent() {
        let found = |path: &str, suffix| {
            Some((
                path.to_owned(),
                Convention::Resource {
                    suffix: Format::from_name(suffix),
                },
            ))
        };
        let canonical = |path| canonical(path).map(|found| (found.path, found.convention));
        assert_eq!(canonical("/billables"), found("/billables", ""));
        assert_eq!(canonical("//Billables/"), found("/billables", ""));
        assert_eq!(canonical("/BILLABLES.xml"), found("/billables", "xml"));
        assert_eq!(canonical("/billables.json"), found("/billables", "json"));
        assert_eq!(canonical("/billables.csv"), found("/billables", "csv"));
        assert_eq!(
            canonical("/Billables/AbC%2F.xml"),
            found("/billables/AbC%2F.xml", "")
        );
        for front in ["/", "//", ""] {
            assert_eq!(canonical(front), found("/", ""));
        }
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
    fn an_operation_has_many_names() {
        let found = |path| {
            let Canonical {
                path, convention, ..
            } = canonical(path)?;
            match convention {
                Convention::Operation { format, is_batch } => {
                    assert_eq!(path == NEW_BILLABLES, is_batch);
                    Some((format.name(), is_batch))
                }
                Convention::Resource { .. } => None,
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
        ] {
            assert_eq!(found(path), Some((format, is_batch)), "{path}");
        }
        for path in [
            "/api/",
            "/api/NewBillable/",
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
