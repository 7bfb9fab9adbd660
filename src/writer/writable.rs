//! Whether a partition can be written, as its writer task last found.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

/// How long a commit shows that the partition can be written.
const RECENT: Duration = Duration::from_secs(1);

/// How long an attempt may take before the partition counts as one that cannot be written.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is known of a partition. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Writable(Arc<Mutex<State>>);

#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// When something was last committed; `None` if the last attempt failed, or there was none.
    written_at: Option<Instant>,
    /// When the attempt that is under way began.
    begun_at: Option<Instant>,
}

/// What is known without asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    Writable,
    /// An attempt takes too long.
    Stuck,
    /// The last attempt failed, or was a while ago.
    Unknown,
}

impl Writable {
    /// Notes that an attempt begins.
    pub(super) fn begin(&self) {
        self.change(|state| state.begun_at = Some(Instant::now()));
    }

    /// Notes that an attempt has ended. It may have found that there is nothing to write.
    pub(super) fn end(&self, has_failed: bool) {
        self.change(|state| {
            state.begun_at = None;
            if has_failed {
                state.written_at = None;
            }
        });
    }

    /// Notes a transaction that was committed now.
    pub(super) fn written(&self) {
        self.change(|state| state.written_at = Some(Instant::now()));
    }

    /// Whether something was committed, and nothing has failed since.
    pub(super) fn was_written(&self) -> bool {
        self.state().written_at.is_some()
    }

    /// Returns what is known. A writer that is busy is not asked, because under load the question
    /// would wait for its turn.
    pub(super) fn known(&self) -> Known {
        let State {
            written_at,
            begun_at,
        } = self.state();
        let is_recent = written_at.is_some_and(|at| at.elapsed() < RECENT);
        match begun_at.map(|at| at.elapsed()) {
            Some(takes) if takes >= PATIENCE => Known::Stuck,
            Some(_) if written_at.is_some() => Known::Writable,
            _ if is_recent => Known::Writable,
            _ => Known::Unknown,
        }
    }

    fn state(&self) -> State {
        *self.0.lock().expect("nothing panics under this lock")
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.lock().expect("nothing panics under this lock"));
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_busy_writer_is_not_asked_and_a_stuck_one_counts_as_one_that_fails() {
        let writable = Writable::default();
        assert_eq!(writable.known(), Known::Unknown);
        writable.begin();
        assert_eq!(
            writable.known(),
            Known::Unknown,
            "nothing was committed yet"
        );
        writable.written();
        writable.end(false);
        assert_eq!(writable.known(), Known::Writable);
        advance(RECENT).await;
        assert_eq!(writable.known(), Known::Unknown, "it is idle");
        // The next commit takes its time.
        writable.begin();
        assert_eq!(writable.known(), Known::Writable);
        advance(PATIENCE).await;
        assert_eq!(writable.known(), Known::Stuck);
        writable.written();
        writable.end(false);
        assert_eq!(writable.known(), Known::Writable);
        writable.begin();
        writable.end(true);
        assert_eq!(writable.known(), Known::Unknown);
        writable.begin();
        assert_eq!(writable.known(), Known::Unknown, "it failed last");
    }
}
