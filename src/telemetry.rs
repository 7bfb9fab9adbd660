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
