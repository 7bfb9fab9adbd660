//! A disk that fails on command: `shim.c`, compiled here and preloaded into a server.

use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use tokio::time::timeout;

use crate::TIMEOUT;

/// The directory with the library and its control file.
#[derive(Debug)]
pub(crate) struct Shim {
    directory: TempDir,
}

impl Shim {
    /// Compiles the library. Returns `None` without a C compiler.
    pub(crate) fn compile() -> Option<Self> {
        // PostgreSQL runs as another user and needs access.
        let directory = tempfile::Builder::new()
            .prefix("billables-shim")
            .tempdir_in("/tmp");
        let directory = directory.unwrap();
        open_to_all(directory.path(), 0o755);
        let shim = Self { directory };
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/torture/shim.c");
        let compiled = Command::new("cc")
            .args(["-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o"])
            .arg(shim.library())
            .arg(source)
            .status()
            .ok()?;
        assert!(compiled.success(), "shim.c compiles");
        std::fs::write(shim.control(), [0; 88]).unwrap();
        open_to_all(&shim.control(), 0o666);
        Some(shim)
    }

    fn library(&self) -> PathBuf {
        self.directory.path().join("shim.so")
    }

    fn control(&self) -> PathBuf {
        self.directory.path().join("control")
    }

    /// Returns the environment variables that a process needs.
    pub(crate) fn environment(&self) -> [(&'static str, String); 2] {
        [
            ("LD_PRELOAD", self.library().to_str().unwrap().to_owned()),
            ("SHIM_CONTROL", self.control().to_str().unwrap().to_owned()),
        ]
    }

    /// Makes one call in `every` fail, on files with `part_of_path` in their path.
    pub(crate) fn arm(&self, mode: u8, every: u8, part_of_path: &str) {
        let mut control = [0; 88];
        control[1] = every;
        control[24..24 + part_of_path.len()].copy_from_slice(part_of_path.as_bytes());
        let file = self.file();
        file.write_all_at(&control, 0).unwrap();
        // The mode is written last, because it makes calls fail.
        file.write_all_at(&[mode], 0).unwrap();
    }

    /// Lets all calls succeed again. Returns how many failed.
    pub(crate) fn disarm(&self) -> u64 {
        self.file().write_all_at(&[0], 0).unwrap();
        self.failed()
    }

    /// Returns how many calls failed since `arm`.
    pub(crate) fn failed(&self) -> u64 {
        let mut failed = [0; 8];
        self.file().read_exact_at(&mut failed, 16).unwrap();
        u64::from_ne_bytes(failed)
    }

    /// Returns when this many calls have failed.
    pub(crate) async fn until_failed(&self, count: u64) {
        let failed = async {
            while self.failed() < count {
                tokio::task::yield_now().await;
            }
        };
        timeout(TIMEOUT, failed).await.expect("the disk fails");
    }

    fn file(&self) -> std::fs::File {
        let mut options = std::fs::OpenOptions::new();
        options.read(true).write(true).open(self.control()).unwrap()
    }
}

pub(crate) fn open_to_all(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}
