//! Rules about the source, the settings and the README.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::{Database, Server};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// Every source file below `src`, as (path from `src`, text).
pub(crate) fn sources() -> Vec<(String, String)> {
    let src = root().join("src");
    let mut open = vec![src.clone()];
    let mut files = Vec::new();
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path
                    .strip_prefix(&src)
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned();
                files.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    files
}

/// A source without its comments and its tests.
pub(crate) fn code(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    let lines = code.lines().map(|line| {
        let comment = line.find("//").filter(|at| !line[..*at].contains('"'));
        comment.map_or(line, |at| &line[..at])
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn statements_are_in_the_store_and_the_clock_is_read_at_the_edge() {
    for (name, text) in sources() {
        let code = text.split("#[cfg(test)]").next().unwrap();
        if !name.starts_with("store") {
            assert!(!code.contains("sqlx::query"), "src/{name} has a statement");
        }
        if !["api", "cli", "billable/timestamp.rs"]
            .iter()
            .any(|edge| name.starts_with(edge))
        {
            assert!(
                !code.contains("Timestamp::now") && !code.contains("SystemTime"),
                "src/{name} reads the clock"
            );
        }
        // The one that is built has nothing but numbers put in.
        let built = code.matches("AssertSqlSafe(").count();
        let allowed = usize::from(name == "store/void_attribute.rs");
        assert_eq!(built, allowed, "src/{name} builds statements");
    }
}

#[test]
fn every_file_says_what_it_is_and_is_small() {
    for (name, text) in sources() {
        let header = if name.ends_with(".css") {
            "/*! "
        } else {
            "//! "
        };
        assert!(text.starts_with(header), "src/{name} has no header");
        let lines = text.split("#[cfg(test)]").next().unwrap().lines().count();
        assert!(lines <= 400, "src/{name} has {lines} lines");
    }
}

#[test]
fn both_databases_have_the_same_migrations_with_one_statement_each() {
    let names = |dialect: &str| -> BTreeSet<String> {
        let entries = std::fs::read_dir(root().join("migrations").join(dialect)).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    };
    assert_eq!(names("postgres"), names("sqlite"));
    assert!(!names("postgres").is_empty());
    for (dialect, name) in ["postgres", "sqlite"]
        .into_iter()
        .flat_map(|dialect| names(dialect).into_iter().map(move |name| (dialect, name)))
    {
        let sql = read(format!("migrations/{dialect}/{name}"));
        let code: String = sql
            .lines()
            .filter(|line| !line.trim_start().starts_with("--"))
            .collect();
        assert_eq!(code.matches(';').count(), 1, "{dialect}/{name}");
    }
}

/// Programs of before and after a migration work side by side.
#[test]
fn a_migration_only_adds_what_an_older_program_need_not_know() {
    for dialect in ["postgres", "sqlite"] {
        for entry in std::fs::read_dir(root().join("migrations").join(dialect)).unwrap() {
            let path = entry.unwrap().path();
            let sql = read(&path);
            let code = sql
                .lines()
                .filter(|line| !line.trim_start().starts_with("--"));
            let code = code.collect::<Vec<_>>().join(" ").to_lowercase();
            let words: Vec<_> = code.split_whitespace().collect();
            let is_additive = match *words {
                ["create", "table" | "index", ..] => true,
                ["alter", "table", _, "add", "column", ..] => {
                    let is_required = code.contains("not null") && !code.contains("default");
                    !is_required && !code.contains("unique") && !code.contains("references")
                }
                _ => false,
            };
            assert!(is_additive, "{}: {code}", path.display());
        }
    }
}

#[tokio::test]
async fn every_migration_is_in_the_program() {
    for database in [Database::sqlite(), Database::postgres().await] {
        let dialect = if database.is_postgres() {
            "postgres"
        } else {
            "sqlite"
        };
        let (store, _) = database.store().await;
        store.close().await;
        let files = std::fs::read_dir(root().join("migrations").join(dialect))
            .unwrap()
            .count();
        assert_eq!(database.migrations().await, i64::try_from(files).unwrap());
    }
}

/// The settings with their defaults, empty for none, from the command line's own definition and
/// from the three that are no flags.
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
fn the_readme_has_every_setting_with_its_default() {
    let readme = read("README.md");
    let (_, table) = readme.split_once("| variable | default |").unwrap();
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

/// The fenced blocks of a document, as (language, text).
fn blocks(markdown: &str) -> Vec<(&str, &str)> {
    let parts: Vec<_> = markdown.split("```").collect();
    parts
        .iter()
        .skip(1)
        .step_by(2)
        .filter_map(|block| block.split_once('\n'))
        .collect()
}

/// Instants of now differ from those in the README.
fn without_fresh_timestamps(text: &str) -> String {
    let mut text = text.trim().replace("\r\n", "\n");
    while let Some(at) = text
        .find("2026-11-24T")
        .or_else(|| text.find(&billables::billable::Timestamp::now().to_string()[..11]))
    {
        text.replace_range(at..at + "2026-11-24T08:15:27.402113Z".len(), "NOW");
    }
    text
}

#[tokio::test]
async fn the_readmes_requests_get_the_answers_it_shows() {
    let readme = read("README.md");
    let blocks = blocks(&readme);
    let mut ran = 0;
    let database = Database::sqlite();
    let server = Server::start(&database).await;
    for pair in blocks.windows(2) {
        let [("sh", command), ("text", expected)] = pair else {
            continue;
        };
        let command = command.replace("127.0.0.1:8080", &server.address().to_string());
        let mut bash = Command::new("bash");
        let output = bash
            .args(["-c", &command])
            .env("TOKEN", server.secret())
            .stderr(Stdio::null())
            .output()
            .unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        assert_eq!(
            without_fresh_timestamps(&printed),
            without_fresh_timestamps(expected),
            "{command}"
        );
        ran += 1;
    }
    assert_eq!(ran, 9);
}

#[test]
fn the_readmes_token_commands_work() {
    let readme = read("README.md");
    let (_, commands) = blocks(&readme)
        .into_iter()
        .find(|(_, text)| text.contains("token create"))
        .unwrap();
    let database = Database::sqlite();
    let mut ran = 0;
    for line in commands.lines() {
        let (_, listed, _) = crate::support::server::run(&mut crate::support::server::command(
            &database,
            &["token", "list", "--json"],
        ));
        let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
        let id = listed[0]["id"].as_str().unwrap_or_default();
        let line = line.replace(" ID", &format!(" {id}"));
        let arguments: Vec<_> = line
            .split(" #")
            .next()
            .unwrap()
            .split_whitespace()
            .skip(1)
            .collect();
        let (code, output, errors) = crate::support::server::run(
            &mut crate::support::server::command(&database, &arguments),
        );
        assert_eq!(code, 0, "{line}: {errors}");
        assert!(!output.is_empty());
        ran += 1;
    }
    assert_eq!(ran, 6);
}

#[tokio::test]
async fn the_readmes_tls_commands_work() {
    let readme = read("README.md");
    let blocks = blocks(&readme);
    let (_, commands) = blocks
        .iter()
        .find(|(_, text)| text.contains("--tls-cert"))
        .unwrap();
    let (database, files) = (Database::sqlite(), tempfile::tempdir().unwrap());
    let mut server = None;
    let commands = commands.replace("\\\n", "");
    for line in commands.lines() {
        let mut line = line.to_owned();
        for file in ["cert.pem", "key.pem"] {
            line = line.replace(file, files.path().join(file).to_str().unwrap());
        }
        if line.contains("--tls-cert") {
            let line = line.replace(":8443", ":0").replace(":9180", ":0");
            let arguments: Vec<_> = line.split_whitespace().skip(1).collect();
            server = Some(Server::start_with(&database, &arguments).await);
            continue;
        }
        if let Some(server) = &server {
            line = line
                .replace("8443", &server.address().port().to_string())
                .replace("9180", &server.admin_address().port().to_string())
                .replace(
                    "billables healthcheck",
                    concat!(env!("CARGO_BIN_EXE_billables"), " healthcheck"),
                );
        }
        let mut bash = Command::new("bash");
        let bash = bash
            .args(["-c", &line])
            .env("TOKEN", server.as_ref().map_or("", Server::secret));
        let (code, output, errors) = crate::support::server::run(bash);
        assert!(
            code == 0 && !output.contains("responseStatus"),
            "{line}: {output}{errors}"
        );
    }
    assert_eq!(commands.lines().count(), 5);
}

#[tokio::test]
async fn the_readmes_dto_commands_work() {
    let readme = read("README.md");
    let blocks = blocks(&readme);
    let (_, commands) = blocks
        .iter()
        .find(|(_, text)| text.contains("/types/typescript"))
        .unwrap();
    let server = Server::start(&Database::sqlite()).await;
    let directory = tempfile::tempdir().unwrap();
    let mut printed = String::new();
    for line in commands.lines() {
        let line = line.replace("127.0.0.1:8080", &server.address().to_string());
        let mut bash = Command::new("bash");
        let bash = bash.args(["-c", &line]).current_dir(directory.path());
        let (code, output, errors) = crate::support::server::run(bash);
        assert_eq!(code, 0, "{line}: {errors}");
        printed.push_str(&output);
    }
    let source = std::fs::read_to_string(directory.path().join("billables.dtos.ts")).unwrap();
    assert!(source.contains("export class NewBillable implements IReturnVoid, IPost"));
    assert!(printed.contains("curl ") && printed.contains("/billing?accountId="));
}
