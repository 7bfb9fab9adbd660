//! How far a command is, on standard error: a bar where somebody looks, else a line now and then.
//! What is done within a second says nothing.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How long a command runs in silence.
const SILENCE: Duration = Duration::from_secs(1);

/// How often there is a line where nobody looks.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// The progress of one command.
#[derive(Debug)]
pub(super) struct Progress {
    /// What is being done, such as `importing`.
    doing: &'static str,
    bar: ProgressBar,
    total: Option<u64>,
    begun: Instant,
    last_line: Instant,
}

impl Progress {
    /// Begins; `total` is in whatever unit [`Self::at`] is told.
    pub(super) fn new(doing: &'static str, total: Option<u64>) -> Self {
        let style = match total {
            Some(_) => "{prefix} {wide_bar} {percent}% {msg} {eta}",
            None => "{prefix} {spinner} {msg} {elapsed}",
        };
        let style = ProgressStyle::with_template(style);
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden());
        bar.set_style(style.expect("a template of ours"));
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

    /// Says that `done` of the total is done, which is `rows` rows.
    pub(super) fn at(&mut self, done: u64, rows: u64) {
        if self.begun.elapsed() < SILENCE {
            return;
        }
        if self.bar.is_hidden() {
            // It stays hidden where standard error is no terminal.
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
            eprintln!("{}: {rows} rows{}", self.doing, share.unwrap_or_default());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
