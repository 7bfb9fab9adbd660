//! Formats medians with the minimum and the maximum of all rounds.

use super::Round;
use super::process::median;

pub(crate) fn of_rounds(rounds: &[Round], figure: impl Fn(&Round) -> f64) -> Vec<f64> {
    rounds.iter().map(figure).collect()
}

fn with_range(all: &[f64], write: impl Fn(f64) -> String) -> String {
    let least = all.iter().copied().fold(f64::INFINITY, f64::min);
    let most = all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!("{} ({}–{})", write(median(all)), write(least), write(most))
}

pub(crate) fn ratio(all: &[f64]) -> String {
    with_range(all, |one| format!("{one:.2}"))
}

pub(crate) fn number(all: &[f64]) -> String {
    with_range(all, |one| {
        let text = format!("{one:.0}");
        match text.len().checked_sub(3) {
            Some(index) if index > 0 => format!("{},{}", &text[..index], &text[index..]),
            _ => text,
        }
    })
}

pub(crate) fn millis(seconds: &[f64]) -> String {
    with_range(seconds, |one| format!("{:.2}", one * 1e3)) + " ms"
}

pub(crate) fn micros(seconds: f64) -> String {
    format!("{:.0} µs", seconds * 1e6)
}
