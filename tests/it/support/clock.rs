//! A clock that a test sets, for the programs it starts: `clock.c`, compiled here and preloaded.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

/// The directory with the library and the number of seconds by which the clock is moved.
#[derive(Debug)]
pub(crate) struct Clock {
    directory: TempDir,
}

impl Clock {
    /// Builds a clock that is right. The build of the program needs a C compiler, too.
    pub(crate) fn new() -> Self {
        let clock = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/clock.c");
        let compiled = Command::new("cc")
            .args(["-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o"])
            .arg(clock.file("clock.so"))
            .arg(source)
            .status()
            .unwrap();
        assert!(compiled.success());
        clock.set(0);
        clock
    }

    /// Moves the clock to this many seconds after the real time.
    pub(crate) fn set(&self, seconds: i64) {
        // The file is written in place, because the programs have it mapped.
        let mut options = std::fs::OpenOptions::new();
        let file = options.write(true).create(true).truncate(false);
        let file = file.open(self.file("control")).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &seconds.to_ne_bytes(), 0).unwrap();
    }

    /// The environment variables that a program needs.
    pub(crate) fn environment(&self) -> [(&'static str, String); 2] {
        [
            ("LD_PRELOAD", self.file("clock.so").display().to_string()),
            ("CLOCK_CONTROL", self.file("control").display().to_string()),
        ]
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}
