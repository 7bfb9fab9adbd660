//! The README and the manual. Their commands produce the answers that they show, and their links
//! and the files that they name exist.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use billables::billable::{
    ClientName, Field, IdempotencyKey, Identity, RawReport, RawValue, Report,
};
use uuid::Uuid;

use crate::support::server::{command, run};
use crate::support::{Database, Server};
use crate::tidy::{read, root, sources};

/// The README and every page of the manual, as (path, text).
fn documents() -> Vec<(String, String)> {
    let mut documents = vec!["README.md".to_owned()];
    let mut open = vec![PathBuf::from("docs")];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(root().join(&folder)).unwrap() {
            let path = folder.join(entry.unwrap().file_name());
            if root().join(&path).is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                documents.push(path.to_str().unwrap().to_owned());
            }
        }
    }
    documents.sort();
    documents
        .into_iter()
        .map(|name| {
            let text = read(&name);
            (name, text)
        })
        .collect()
}

/// The fenced blocks of a document, as (language, text).
pub(crate) fn blocks(markdown: &str) -> Vec<(&str, &str)> {
    let parts: Vec<_> = markdown.split("```").collect();
    parts
        .iter()
        .skip(1)
        .step_by(2)
        .filter_map(|block| block.split_once('\n'))
        .collect()
}

/// Returns the first `sh` block that contains `text`.
pub(crate) fn commands(document: &str, text: &str) -> String {
    let document = read(document);
    let mut found = blocks(&document)
        .into_iter()
        .filter(|(language, commands)| *language == "sh" && commands.contains(text));
    found.next().unwrap().1.to_owned()
}

/// Replaces timestamps of 2026-11-24, when the documents were written, and of today with NOW, and the
/// text of a cut with CUT.
fn without_fresh_timestamps(text: &str) -> String {
    let mut text = text.trim().replace("\r\n", "\n");
    let is_cut = |piece: &str| {
        let is_sealed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        let has_digit = piece.bytes().any(|byte| byte.is_ascii_digit());
        piece.starts_with('A') && piece.len() > 10 && has_digit && piece.bytes().all(is_sealed)
    };
    let pieces = text.split_inclusive([',', '"', '\n']).map(|piece| {
        let word = piece.trim_end_matches([',', '"', '\n']);
        piece.replace(word, if is_cut(word) { "CUT" } else { word })
    });
    text = pieces.collect();
    while let Some(at) = text
        .find("2026-11-24T")
        .or_else(|| text.find(&billables::billable::Timestamp::now().to_string()[..11]))
    {
        text.replace_range(at..at + "2026-11-24T08:15:27.402113Z".len(), "NOW");
    }
    text
}

#[tokio::test]
async fn the_requests_of_each_document_get_the_answers_that_it_shows() {
    let mut compared = 0;
    for (name, text) in documents() {
        let blocks = blocks(&text);
        let is_request = |(language, text): &(&str, &str)| {
            *language == "sh" && text.starts_with("curl -s") && text.contains("127.0.0.1:8080")
        };
        if !blocks.iter().any(is_request) {
            continue;
        }
        let database = Database::sqlite();
        let server = Server::start(&database).await;
        let directory = tempfile::tempdir().unwrap();
        for (index, block) in blocks
            .iter()
            .enumerate()
            .filter(|(_, block)| is_request(block))
        {
            let (_, commands) = block;
            let commands = commands.replace("127.0.0.1:8080", &server.address().to_string());
            let output = Command::new("bash")
                .args(["-euc", &commands])
                .env("TOKEN", server.secret())
                .current_dir(directory.path())
                .stderr(Stdio::null())
                .output()
                .unwrap();
            assert!(output.status.success(), "{name}: {commands}");
            let printed = String::from_utf8(output.stdout).unwrap();
            match blocks.get(index + 1) {
                Some(("text", expected)) => {
                    assert_eq!(
                        without_fresh_timestamps(&printed),
                        without_fresh_timestamps(expected),
                        "{name}: {commands}"
                    );
                    compared += 1;
                }
                _ => assert!(!printed.contains("responseStatus"), "{name}: {printed}"),
            }
        }
    }
    assert!(compared >= 15, "{compared} answers were compared");
}

#[test]
fn the_token_commands_work() {
    let commands = commands("docs/tokens.md", "token create");
    let database = Database::sqlite().migrated();
    let mut ran = 0;
    for line in commands.lines() {
        let (_, listed, _) = run(&mut command(&database, &["token", "list", "--json"]));
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
        let (code, output, errors) = run(&mut command(&database, &arguments));
        assert_eq!(code, 0, "{line}: {errors}");
        assert!(!output.is_empty());
        ran += 1;
    }
    assert_eq!(ran, 8);
}

#[tokio::test]
async fn the_tls_commands_work() {
    let (database, files) = (Database::sqlite(), tempfile::tempdir().unwrap());
    let mut server = None;
    let to_start = commands("docs/install.md", "--tls-cert");
    let to_use = commands("docs/install.md", "--cacert");
    let commands = format!("{to_start}{to_use}").replace("\\\n", "");
    for line in commands.lines() {
        let mut line = line.to_owned();
        for file in ["cert.pem", "key.pem"] {
            line = line.replace(file, files.path().join(file).to_str().unwrap());
        }
        if line.contains("--tls-cert") {
            let line = line.replace(":8443", ":0").replace(":9180", ":0");
            let (_, arguments) = line.split_once("target/release/billables").unwrap();
            let arguments: Vec<_> = arguments.split_whitespace().collect();
            server = Some(Server::start_with(&database, &arguments).await);
            continue;
        }
        if let Some(server) = &server {
            line = line
                .replace("8443", &server.address().port().to_string())
                .replace("9180", &server.admin_address().port().to_string())
                .replace(
                    "target/release/billables healthcheck",
                    concat!(env!("CARGO_BIN_EXE_billables"), " healthcheck"),
                );
        }
        let mut bash = Command::new("bash");
        let bash = bash
            .args(["-c", &line])
            .env("TOKEN", server.as_ref().map_or("", Server::secret));
        let (code, output, errors) = run(bash);
        assert!(
            code == 0 && !output.contains("responseStatus"),
            "{line}: {output}{errors}"
        );
    }
    assert_eq!(commands.lines().count(), 5);
}

#[tokio::test]
async fn the_dto_commands_work() {
    let commands = commands("docs/servicestack.md", "/types/typescript");
    let server = Server::start(&Database::sqlite()).await;
    let directory = tempfile::tempdir().unwrap();
    let mut printed = String::new();
    for line in commands.lines() {
        let line = line.replace("127.0.0.1:8080", &server.address().to_string());
        let mut bash = Command::new("bash");
        let bash = bash.args(["-c", &line]).current_dir(directory.path());
        let (code, output, errors) = run(bash);
        assert_eq!(code, 0, "{line}: {errors}");
        printed.push_str(&output);
    }
    let source = std::fs::read_to_string(directory.path().join("billables.dtos.ts")).unwrap();
    assert!(source.contains("export class NewBillable implements IReturnVoid, IPost"));
    assert!(printed.contains("curl ") && printed.contains("/billing?accountId="));
}

/// Returns the rows of the table whose header row starts with `heads`, as cells without backquotes.
fn rows(text: &str, heads: &str) -> Vec<Vec<String>> {
    let (_, table) = text.split_once(heads).unwrap();
    table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells = line.trim_matches('|').split('|');
            cells
                .map(|cell| cell.trim().trim_matches('`').to_owned())
                .collect()
        })
        .collect()
}

#[test]
fn the_test_vectors_are_the_ids_that_the_program_computes() {
    let text = read("docs/identity.md");
    let vectors = rows(&text, "| `Idempotency-Key` | index |");
    for row in &vectors {
        let given = |cell: &str| (cell != "-").then(|| cell.to_owned());
        let [key, index, account, customer, session, call, id] = &row[..] else {
            panic!("{row:?}");
        };
        let mut raw = RawReport::default();
        for (field, cell) in Field::ALL
            .into_iter()
            .zip([account, customer, session, call])
        {
            raw.set(field, given(cell).map(RawValue::Text));
        }
        let report = Report::parse(raw, billables::billable::Timestamp::now()).unwrap();
        let key = given(key).map(|key| IdempotencyKey::parse(key.as_bytes()).unwrap());
        let index = given(index).map(|index| index.parse().unwrap());
        let computed = Identity::of(key, index, &report.reported).id(
            &ClientName::parse("default").unwrap(),
            &report.reported,
            Uuid::nil,
        );
        assert_eq!(computed.to_string(), *id);
    }
    assert_eq!(vectors.len(), 5);
}

#[test]
fn every_message_in_troubleshooting_is_a_message_of_the_program() {
    let source: String = sources().into_iter().map(|(_, text)| text).collect();
    let text = read("docs/operations.md");
    let messages = rows(&text, "| message | cause, and what to do |");
    for row in &messages {
        // `…` replaces the variable parts of a message.
        for part in row[0].split('…').filter(|part| part.len() > 3) {
            assert!(source.contains(part), "no message contains: {part}");
        }
    }
    assert!(messages.len() >= 10);
}

/// Returns the anchor of each heading, as GitHub generates it.
fn anchors(markdown: &str) -> Vec<String> {
    let outside: String = markdown.split("```").step_by(2).collect();
    let headings = outside.lines().filter_map(|line| {
        let text = line.trim_start_matches('#');
        (text.len() < line.len() && text.starts_with(' ')).then(|| text.trim().to_owned())
    });
    headings
        .map(|heading| {
            let kept = heading.chars().filter_map(|c| match c {
                ' ' => Some('-'),
                c if c.is_alphanumeric() || c == '-' => Some(c.to_ascii_lowercase()),
                _ => None,
            });
            kept.collect()
        })
        .collect()
}

#[test]
fn every_link_of_a_document_leads_somewhere() {
    let mut followed = 0;
    let mut documents = documents();
    for name in ["CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"] {
        documents.push((name.to_owned(), read(name)));
    }
    for (name, text) in &documents {
        let folder = Path::new(name).parent().unwrap();
        for link in text.split("](").skip(1) {
            let link = link.split(')').next().unwrap();
            if link.contains("://") {
                continue;
            }
            let (file, fragment) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => PathBuf::from(name),
                file => folder.join(file),
            };
            assert!(root().join(&target).is_file(), "{name} links to {link}");
            assert!(
                fragment.is_empty() || anchors(&read(&target)).iter().any(|one| one == fragment),
                "{name} links to {link}"
            );
            followed += 1;
        }
    }
    assert!(followed > 60, "{followed} links were followed");
}

#[test]
fn the_readme_is_short() {
    assert!(read("README.md").lines().count() <= 200);
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
        // Skips patterns and brace lists.
        .filter(|word| !word.contains(['*', '{', '}']))
}

#[test]
fn every_file_that_a_document_or_a_comment_names_exists() {
    let mut texts = documents();
    for name in ["CONTRIBUTING.md", "SECURITY.md"] {
        texts.push((name.to_owned(), read(name)));
    }
    for (name, text) in sources() {
        if name.ends_with(".rs") {
            let comments = text
                .lines()
                .filter(|line| line.trim_start().starts_with("//"));
            texts.push((
                format!("src/{name}"),
                comments.collect::<Vec<_>>().join("\n"),
            ));
        }
    }
    let mut named = 0;
    for (name, text) in &texts {
        // Links are relative to their file, and every_link_of_a_document_leads_somewhere checks
        // them.
        let outside: Vec<_> = text
            .split("](")
            .map(|part| part.split_once(')').map_or(part, |(_, after)| after))
            .collect();
        for path in paths(&outside.join(" ")) {
            assert!(root().join(path).exists(), "{name} names {path}");
            named += 1;
        }
    }
    assert!(named > 50, "{named} paths were looked for");
}

#[test]
fn the_tests_that_contributing_runs_exist() {
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
