//! Counts instructions with valgrind's callgrind, because they do not depend on how busy the
//! machine is.
//!
//! A test runs itself under callgrind, which writes a count each time it leaves [`measured`].

use std::process::{Command, Stdio};

/// The environment variable that is set in the process under callgrind.
const WATCHED: &str = "BILLABLES_COST_WATCHED";

/// Runs `operations` under callgrind. Returns the instructions of each [`measured`] call, in order.
///
/// Returns `None` in the process that callgrind watches, which runs only the test named `test`.
pub(crate) fn count(test: &str, operations: impl FnOnce()) -> Option<Vec<u64>> {
    if std::env::var_os(WATCHED).is_some() {
        operations();
        return None;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut valgrind = Command::new("valgrind");
    let watched = valgrind
        .args([
            "--tool=callgrind",
            "--toggle-collect=*measured*",
            "--dump-after=cost*measured*",
        ])
        .arg(format!(
            "--callgrind-out-file={}",
            directory.path().join("part").display()
        ))
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--test-threads=1"])
        .env(WATCHED, "1")
        // Keeps freed memory for the next allocation of the same size. Otherwise the cost of an
        // allocation depends on the heap's layout, which the length of a path changes.
        .env("GLIBC_TUNABLES", "glibc.malloc.tcache_count=65535")
        .stdout(Stdio::null())
        .output()
        .expect("valgrind is installed; scripts/test-cost installs it");
    assert!(
        watched.status.success(),
        "{}",
        String::from_utf8_lossy(&watched.stderr)
    );
    let parts = (1..).map_while(|number| {
        let part = directory.path().join(format!("part.{number}"));
        let text = std::fs::read_to_string(part).ok()?;
        let count = text.lines().find_map(|line| line.strip_prefix("summary: "));
        Some(count.unwrap().trim().parse().unwrap())
    });
    Some(parts.collect())
}

/// Runs the operation that is counted.
#[inline(never)]
pub(crate) fn measured(operation: &dyn Fn()) {
    operation();
}
