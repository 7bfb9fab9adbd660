//! Writes log lines to standard error from a thread of its own, so that nothing else waits for
//! standard error, or fails with it.
//!
//! Lines wait in two bounded queues. Warnings and errors have one of their own, so that a flood of
//! ordinary lines does not displace them. A line that does not fit, or cannot be written, is lost
//! and counted.

use std::io::{self, Write};
use std::sync::{Condvar, Mutex, MutexGuard, Once};
use std::thread;
use std::time::Duration;

use memchr::memchr_iter;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use crate::metrics::METRICS;

/// The maximum size of each queue, in bytes. At 400 bytes a line, it has room for half a second of
/// the requests of a server under full load.
const MAX_QUEUED: usize = 4 * 1024 * 1024;

/// How long a stop waits for the lines that are queued.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// How long to wait after standard error refused a line.
const PAUSE: Duration = Duration::from_millis(100);

/// The lines of this process.
pub(super) static LINES: Lines = Lines::new();

#[derive(Debug)]
pub(super) struct Lines {
    started: Once,
    queued: Mutex<Queued>,
    /// Notified when lines are queued, and when all of them are written.
    changed: Condvar,
}

#[derive(Debug)]
struct Queued {
    /// Warnings and errors, and what a command prints.
    urgent: Vec<u8>,
    ordinary: Vec<u8>,
    is_writing: bool,
}

impl Lines {
    const fn new() -> Self {
        Self {
            started: Once::new(),
            queued: Mutex::new(Queued {
                urgent: Vec::new(),
                ordinary: Vec::new(),
                is_writing: false,
            }),
            changed: Condvar::new(),
        }
    }

    /// Queues lines for the thread that writes, and starts it with the first ones.
    pub(super) fn write_later(&'static self, lines: &[u8], is_urgent: bool) {
        self.started.call_once(|| {
            let thread = thread::Builder::new().name("log".to_owned());
            // Without a thread, the lines are lost once the queues are full.
            drop(thread.spawn(|| self.keep_writing()));
        });
        self.push(lines, is_urgent);
    }

    /// Queues lines, or counts them as lost.
    fn push(&self, lines: &[u8], is_urgent: bool) {
        let mut queued = self.queued();
        let queue = if is_urgent {
            &mut queued.urgent
        } else {
            &mut queued.ordinary
        };
        if queue.len() + lines.len() > MAX_QUEUED {
            lose(lines);
            return;
        }
        let is_first = queue.is_empty();
        queue.extend_from_slice(lines);
        drop(queued);
        if is_first {
            self.changed.notify_all();
        }
    }

    /// Waits until everything is written, for at most [`FLUSH_TIMEOUT`].
    pub(super) fn flush(&self) {
        let is_busy = |queued: &mut Queued| {
            queued.is_writing || !queued.urgent.is_empty() || !queued.ordinary.is_empty()
        };
        drop(
            self.changed
                .wait_timeout_while(self.queued(), FLUSH_TIMEOUT, is_busy),
        );
    }

    fn keep_writing(&self) {
        let (mut said, mut is_torn) = (0, false);
        let (mut urgent, mut ordinary) = (Vec::new(), Vec::new());
        loop {
            let mut queued = self.queued();
            while queued.urgent.is_empty() && queued.ordinary.is_empty() {
                queued.is_writing = false;
                self.changed.notify_all();
                queued = self
                    .changed
                    .wait(queued)
                    .expect("nothing panics under this lock");
            }
            queued.is_writing = true;
            std::mem::swap(&mut queued.urgent, &mut urgent);
            std::mem::swap(&mut queued.ordinary, &mut ordinary);
            drop(queued);
            let mut are_written = true;
            for lines in [&mut urgent, &mut ordinary] {
                are_written &= Self::write(lines, &mut is_torn);
                lines.clear();
            }
            if !are_written {
                thread::sleep(PAUSE);
            }
            let lost = METRICS.log_lines_lost.get();
            // Only when lines can be written, because this one would be lost, too.
            if are_written && lost > said {
                tracing::warn!(lines = lost - said, "log lines were lost");
                said = lost;
            }
        }
    }

    /// Writes lines; counts those that cannot be written. Returns whether all were written.
    /// `is_torn` says whether the last line that was written has no end.
    fn write(lines: &[u8], is_torn: &mut bool) -> bool {
        if *is_torn && !lines.is_empty() {
            *is_torn = !matches!(io::stderr().write(b"\n"), Ok(1));
        }
        let mut rest = lines;
        while !rest.is_empty() {
            match io::stderr().write(rest) {
                Ok(0) => break,
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Another process may have made the terminal or the pipe non-blocking.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(PAUSE),
                Err(_) => break,
            }
        }
        lose(rest);
        let written = &lines[..lines.len() - rest.len()];
        *is_torn |= written.last().is_some_and(|byte| *byte != b'\n');
        rest.is_empty()
    }

    fn queued(&self) -> MutexGuard<'_, Queued> {
        self.queued.lock().expect("nothing panics under this lock")
    }
}

fn lose(lines: &[u8]) {
    let count = memchr_iter(b'\n', lines).count() as u64;
    METRICS.log_lines_lost.inc_by(count);
}

/// Makes the writer of a line, by its level.
#[derive(Debug)]
pub(super) struct ByLevel;

/// Queues one line.
#[derive(Debug)]
pub(super) struct Line {
    is_urgent: bool,
}

impl<'a> MakeWriter<'a> for ByLevel {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { is_urgent: false }
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Line {
        let is_urgent = *meta.level() <= Level::WARN;
        Line { is_urgent }
    }
}

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        LINES.write_later(line, self.is_urgent);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_09_each_queue_is_bounded_and_what_does_not_fit_is_counted() {
        let lines = Lines::new();
        let line = format!("{}\n", "x".repeat(1023));
        let fitting = MAX_QUEUED / line.len();
        for _ in 0..fitting + 3 {
            lines.push(line.as_bytes(), false);
        }
        assert_eq!(METRICS.log_lines_lost.get(), 3);
        lines.push(line.as_bytes(), true);
        assert_eq!(METRICS.log_lines_lost.get(), 3);
        assert_eq!(lines.queued().ordinary.len(), MAX_QUEUED);
        assert_eq!(lines.queued().urgent.len(), line.len());
    }
}
