//! The README's commands, run as a reader would, with the answers it shows.

use std::process::{Command, Stdio};

use crate::support::{Database, Server};
use crate::tidy::{read, root, sources};

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

/// The words of a document that are paths below one of the tree's folders.
fn paths(text: &str) -> impl Iterator<Item = &str> {
    let is_end = |c: char| !(c.is_ascii_alphanumeric() || "/._-*{}".contains(c));
    let folders = [
        "benches/",
        "deploy/",
        "docs/",
        "fuzz/",
        "migrations/",
        "scripts/",
        "src/",
        "tests/",
    ];
    text.split(is_end)
        .map(|word| word.trim_end_matches(['.', '/', '-']))
        .filter(move |word| folders.iter().any(|folder| word.starts_with(folder)))
        // Patterns and lists in braces.
        .filter(|word| !word.contains(['*', '{', '}']))
}

#[test]
fn every_file_that_a_document_names_is_there() {
    let mut documents = vec![
        "README.md".into(),
        "CONTRIBUTING.md".into(),
        "SECURITY.md".into(),
    ];
    let docs = std::fs::read_dir(root().join("docs")).unwrap();
    documents.extend(docs.map(|entry| format!("docs/{}", entry.unwrap().file_name().display())));
    documents.retain(|name: &String| name.ends_with(".md"));
    let sources = sources()
        .into_iter()
        .filter(|(name, _)| name.ends_with(".rs"))
        .map(|(name, text)| {
            let comments = text
                .lines()
                .filter(|line| line.trim_start().starts_with("//"));
            (
                format!("src/{name}"),
                comments.collect::<Vec<_>>().join("\n"),
            )
        });
    let documents = documents.into_iter().map(|name| {
        let text = read(&name);
        (name, text)
    });
    let mut named = 0;
    for (name, text) in documents.chain(sources) {
        for path in paths(&text) {
            assert!(root().join(path).exists(), "{name} names {path}");
            named += 1;
        }
    }
    assert!(named > 50, "{named} paths were looked for");
}

#[test]
fn the_tests_that_contributing_runs_are_there() {
    let contributing = read("CONTRIBUTING.md");
    let mut named = 0;
    for line in contributing.lines() {
        let Some(arguments) = line.strip_prefix("cargo test --test it ") else {
            continue;
        };
        let test = arguments.split_whitespace().next().unwrap();
        let (file, name) = test
            .strip_suffix("::sqlite")
            .unwrap()
            .split_once("::")
            .unwrap();
        assert!(read(format!("tests/it/{file}.rs")).contains(name), "{test}");
        named += 1;
    }
    assert_eq!(named, 1);
}
