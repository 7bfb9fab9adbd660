//! Case 4: disks that are full, or that fail writes or flushes.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::check::check;
use crate::cluster::{Cluster, directory};
use crate::load::Load;
use crate::shim::Shim;
use crate::support::{Database, client, start, start_with};
use crate::{TIMEOUT, Torture};

pub(crate) async fn run(torture: &Torture) {
    match Shim::compile() {
        Some(shim) => {
            sqlite(torture, &shim).await;
            postgres(torture, &shim).await;
        }
        None => torture.lack("a C compiler, which builds the fault-injection library"),
    }
    match SmallDisk::mount("12m") {
        Some(disk) => full_sqlite(torture, &disk).await,
        None => torture.lack("the right to mount a small file system"),
    }
    match SmallDisk::mount("120m") {
        Some(disk) => full_postgres(torture, &disk).await,
        None => torture.lack("the right to mount a small file system for PostgreSQL"),
    }
}

/// The modes of the shim and their names.
const MODES: [(u8, &str); 4] = [
    (b'n', "no space"),
    (b's', "half of a write, then no space"),
    (b'i', "write errors"),
    (b'f', "flush errors"),
];

async fn sqlite(torture: &Torture, shim: &Shim) {
    let rounds = torture.rounds(4, 80);
    let database = Database::sqlite();
    let mut random = torture.random("sqlite");
    let environment = shim.environment();
    let environment = environment
        .each_ref()
        .map(|(name, value)| (*name, &**value));
    let mut server = start_with(&database, &environment);
    let mut load = Load::start(torture, vec![client(&server)], 16);
    let (mut failed, mut killed) = (0, 0);
    for round in 0..rounds {
        load.until_acknowledged(20 + random.below(60)).await;
        let every = if random.once_in(2) {
            1
        } else {
            2 + random.below(6)
        };
        let file = if random.once_in(2) {
            "billables.db-wal"
        } else {
            "billables.db"
        };
        shim.arm(MODES[round % 4].0, u8::try_from(every).unwrap(), file);
        shim.until_failed(3).await;
        if every == 1 && round % 4 != 3 {
            load.until_refused().await;
        }
        if random.once_in(3) {
            server.kill();
            failed += shim.disarm();
            killed += 1;
            server = start_with(&database, &environment);
            load.aim(vec![client(&server)]);
        } else {
            failed += shim.disarm();
        }
    }
    load.until_acknowledged(50).await;
    let ledger = load.finish().await;
    let found = check(&database, &client(&server), &ledger.acknowledged).await;
    torture.say(&format!(
        "sqlite: {rounds} disk failures injected, {failed} calls failed, {killed} kills meanwhile, {} reports retried by clients, {found}",
        ledger.repeated
    ));
    found.hold();
    assert!(ledger.failed_attempts > 0);
}

async fn postgres(torture: &Torture, shim: &Shim) {
    let rounds = torture.rounds(4, 60);
    let dir = directory();
    let settings = ["shared_buffers=1MB", "checkpoint_timeout=30s"];
    let cluster = Cluster::start(&dir.path().join("pg"), &shim.environment(), &settings);
    let database = Database::created_on(&cluster.url(), "").await;
    let mut random = torture.random("postgres");
    let server = start(&database);
    let mut load = Load::start(torture, vec![client(&server)], 16);
    let mut failed = 0;
    for round in 0..rounds {
        load.until_acknowledged(20 + random.below(60)).await;
        let is_log = round % 2 == 0;
        // With so few buffers, data pages are written constantly but flushed only at checkpoints,
        // so flush errors are injected only into the write-ahead log.
        let (mode, file) = if is_log {
            (*random.of(b"nif"), "/pg_wal/")
        } else {
            (*random.of(b"ni"), "/base/")
        };
        // A lasting outage: every call on the write-ahead log fails. Other failures
        // pass by themselves.
        let lasts = is_log && (round == 0 || random.once_in(3));
        let every = if lasts { 1 } else { 2 + random.below(4) };
        shim.arm(mode, u8::try_from(every).unwrap(), file);
        shim.until_failed(1).await;
        if lasts {
            load.until_refused().await;
        }
        failed += shim.disarm();
        cluster.until_up().await;
    }
    load.until_acknowledged(50).await;
    let ledger = load.finish().await;
    let found = check(&database, &client(&server), &ledger.acknowledged).await;
    torture.say(&format!(
        "postgres: {rounds} disk failures injected, {failed} calls failed, {} reports retried by clients, {found}",
        ledger.repeated
    ));
    found.hold();
}

/// A small file system in memory.
struct SmallDisk {
    directory: TempDir,
}

impl SmallDisk {
    fn mount(size: &str) -> Option<Self> {
        let directory = directory();
        let mounted = Command::new("mount")
            .args([
                "-t",
                "tmpfs",
                "-o",
                &format!("size={size},mode=755"),
                "tmpfs",
            ])
            .arg(directory.path())
            .output();
        let is_mounted = mounted.is_ok_and(|mounted| mounted.status.success());
        is_mounted.then_some(Self { directory })
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Fills the remaining space.
    fn fill(&self) {
        let file = std::fs::File::create(self.path().join("ballast")).unwrap();
        let mut file = std::io::BufWriter::new(file);
        // The copy ends with the error that no space is left.
        let _ = std::io::copy(&mut std::io::repeat(7), &mut file);
    }

    fn empty(&self) {
        std::fs::remove_file(self.path().join("ballast")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

async fn full_sqlite(torture: &Torture, disk: &SmallDisk) {
    let database = Database::sqlite();
    let url = format!("sqlite://{}", disk.path().join("billables.db").display());
    let database = database.at(&url);
    fill_and_empty(torture, "sqlite", disk, &database).await;
}

async fn full_postgres(torture: &Torture, disk: &SmallDisk) {
    // A short write-ahead log, so that it fits.
    let settings = [
        "min_wal_size=32MB",
        "max_wal_size=32MB",
        "shared_buffers=1MB",
    ];
    let cluster = Cluster::start(&disk.path().join("pg"), &[], &settings);
    let database = Database::created_on(&cluster.url(), "").await;
    fill_and_empty(torture, "postgres", disk, &database).await;
}

async fn fill_and_empty(torture: &Torture, name: &str, disk: &SmallDisk, database: &Database) {
    let times = torture.rounds(1, 5);
    let server = start(database);
    let mut load = Load::start(torture, vec![client(&server)], 16);
    for _ in 0..times {
        load.until_acknowledged(50).await;
        tokio::task::block_in_place(|| disk.fill());
        load.until_refused().await;
        disk.empty();
    }
    tokio::time::timeout(TIMEOUT, load.until_acknowledged(50))
        .await
        .expect("there is room again");
    let ledger = load.finish().await;
    let found = check(database, &client(&server), &ledger.acknowledged).await;
    torture.say(&format!(
        "{name}: {times} full file systems, {} reports retried by clients, {found}",
        ledger.repeated
    ));
    found.hold();
}
