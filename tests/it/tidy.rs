//! Rules about the source and the migrations.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::support::Database;

pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// Returns every source file below `src`, as (path from `src`, text).
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

/// Returns a source without its comments and tests.
pub(crate) fn code(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    let lines = code.lines().map(|line| {
        let comment = line.find("//").filter(|at| !line[..*at].contains('"'));
        comment.map_or(line, |at| &line[..at])
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn only_the_store_has_sql_and_only_the_outer_layers_read_the_clock() {
    for (name, text) in sources() {
        let code = text.split("#[cfg(test)]").next().unwrap();
        if !name.starts_with("store") {
            assert!(
                !code.contains("sqlx::query"),
                "src/{name} has an SQL statement"
            );
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
        // The text of a statement is made of literals and numbers only.
        let built = code.matches("AssertSqlSafe(").count();
        let allowed = usize::from(name == "store/sql.rs");
        assert_eq!(built, allowed, "src/{name} builds statements");
    }
}

#[test]
fn every_source_file_has_a_header_and_at_most_400_lines() {
    for (name, text) in sources() {
        let header = match name.rsplit_once('.') {
            Some((_, "css")) => "/*! ",
            // A sender's profile begins with its name.
            Some((_, "toml")) => "name = ",
            _ => "//! ",
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
    let mut postgres = names("postgres");
    // The position is SQLite's rowid, which needs no index.
    assert!(postgres.remove("0004_create_entries_by_position.sql"));
    assert_eq!(postgres, names("sqlite"));
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

/// Programs from before and after a migration must work side by side.
#[test]
fn migrations_only_make_additions_that_older_programs_can_ignore() {
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
                // Without an index, an older program is slower at most.
                ["create", "table" | "index", ..] | ["drop", "index", ..] => true,
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
async fn every_migration_file_is_embedded_in_the_program() {
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
        let run = database.count("select count(*) from _sqlx_migrations");
        assert_eq!(run.await, i64::try_from(files).unwrap());
    }
}
