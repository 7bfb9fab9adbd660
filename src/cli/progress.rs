//! Shows a command's progress on standard error: a bar on a terminal, otherwise a line every 10
//! seconds. A command that ends within a second shows nothing.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::telemetry::print_line;

/// How long a command runs before it shows progress.
const SILENCE: Duration = Duration::from_secs(1);

/// How often a line is printed if standard error is not a terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// The progress of one command.
#[derive(Debug)]
pub(super) struct Progress {
    /// The activity, such as `importing`.
    doing: &'static str,
    bar: ProgressBar,
    total: Option<u64>,
    begun: Instant,
    last_line: Instant,
}

impl Progress {
    /// Starts showing progress. `total` has the unit of `done` in [`Self::at`].
    pub(super) fn new(doing: &'static str, total: Option<u64>) -> Self {
        let style = match total {
            Some(_) => "{prefix} {wide_bar} {percent}% {msg} {eta}",
            None => "{prefix} {spinner} {msg} {elapsed}",
        };
        let style = ProgressStyle::with_template(style);
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden());
        bar.set_style(style.expect("a valid template"));
        bar.set_prefix(doing);
        let now = Instant::now();
        Self {
            doing,
            bar,
            total,
            begun: now,
            last_line: now,
        }
    }

    /// Updates the progress: `done` is the finished part of the total, and `rows` the number of
    /// rows so far.
    pub(super) fn at(&mut self, done: u64, rows: u64) {
        if self.begun.elapsed() < SILENCE {
            return;
        }
        if self.bar.is_hidden() {
            // The bar stays hidden if standard error is not a terminal.
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.bar.set_position(done);
        self.bar.set_message(format!("{rows} rows"));
        if self.bar.is_hidden() && self.last_line.elapsed() >= LINE_EVERY {
            self.last_line = Instant::now();
            let share = self
                .total
                .filter(|total| *total > 0)
                .map(|total| format!(" ({}%)", done.min(total) * 100 / total));
            let share = share.unwrap_or_default();
            print_line(&format!("{}: {rows} rows{share}", self.doing));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
