//! Paths as ServiceStack takes them: literal segments in any letter case, empty segments
//! dropped, a format suffix where a route has one; and the canonical path they stand for.

use crate::wire::Format;

/// Reports are posted here.
pub(super) const BILLABLES: &str = "/billables";
/// One billable.
pub(super) const BILLABLE: &str = "/billables/{id}";
/// Whether the process lives.
pub(super) const LIVEZ: &str = "/livez";
/// Whether it can serve.
pub(super) const READYZ: &str = "/readyz";

/// Every route, and whether it takes a format suffix.
const ROUTES: [(&str, bool); 4] = [
    (BILLABLES, true),
    (BILLABLE, false),
    (LIVEZ, false),
    (READYZ, false),
];

/// The canonical path and the format of its suffix; `None` when no route has this path.
///
/// A suffix is the text after the last dot, exactly as a format is named; after a trailing slash
/// there is none.
pub(super) fn canonical(path: &str) -> Option<(String, Option<Format>)> {
    let suffixed = path
        .rsplit_once('.')
        .and_then(|(stem, suffix)| Some((stem, Format::from_name(suffix)?)));
    ROUTES
        .iter()
        .find_map(|(route, takes_suffix)| match suffixed {
            Some((stem, format)) if *takes_suffix => Some((matched(route, stem)?, Some(format))),
            _ => Some((matched(route, path)?, None)),
        })
}

/// The path in the route's spelling; parameters stay as sent.
fn matched(route: &str, path: &str) -> Option<String> {
    let mut canonical = String::with_capacity(path.len());
    let mut segments = path.split('/').filter(|segment| !segment.is_empty());
    for expected in route.split('/').skip(1) {
        let segment = segments.next()?;
        canonical.push('/');
        match expected.starts_with('{') {
            true => canonical.push_str(segment),
            false if segment.eq_ignore_ascii_case(expected) => canonical.push_str(expected),
            false => return None,
        }
    }
    segments.next().is_none().then_some(canonical)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_fold_and_parameters_stay_as_sent() {
        let path = |path| canonical(path).map(|(path, format)| (path, format.map(Format::name)));
        let found = |path: &str, format| Some((path.to_owned(), format));
        assert_eq!(path("/billables"), found("/billables", None));
        assert_eq!(path("//Billables/"), found("/billables", None));
        assert_eq!(path("/BILLABLES.xml"), found("/billables", Some("xml")));
        assert_eq!(path("/billables.json"), found("/billables", Some("json")));
        assert_eq!(
            path("/Billables/AbC%2F.xml"),
            found("/billables/AbC%2F.xml", None)
        );
        for unknown in [
            "/",
            "",
            "/billables.XML",
            "/billables.xml/",
            "/billables.other",
            "/billables/a/b",
            "/nope",
            "/livez.json",
        ] {
            assert_eq!(path(unknown), None, "{unknown}");
        }
    }
}
