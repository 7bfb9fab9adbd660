//! `.env.example` and the manual list every setting with its default.

use std::collections::BTreeMap;

use crate::tidy::read;

/// Returns each setting with its default, or an empty string if it has none. They are the flags,
/// and three variables without a flag.
fn settings() -> BTreeMap<String, String> {
    let definition = billables::cli::definition();
    let flags = definition.get_arguments().filter_map(|argument| {
        let name = argument.get_env()?.to_str()?.to_owned();
        let default = argument.get_default_values().first();
        let default = default.map_or("", |default| default.to_str().unwrap());
        Some((name, default.to_owned()))
    });
    let others = [
        ("BILLABLES_ADMIN_TOKEN", ""),
        ("BILLABLES_ADMIN_TOKEN_FILE", ""),
        ("RUST_LOG", "info"),
    ];
    flags
        .chain(others.map(|(name, default)| (name.to_owned(), default.to_owned())))
        .collect()
}

#[test]
fn env_example_has_every_setting_with_its_default() {
    let text = read(".env.example");
    let lines = text
        .lines()
        .filter_map(|line| line.strip_prefix('#')?.split_once('='));
    let lines = lines.filter(|(name, _)| !name.starts_with(' '));
    let shown: BTreeMap<_, _> = lines
        .map(|(name, default)| (name.to_owned(), default.to_owned()))
        .collect();
    assert_eq!(shown, settings());
}

#[test]
fn the_manual_has_every_setting_with_its_default() {
    let manual = read("docs/operations.md");
    let (_, table) = manual.split_once("| variable | default |").unwrap();
    let mut shown = BTreeMap::new();
    for row in table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'))
    {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let default = cells[2].trim_matches('`').replace("unset", "");
        for name in cells[1].split(", ") {
            shown.insert(name.trim_matches('`').to_owned(), default.clone());
        }
    }
    assert_eq!(shown, settings());
}

#[test]
fn the_command_line_is_well_defined() {
    billables::cli::definition().debug_assert();
}
