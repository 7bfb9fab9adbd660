//! Logging to standard error, as text or JSON, at the level that `RUST_LOG` sets. Whatever happens
//! to standard error, nothing waits for it, and nothing fails with it.

mod lines;

use std::error::Error;
use std::io::IsTerminal;
use std::panic;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

use lines::{ByLevel, LINES};

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Human-readable text.
    Text,
    /// One JSON object per line.
    Json,
}

/// Starts logging, once for the process. `filter` is in the syntax of `RUST_LOG`.
///
/// # Errors
/// The filter is invalid.
pub fn start(
    format: LogFormat,
    filter: &str,
) -> Result<(), tracing_subscriber::filter::ParseError> {
    let logs = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::builder().parse(filter)?)
        .with_ansi(std::io::stderr().is_terminal())
        // They would be printed to standard error, which waits and may panic.
        .log_internal_errors(false)
        .with_writer(ByLevel);
    match format {
        LogFormat::Text => logs.init(),
        LogFormat::Json => logs.json().flatten_event(true).with_span_list(false).init(),
    }
    // The hook of the standard library prints to standard error as well.
    panic::set_hook(Box::new(|panicked| {
        let location = panicked.location().map(ToString::to_string);
        let message = panicked.payload_as_str().unwrap_or("an unknown reason");
        tracing::error!(location, "a thread panicked: {message}");
    }));
    Ok(())
}

/// Prints a line of a command to standard error, in order with warnings and errors.
pub fn print_line(text: &str) {
    LINES.write_later(format!("{text}\n").as_bytes(), true);
}

/// Waits until all lines are written, for at most a second.
pub fn flush() {
    LINES.flush();
}

/// Returns a text on one line, cut at `max` characters, with escapes for the characters that a
/// terminal interprets.
pub fn printable(text: &str, max: usize) -> String {
    let mut shown = String::new();
    let mut characters = text.chars();
    for character in characters.by_ref().take(max) {
        match character {
            '\n' => shown.push(' '),
            '"' | '\'' | '\\' => shown.push(character),
            other => shown.extend(other.escape_debug()),
        }
    }
    if characters.next().is_some() {
        shown.push('…');
    }
    shown
}

/// Replaces what may be a secret by its first characters: a token, wherever it begins, and every
/// longer word.
pub fn without_secrets(text: &str) -> String {
    let is_of_word =
        |character: char| character.is_ascii_alphanumeric() || "_-".contains(character);
    let mut shown = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(is_of_word) {
        let (before, from) = rest.split_at(start);
        let end = from
            .find(|character| !is_of_word(character))
            .unwrap_or(from.len());
        let (word, after) = from.split_at(end);
        shown.push_str(before);
        match word.find("bil_") {
            Some(token) => shown.extend([&word[..token], "bil_…"]),
            None if word.len() >= LONGEST_WORD && !is_id(word) => shown.extend([&word[..4], "…"]),
            None => shown.push_str(word),
        }
        rest = after;
    }
    shown + rest
}

/// The length from which a word may be a secret: an admin token has at least 32 characters.
const LONGEST_WORD: usize = 32;

/// Whether a word is a UUID, as in the path of a billable.
fn is_id(word: &str) -> bool {
    word.len() == 36 && word.split('-').map(str::len).eq([8, 4, 4, 4, 12])
}

/// Formats an error and its causes on one line. A cause that the text has already is left out.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_secret_is_not_shown() {
        let token = format!("bil_{}", "x".repeat(43));
        for (text, shown) in [
            (
                format!("there is no parameter {token}; use"),
                "there is no parameter bil_…; use",
            ),
            (format!("/docs/{token}"), "/docs/bil_…"),
            (format!("x{}", &token[..20]), "xbil_…"),
            ("0123456789abcdef".repeat(2), "0123…"),
            ("a word, accountId".to_owned(), "a word, accountId"),
            (
                "/billables/d1719a49-b256-8aa7-94dd-3ddcc3a8189f".to_owned(),
                "/billables/d1719a49-b256-8aa7-94dd-3ddcc3a8189f",
            ),
        ] {
            assert_eq!(without_secrets(&text), shown);
        }
    }

    #[test]
    fn a_printable_text_has_one_line_and_no_control_characters() {
        let text = "a \"b\"\n\u{1b}[31m é\u{202e}\u{9b}";
        assert_eq!(
            printable(text, 100),
            "a \"b\" \\u{1b}[31m é\\u{202e}\\u{9b}"
        );
        assert_eq!(printable("ééé", 3), "ééé");
        assert_eq!(printable("éééé", 3), "ééé…");
    }
}
