//! A PostgreSQL cluster for one case, in an environment and a directory that the case chooses.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sqlx::{Connection, PgConnection};

/// A running cluster, which is stopped when dropped.
#[derive(Debug)]
pub(crate) struct Cluster {
    directory: PathBuf,
    environment: Vec<(&'static str, String)>,
    settings: Vec<&'static str>,
}

impl Cluster {
    /// Starts a cluster.
    pub(crate) fn start(
        directory: &Path,
        environment: &[(&'static str, String)],
        settings: &[&'static str],
    ) -> Self {
        let cluster = Self {
            directory: directory.to_owned(),
            environment: environment.to_vec(),
            settings: settings.to_vec(),
        };
        assert!(cluster.try_start(), "the cluster starts");
        cluster
    }

    pub(crate) fn url(&self) -> String {
        let directory = self.directory.display();
        format!("postgres://postgres@localhost/postgres?host={directory}")
    }

    /// Returns the id of the cluster's parent process.
    pub(crate) fn postmaster(&self) -> u32 {
        let file = self.directory.join("data/postmaster.pid");
        let text = std::fs::read_to_string(file).unwrap();
        text.lines().next().unwrap().parse().unwrap()
    }

    /// Stops the cluster as a crash would.
    pub(crate) fn crash(&self) -> bool {
        self.script(&["stop", self.directory.to_str().unwrap(), "immediate"])
    }

    pub(crate) fn try_start(&self) -> bool {
        let start = ["start", self.directory.to_str().unwrap()];
        self.script(&[&start, &*self.settings].concat())
    }

    /// Returns when the cluster accepts connections, after starting it if it has ended.
    pub(crate) async fn until_up(&self) {
        let up = async {
            while PgConnection::connect(&self.url()).await.is_err() {
                if !self.directory.join("data/postmaster.pid").exists() {
                    tokio::task::block_in_place(|| self.try_start());
                }
            }
        };
        tokio::time::timeout(crate::TIMEOUT, up)
            .await
            .expect("PostgreSQL is up again");
    }

    fn script(&self, arguments: &[&str]) -> bool {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/postgres");
        let status = Command::new(script)
            .args(arguments)
            .envs(self.environment.iter().cloned())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        status.unwrap().success()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.crash();
    }
}

/// Creates a directory that PostgreSQL can enter as another user.
pub(crate) fn directory() -> tempfile::TempDir {
    let directory = tempfile::Builder::new()
        .prefix("billables-pg")
        .tempdir_in("/tmp")
        .unwrap();
    crate::shim::open_to_all(directory.path(), 0o755);
    directory
}
