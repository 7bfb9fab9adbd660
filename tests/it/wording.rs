//! Words that no text of the project may have: comments, messages, names, documents, scripts.

use std::process::Command;

use crate::tidy::{read, root};

/// Each with what to write instead.
const UNWANTED: [(&str, &str); 14] = [
    ("anew", "again, or a verb with re-"),
    ("as it comes", "unchanged"),
    ("besides", "also, other than"),
    ("for ever", "permanently, without end"),
    ("goes on", "continues"),
    ("he", "it, for a client; they, for a person"),
    ("heed", "apply, follow"),
    ("heeded", "applied"),
    ("heeds", "applies"),
    ("his", "its, for a client; their, for a person"),
    ("mend", "fix"),
    ("of ours", "the project's"),
    ("to be had", "available"),
    ("whoever", "a client that, anyone who"),
];

/// Files that hold the texts of others, or these words on purpose.
fn is_exempt(file: &str) -> bool {
    let name = file.rsplit('/').next().unwrap();
    // A migration cannot change after it was applied, not even in a comment.
    file.starts_with("migrations/")
        || name.starts_with("LICENSE")
        || name == "wording.rs"
        || name.ends_with(".lock")
        || name.ends_with(".svg")
        || name.ends_with(".http")
}

/// Whether the text has the words, in any case, with no letter directly before or after.
fn has(text: &str, words: &str) -> bool {
    text.match_indices(words).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + words.len()..].chars().next();
        ![before, after]
            .into_iter()
            .flatten()
            .any(char::is_alphanumeric)
    })
}

#[test]
fn no_text_has_a_word_that_readers_stumble_over() {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let files: Vec<_> = listed.lines().filter(|file| !is_exempt(file)).collect();
    assert!(files.len() > 300, "git listed {} files", files.len());
    let mut found = Vec::new();
    for file in files.iter().filter(|file| root().join(file).exists()) {
        for (number, line) in read(file).to_lowercase().lines().enumerate() {
            for (words, instead) in UNWANTED {
                if has(line, words) {
                    found.push(format!("{file}:{}: {words} (write: {instead})", number + 1));
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
