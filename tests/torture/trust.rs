//! Case 10: SQLite files that are moved, removed, copied over and mounted, and power cuts after
//! failed flushes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sqlx::{Connection, SqliteConnection};

use crate::Torture;
use crate::check::check;
use crate::load::Load;
use crate::shim::Shim;
use crate::support::server::{run as call, serve};
use crate::support::{Database, client, start, start_with};

pub(crate) async fn run(torture: &Torture) {
    removed(torture).await;
    copied_over(torture).await;
    mounted(torture);
    match Shim::compile() {
        Some(shim) => power_cuts(torture, &shim).await,
        None => torture.lack("a C compiler, which builds the fault-injection library"),
    }
}

/// The name of a file that is kept beside the database.
fn beside(database: &Database, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", database.file().display()))
}

/// Files that SQLite keeps beside the database are renamed or removed under load.
async fn removed(torture: &Torture) {
    let rounds = torture.rounds(3, 60);
    let database = Database::sqlite();
    let mut random = torture.random("removed");
    let mut server = start(&database);
    let mut load = Load::start(torture, vec![client(&server)], 16);
    for _ in 0..rounds {
        load.until_acknowledged(20 + random.below(100)).await;
        let all: [&[&str]; 3] = [&["-wal"], &["-shm"], &["-wal", "-shm"]];
        let files = random.of(&all);
        let is_renamed = random.once_in(2);
        for suffix in *files {
            let file = beside(&database, suffix);
            if is_renamed {
                fs::rename(&file, beside(&database, &format!("{suffix}-gone"))).unwrap();
            } else {
                fs::remove_file(&file).unwrap();
            }
        }
        load.until_refused().await;
        server
            .until_logged("what the removed file held is in the database now")
            .await;
        server.kill();
        server = start(&database);
        load.aim(vec![client(&server)]);
    }
    let ledger = load.finish().await;
    let found = check(&database, &client(&server), &ledger.acknowledged).await;
    torture.say(&format!(
        "sqlite: {rounds} times the WAL, its index or both renamed or removed, {} reports retried by clients, {found}",
        ledger.repeated
    ));
    found.hold();
}

/// After a kill, an older copy is put beside the WAL, and later the right file again.
async fn copied_over(torture: &Torture) {
    let rounds = torture.rounds(2, 40);
    let database = Database::sqlite();
    let mut random = torture.random("copied over");
    let mut server = start(&database);
    let mut load = Load::start(torture, vec![client(&server)], 16);
    let (mut refused, mut whole) = (0, 0);
    for round in 0..rounds {
        load.until_acknowledged(20 + random.below(200)).await;
        // A copy of the pages as they are is whole with its WAL, unless the WAL was copied into the
        // database in the meantime. A copy by SQLite has other pages.
        let copy = beside(&database, "-copy");
        let _ = fs::remove_file(&copy);
        match round % 2 {
            0 => drop(fs::copy(database.file(), &copy).unwrap()),
            _ => {
                let statement = format!("vacuum into '{}'", copy.display());
                database.execute_owned(statement).await;
            }
        }
        load.until_acknowledged(20 + random.below(200)).await;
        server.kill();
        let kept = beside(&database, "-kept");
        fs::rename(database.file(), &kept).unwrap();
        fs::copy(&copy, database.file()).unwrap();
        let wal = fs::read(beside(&database, "-wal")).unwrap();
        let is_same = fs::read(&copy).unwrap() == fs::read(&kept).unwrap();
        let (code, _, errors) = tokio::task::block_in_place(|| {
            let mut server = serve(&database, &[], &[]);
            call(server.env("BILLABLES_LISTEN", "256.0.0.1:0"))
        });
        // With the right pages, the server fails only to listen.
        if errors.contains("belongs to another file") {
            assert!(!is_same && code == 1, "{errors}");
            assert!(fs::read(beside(&database, "-wal")).unwrap() == wal);
            fs::rename(&kept, database.file()).unwrap();
            refused += 1;
        } else {
            assert!(
                is_same,
                "pages that do not fit the WAL are refused: {errors}"
            );
            whole += 1;
        }
        server = start(&database);
        load.aim(vec![client(&server)]);
    }
    let ledger = load.finish().await;
    let found = check(&database, &client(&server), &ledger.acknowledged).await;
    torture.say(&format!(
        "sqlite: {rounds} copies put beside the WAL, {refused} refused, {whole} whole, {} reports retried by clients, {found}",
        ledger.repeated
    ));
    found.hold();
}

/// A database that is mounted as a single file, or in memory, is refused.
fn mounted(torture: &Torture) {
    let database = Database::sqlite();
    let other = beside(&database, "-mounted");
    fs::write(database.file(), "").unwrap();
    fs::write(&other, "").unwrap();
    if !succeeds(
        Command::new("mount")
            .arg("--bind")
            .args([database.file(), &*other]),
    ) {
        torture.lack("the right to mount a file");
        return;
    }
    let mounted = database.at(&format!("sqlite://{}", other.display()));
    let (code, _, errors) = call(&mut serve(&mounted, &[], &[]));
    assert!(succeeds(Command::new("umount").arg(&other)));
    assert!(
        code == 1 && errors.contains("it is mounted as a single file"),
        "{errors}"
    );
    let memory = tempfile::tempdir().unwrap();
    let tmpfs = ["-t", "tmpfs", "tmpfs"];
    assert!(succeeds(
        Command::new("mount").args(tmpfs).arg(memory.path())
    ));
    let url = format!("sqlite://{}", memory.path().join("billables.db").display());
    let strict = [("BILLABLES_ALLOW_VOLATILE", "false")];
    let (code, _, errors) = call(&mut serve(&database.at(&url), &[], &strict));
    assert!(succeeds(Command::new("umount").arg(memory.path())));
    assert!(
        code == 1 && errors.contains("the database is in memory"),
        "{errors}"
    );
    torture.say("sqlite: a single mounted file and a file in memory are refused");
}

fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|done| done.status.success())
}

/// Flushes of the WAL fail while a reader keeps it from being copied, and then the power is cut: only
/// pages that a flush confirmed are left.
async fn power_cuts(torture: &Torture, shim: &Shim) {
    let rounds = torture.rounds(4, 100);
    let database = Database::sqlite();
    let mut random = torture.random("power cuts");
    let environment = shim.environment();
    let environment: Vec<_> = environment
        .iter()
        .map(|(name, value)| (*name, &**value))
        .chain([("SHIM_DISK", "1")])
        .collect();
    let mut server = start_with(&database, &environment);
    let mut load = Load::start(torture, vec![client(&server)], 16);
    let (mut failed, mut readers) = (0, 0);
    for _ in 0..rounds {
        load.until_acknowledged(20 + random.below(60)).await;
        let reader = if random.once_in(2) {
            readers += 1;
            let mut reader = SqliteConnection::connect(database.url()).await.unwrap();
            let read = "begin; select count(*) from entries";
            sqlx::raw_sql(read).execute(&mut reader).await.unwrap();
            Some(reader)
        } else {
            None
        };
        let every = 1 + random.below(5);
        let file = random.of(&["billables.db-wal", "billables.db"]);
        shim.arm(b'f', u8::try_from(every).unwrap(), file);
        // With a reader, nothing more is flushed after the first failure.
        shim.until_failed(1).await;
        failed += shim.disarm();
        if let Some(reader) = reader {
            // Nothing is acknowledged while the WAL may have a hole.
            if random.once_in(2) {
                load.until_refused().await;
            }
            reader.close().await.unwrap();
        }
        load.until_acknowledged(random.below(60)).await;
        server.kill();
        cut_power(database.file());
        server = start_with(&database, &environment);
        load.aim(vec![client(&server)]);
    }
    let ledger = load.finish().await;
    let found = check(&database, &client(&server), &ledger.acknowledged).await;
    torture.say(&format!(
        "sqlite: {rounds} power cuts after {failed} failed flushes, {readers} of them with a long reader, {} reports retried by clients, {found}",
        ledger.repeated
    ));
    found.hold();
}

/// Leaves of the files what was on the disk.
fn cut_power(database: &Path) {
    for suffix in ["", "-wal"] {
        let file = format!("{}{suffix}", database.display());
        let disk = format!("{file}.disk");
        if Path::new(&disk).exists() {
            fs::copy(&disk, &file).unwrap();
        } else {
            let _ = fs::remove_file(&file);
        }
    }
    let _ = fs::remove_file(format!("{}-shm", database.display()));
}
