//! Whether a partition can be written, as its writer task last found.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

/// How long a commit shows that the partition can be written.
const RECENT: Duration = Duration::from_secs(1);

/// When the partition was last written; `None` if the last try failed. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Writable(Arc<Mutex<Option<Instant>>>);

impl Writable {
    /// Notes a transaction that was committed now, or that was not.
    pub(super) fn note(&self, is_committed: bool) {
        *self.0.lock().expect("nothing panics under this lock") = is_committed.then(Instant::now);
    }

    /// Whether something was committed, and nothing has failed since.
    pub(super) fn is_known(&self) -> bool {
        self.written_at().is_some()
    }

    /// Whether something was committed just now, and nothing has failed since.
    pub(super) fn is_recent(&self) -> bool {
        self.written_at().is_some_and(|at| at.elapsed() < RECENT)
    }

    fn written_at(&self) -> Option<Instant> {
        *self.0.lock().expect("nothing panics under this lock")
    }
}
