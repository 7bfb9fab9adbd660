//! Module dependencies go in one direction, without cycles.

use std::collections::{BTreeMap, BTreeSet};

use crate::tidy::{code, sources};

/// The other modules that each module of the crate may use. Every module has one line.
const ARROWS: [(&str, &str); 22] = [
    ("billable", ""),
    ("calendar", "billable"),
    ("metrics", "calendar"),
    ("telemetry", "metrics"),
    ("token", "billable"),
    ("config", "calendar telemetry token"),
    ("contract", "billable token"),
    ("formats", "billable"),
    ("senders", "billable formats telemetry token"),
    ("limits", "billable metrics token"),
    ("store", "billable token"),
    (
        "issuing",
        "billable config contract formats senders store telemetry token",
    ),
    ("writer", "billable limits metrics store telemetry"),
    ("reader", "billable store token"),
    ("totals", "billable calendar metrics store telemetry"),
    ("attribution", "billable formats store telemetry writer"),
    ("docs", "billable contract formats"),
    (
        "api",
        "attribution billable calendar contract docs formats issuing limits metrics reader senders store telemetry token totals writer",
    ),
    ("server", "api metrics telemetry"),
    (
        "cli",
        "api attribution billable calendar config contract docs formats issuing reader senders server store telemetry token totals writer",
    ),
    ("lib", ""),
    ("main", ""),
];

/// The only modules that may name these crates.
const CRATES: [(&str, &str); 8] = [
    ("axum", "api cli server"),
    ("hyper", "api cli server"),
    ("http", "api cli contract docs senders"),
    ("serde", "api formats issuing senders token"),
    ("serde_json", "api cli docs formats senders store"),
    ("sqlx", "store"),
    (
        "tokio",
        "api attribution cli limits metrics reader server store totals writer",
    ),
    ("tokio_util", "api cli server"),
];

/// A file's module: `formats/csv.rs` is `["formats", "csv"]`.
fn module(file: &str) -> Vec<&str> {
    file.trim_end_matches(".rs").split('/').collect()
}

/// The paths that a file uses, from the crate's root, with `super` resolved.
fn paths(file: &str, code: &str) -> Vec<Vec<String>> {
    let here: Vec<_> = module(file).into_iter().map(str::to_owned).collect();
    let mut paths = Vec::new();
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    for start in ["crate::", "super::"] {
        for (at, _) in code.match_indices(start) {
            let before = code[..at].bytes().last().unwrap_or(b' ');
            if word(before) || code[..at].ends_with("super::") {
                continue;
            }
            let mut rest = &code[at..];
            let mut base = here.clone();
            if let Some(of_crate) = rest.strip_prefix("crate::") {
                (base, rest) = (Vec::new(), of_crate);
            }
            while let Some(of_parent) = rest.strip_prefix("super::") {
                base.pop();
                rest = of_parent;
            }
            collect(&base, rest, &mut paths);
        }
    }
    paths
}

/// Adds the path at the start of `text`, or each path of a group in braces; returns the rest.
fn collect<'a>(base: &[String], text: &'a str, paths: &mut Vec<Vec<String>>) -> &'a str {
    let mut path = base.to_vec();
    let mut rest = text.trim_start();
    loop {
        if let Some(mut group) = rest.strip_prefix('{') {
            loop {
                group = collect(&path, group, paths).trim_start();
                match group.strip_prefix(',') {
                    Some(next) if next.trim_start().starts_with('}') => group = next.trim_start(),
                    Some(next) => {
                        group = next;
                        continue;
                    }
                    None => {}
                }
                return group.strip_prefix('}').unwrap_or(group);
            }
        }
        let length = rest
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '*')
            .unwrap_or(rest.len());
        path.push(rest[..length].to_owned());
        rest = &rest[length..];
        match rest.strip_prefix("::") {
            Some(next) => rest = next.trim_start(),
            None => break,
        }
    }
    paths.push(path);
    // A rename with `as NAME` is skipped.
    rest.find([',', '}', ';', ')', '(', '\n'])
        .map_or("", |end| &rest[end..])
}

/// Whether code names a crate, in a path or before `as`; a module of the same name does not count.
fn names(code: &str, name: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    code.match_indices(name).any(|(at, _)| {
        let (before, after) = (&code[..at], &code[at + name.len()..]);
        let is_of_path = before
            .strip_suffix("::")
            .is_some_and(|parent| parent.ends_with(is_word));
        !before.ends_with(is_word)
            && !is_of_path
            && (after.starts_with("::") || after.starts_with(" as "))
    })
}

#[test]
fn a_module_uses_only_what_its_line_allows() {
    let mut seen = BTreeSet::new();
    for (file, text) in sources() {
        if !file.ends_with(".rs") {
            continue;
        }
        let of = module(&file)[0].to_owned();
        let code = code(&text);
        let (_, allowed) = ARROWS
            .iter()
            .find(|(name, _)| *name == of)
            .unwrap_or_else(|| panic!("src/{file}: {of} has no line in ARROWS"));
        for path in paths(&file, &code) {
            let used = &path[0];
            let is_module = ARROWS.iter().any(|(name, _)| name == used);
            assert!(
                !is_module || *used == of || allowed.split(' ').any(|name| name == used),
                "src/{file} must not use {}",
                path.join("::")
            );
        }
        for hidden in [
            "crate as ",
            "crate::*",
            "use super::*",
            "use super::super as ",
        ] {
            assert!(
                !code.contains(hidden),
                "src/{file} hides the modules it uses: {hidden}"
            );
        }
        for (name, allowed) in CRATES {
            assert!(
                !names(&code, name) || allowed.split(' ').any(|module| module == of),
                "src/{file} must not use the crate {name}"
            );
        }
        seen.insert(of);
    }
    let known: BTreeSet<_> = ARROWS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(seen, known, "ARROWS has one line for each module");
}

#[test]
fn sibling_modules_form_no_cycles() {
    let files: BTreeSet<String> = sources()
        .into_iter()
        .filter_map(|(file, _)| Some(file.strip_suffix(".rs")?.to_owned()))
        .collect();
    // The items that a file imports from its submodules, and may re-export: `pub use app::App;`.
    let mut re_exported: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (file, text) in sources() {
        let code = code(&text);
        for line in code.split(';') {
            let Some((_, path)) = line.trim_start().split_once("use ") else {
                continue;
            };
            let mut below = Vec::new();
            collect(&[], path, &mut below);
            let here = module(&file).join("/");
            for path in below {
                let (Some(name), module) = (path.last(), format!("{here}/{}", path[0])) else {
                    continue;
                };
                if files.contains(&module) {
                    re_exported.insert(
                        format!("{here}/{name}"),
                        module.split('/').map(str::to_owned).collect(),
                    );
                }
            }
        }
    }
    // For each folder, which of its modules use which others.
    let mut used: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for (file, text) in sources() {
        let from = module(&file).join("/");
        for mut path in paths(&file, &code(&text)) {
            while !path.is_empty() && !files.contains(&path.join("/")) {
                match re_exported.get(&path.join("/")) {
                    Some(module) => path.clone_from(module),
                    None => drop(path.pop()),
                }
            }
            let from: Vec<_> = from.split('/').collect();
            let common = from.iter().zip(&path).take_while(|(a, b)| a == b).count();
            if let (Some(from_here), Some(to)) = (from.get(common), path.get(common)) {
                used.entry(from[..common].join("/"))
                    .or_default()
                    .entry((*from_here).to_owned())
                    .or_default()
                    .insert(to.clone());
            }
        }
    }
    let mut cycles = BTreeMap::new();
    for (folder, used) in &used {
        // Whether a module uses itself through other modules.
        let reaches = |start: &String| {
            let mut open = vec![start];
            let mut reached = BTreeSet::new();
            while let Some(module) = open.pop() {
                for next in used.get(module).into_iter().flatten() {
                    if reached.insert(next) {
                        open.push(next);
                    }
                }
            }
            reached.contains(start)
        };
        let cycle: Vec<_> = used
            .keys()
            .filter(|module| reaches(module))
            .cloned()
            .collect();
        if !cycle.is_empty() {
            cycles.insert(folder.clone(), cycle.join(" "));
        }
    }
    assert_eq!(cycles, BTreeMap::new());
}
