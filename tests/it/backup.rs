//! Backups and restores, and their effect on cursors and running servers.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::manual::commands;
use crate::support::server::{command, run};
use crate::support::{Client, Cluster, Database, Server, on_both_databases};
use crate::verify::verify;

/// The timeout of every wait. A test that reaches it fails.
const TIMEOUT: Duration = Duration::from_secs(60);

fn call(database: &Database, arguments: &[&str]) -> (i32, String, String) {
    run(&mut command(database, arguments))
}

fn report(number: usize) -> Value {
    json!({"accountId": "acc", "customerId": "cus", "callSid": format!("CA{number}")})
}

async fn report_status(client: &Client, number: usize) -> u16 {
    client.report(&report(number)).await.status
}

/// Reports calls until the sender stops it. The task returns the number of reported calls, all of
/// which must be stored.
fn keep_reporting(client: Client) -> (watch::Sender<bool>, JoinHandle<usize>) {
    let (stop, stopped) = watch::channel(false);
    let reporting = tokio::spawn(async move {
        let mut number = 1000;
        while !*stopped.borrow() {
            assert_eq!(report_status(&client, number).await, 201);
            number += 1;
        }
        number - 1000
    });
    (stop, reporting)
}

/// An SQLite database that does not exist yet, and its directory, which has no other file.
fn elsewhere() -> (Database, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let url = format!(
        "sqlite://{}",
        directory.path().join("restored.db").display()
    );
    (Database::sqlite().at(&url), directory)
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Stops a server as a supervisor does.
fn stop(mut server: Server) {
    server.signal("-TERM");
    assert_eq!(server.wait(), Some(0));
}

/// The listed billables and the totals.
async fn everything(client: &Client) -> (Value, Value) {
    let list = client.get("/billables?limit=1000").await.json();
    let days = "startDate=2020-01-01&endDate=2099-12-31";
    let totals = client.get(&format!("/billing?accountId=acc&{days}")).await;
    (list["items"].clone(), totals.json()["customers"].clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_a_running_server_is_complete_and_restores() {
    let database = Database::sqlite();
    let server = Server::start(&database).await;
    let client = server.client();
    for number in 0..10 {
        assert_eq!(report_status(&client, number).await, 201);
    }
    let cursor = client.get("/log?limit=5").await.json()["nextCursor"].clone();
    let page = client.get("/billables?limit=5").await.json()["nextCursor"].clone();
    let (stop_reporting, reporting) = keep_reporting(client.clone());
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("backup.db");
    let file_name = file.to_str().unwrap();
    let (code, said, errors) = call(&database, &["backup", file_name]);
    assert_eq!((code, &*errors), (0, ""));
    // A backup does not overwrite a file, and leaves no other files behind.
    let (code, output, errors) = call(&database, &["backup", file_name]);
    assert_eq!((code, &*output), (1, ""));
    assert!(errors.ends_with("backup.db already exists\n"), "{errors}");
    stop_reporting.send(true).unwrap();
    let reported = reporting.await.unwrap();
    assert_eq!(names(directory.path()), ["backup.db"]);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&file), mode(database.file()));

    let (other, beside) = elsewhere();
    let (code, output, errors) = call(&other, &["restore", file_name]);
    assert_eq!((code, &*errors), (0, ""), "{output}");
    assert_eq!(names(beside.path()), ["restored.db"]);
    assert_eq!(
        names(directory.path()),
        ["backup.db"],
        "the backup is unchanged"
    );
    let ids = other.ids().await;
    assert!(ids.len() >= 10 && ids.len() <= 10 + reported);
    // The output has the number of entries and the last position.
    let last = other.entries().await.last().unwrap().1;
    let counted = format!("{} entries", ids.len());
    assert!(
        said.starts_with(&format!("backed up {counted} of the log ")),
        "{said}"
    );
    assert!(
        said.ends_with(&format!(", up to position {last}\n")),
        "{said}"
    );
    assert!(
        output.starts_with(&format!("restored {counted}, up to position {last}; ")),
        "{output}"
    );
    // The backup has the first entries in commit order, without gaps.
    let all = database.ids().await;
    assert_eq!(ids, all[..ids.len()]);
    let (code, output, errors) = verify(&other);
    assert_eq!(code, 0, "{output}{errors}");

    let restored = Server::start_fresh(&other, &[]);
    let client = restored.client_of(server.secret());
    assert_eq!(report_status(&client, 3).await, 200);
    assert_eq!(report_status(&client, 5000).await, 201);
    for (cursor, path) in [
        (cursor, "/log?after="),
        (page, "/billables?limit=5&cursor="),
    ] {
        let path = format!("{path}{}", cursor.as_str().unwrap());
        let gone = client.get(&path).await;
        assert_eq!((gone.status, &*gone.error_code()), (410, "CursorGone"));
        assert_eq!(server.client().get(&path).await.status, 200);
    }
    stop(restored);
    assert_eq!(verify(&other).0, 0);
}

#[tokio::test]
async fn a_backup_that_fails_leaves_nothing_behind() {
    let database = Database::sqlite();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("backup.db");
    let backup = |database: &Database| call(database, &["backup", file.to_str().unwrap()]);
    let (code, _, errors) = backup(&database);
    assert_eq!(
        (code, errors.contains("cannot read ")),
        (1, true),
        "{errors}"
    );
    assert!(!database.file().exists(), "no file is created");
    std::fs::write(database.file(), "").unwrap();
    let (code, _, errors) = backup(&database);
    assert_eq!(
        (code, errors.contains(" has no log")),
        (1, true),
        "{errors}"
    );
    std::fs::write(database.file(), "not a database, but long enough to look").unwrap();
    let (code, _, errors) = backup(&database);
    assert_eq!(
        (code, errors.contains("cannot open the SQLite file")),
        (1, true),
        "{errors}"
    );
    assert!(names(directory.path()).is_empty());
    assert_eq!(
        call(&database, &["backup", directory.path().to_str().unwrap()]).0,
        2
    );
    let (code, _, errors) = call(&database, &["backup", "/nowhere/at/all.db"]);
    assert_eq!(
        (
            code,
            errors.contains("cannot write ") || errors.contains("cannot read ")
        ),
        (1, true),
        "{errors}"
    );
}

#[tokio::test]
async fn a_restore_that_would_lose_data_is_refused() {
    let database = Database::sqlite();
    let server = Server::start(&database).await;
    assert_eq!(report_status(&server.client(), 1).await, 201);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("backup.db");
    let file_name = file.to_str().unwrap();
    assert_eq!(call(&database, &["backup", file_name]).0, 0);
    // A restore over a running server's database is refused.
    let (code, _, errors) = call(&database, &["restore", file_name]);
    assert_eq!(code, 1);
    assert!(
        errors.contains("already exists: stop the server and move"),
        "{errors}"
    );
    assert_eq!(report_status(&server.client(), 2).await, 201);
    // A restore from a file that a server writes to is refused.
    let (other, beside) = elsewhere();
    let (code, _, errors) = call(&other, &["restore", database.file().to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(
        errors.contains("is a database in use and not a backup"),
        "{errors}"
    );
    // A restore next to files that another database left is refused.
    for suffix in ["-wal", "-shm"] {
        let rest = beside.path().join(format!("restored.db{suffix}"));
        std::fs::write(&rest, "x").unwrap();
        let (code, _, errors) = call(&other, &["restore", file_name]);
        assert_eq!(code, 1);
        assert!(
            errors.contains(&format!("restored.db{suffix} already exists")),
            "{errors}"
        );
        std::fs::remove_file(rest).unwrap();
    }
    // A restore from a file that is damaged or not a backup is refused.
    let damaged = directory.path().join("damaged.db");
    let mut bytes = std::fs::read(&file).unwrap();
    let pages = bytes.len() / 4096;
    for page in 2..pages {
        bytes[page * 4096 + 3..page * 4096 + 60].fill(0xff);
    }
    std::fs::write(&damaged, &bytes).unwrap();
    let text = directory.path().join("text.db");
    std::fs::write(&text, "not a database, but long enough to look").unwrap();
    let empty = directory.path().join("empty.db");
    std::fs::write(&empty, "").unwrap();
    let nowhere = directory.path().join("nowhere.db");
    for (file, reason) in [
        (damaged, "damaged.db is damaged: "),
        (text, "text.db is damaged: file is not a database"),
        (empty, "empty.db has no log"),
        (nowhere, "cannot copy "),
    ] {
        let (code, _, errors) = call(&other, &["restore", file.to_str().unwrap()]);
        assert_eq!(
            (code, errors.contains(reason)),
            (1, true),
            "{reason}: {errors}"
        );
        assert!(names(beside.path()).is_empty());
    }
    // A read-only backup can be restored.
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o400)).unwrap();
    assert_eq!(call(&other, &["restore", file_name]).0, 0);
    assert_eq!(
        report_status(&Server::start(&other).await.client(), 1).await,
        200
    );
}

#[tokio::test]
async fn a_database_file_moved_under_a_running_server_is_not_written_to() {
    let database = Database::sqlite();
    let server = Server::start(&database).await;
    let client = server.client();
    assert_eq!(report_status(&client, 1).await, 201);
    let directory = database.file().parent().unwrap();
    let aside = tempfile::tempdir().unwrap();
    let file = aside.path().join("backup.db");
    assert_eq!(call(&database, &["backup", file.to_str().unwrap()]).0, 0);
    for name in names(directory) {
        std::fs::rename(directory.join(&name), aside.path().join(&name)).unwrap();
    }
    // A report stored in the moved file would be lost.
    assert_eq!(report_status(&client, 2).await, 503);
    assert!(
        names(directory).is_empty(),
        "the server creates no new file"
    );
    assert_eq!(call(&database, &["restore", file.to_str().unwrap()]).0, 0);
    assert_eq!(report_status(&client, 2).await, 503);
    server
        .until_logged("the database file was renamed, removed or replaced")
        .await;
    let again = Server::start(&database).await;
    assert_eq!(report_status(&again.client(), 1).await, 200);
    assert_eq!(report_status(&again.client(), 2).await, 201);
    // Stopping the old server does not harm what the new one writes.
    stop(server);
    assert_eq!(report_status(&again.client(), 3).await, 201);
    again.kill();
    assert_eq!(database.ids().await.len(), 3);
    assert_eq!(verify(&database).0, 0);
}

/// A backup that is put in place by hand has the epoch of the log, so only its entries show that it
/// is another.
#[tokio::test]
async fn case_06_a_cursor_is_gone_after_a_backup_was_put_in_place_without_restore() {
    let database = Database::sqlite();
    let server = Server::start(&database).await;
    let secret = server.secret().to_owned();
    let reports = async |client: &Client, numbers: std::ops::Range<usize>| {
        for number in numbers {
            assert_eq!(report_status(client, number).await, 201);
        }
    };
    reports(&server.client(), 0..30).await;
    // A copy by SQLite's own tools has no mark of a backup.
    let backup = database.copied().await;
    reports(&server.client(), 30..35).await;
    let page = server.client().get("/log?limit=1000").await.json();
    assert_eq!(page["items"].as_array().unwrap().len(), 35);
    let after = page["nextCursor"].as_str().unwrap().to_owned();
    stop(server);
    std::fs::copy(backup.file(), database.file()).unwrap();

    let server = Server::start_fresh(&database, &[]);
    let client = server.client_of(&secret);
    // The log grows past the cursor's position with others.
    reports(&client, 100..110).await;
    let gone = client.get(&format!("/log?after={after}")).await;
    assert_eq!((gone.status, &*gone.error_code()), (410, "CursorGone"));
}

on_both_databases!(
    a_restored_log_has_a_new_epoch_and_a_running_server_notices,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        for number in 0..4 {
            assert_eq!(report_status(&client, number).await, 201);
        }
        let cursor = client.get("/log?limit=2").await.json()["nextCursor"].clone();
        let after = format!("/log?after={}", cursor.as_str().unwrap());
        let before = everything(&client).await;
        let (code, output, errors) = call(&database, &["restore"]);
        assert_eq!((code, &*errors), (0, ""));
        assert!(output.starts_with("the log has the new epoch "), "{output}");
        assert_eq!(client.get(&after).await.status, 503);
        let refused = async { while report_status(&client, 1).await != 503 {} };
        timeout(TIMEOUT, refused)
            .await
            .expect("the server notices the other log");
        server
            .until_logged("the database contains a different log")
            .await;

        let again = Server::start_fresh(&database, &[]);
        let client = again.client_of(server.secret());
        let gone = client.get(&after).await;
        assert_eq!((gone.status, &*gone.error_code()), (410, "CursorGone"));
        assert_eq!(everything(&client).await, before);
        assert_eq!(report_status(&client, 1).await, 200);
        assert_eq!(report_status(&client, 9).await, 201);
        assert_eq!(client.get("/log?after=AAAA").await.status, 400);
        assert_eq!(verify(&database).0, 0);
    }
);

on_both_databases!(
    a_database_without_a_log_is_not_restored,
    async |database: Database| {
        let (code, output, errors) = call(&database, &["restore"]);
        assert_eq!((code, &*output), (1, ""));
        assert!(errors.contains("has no log yet"), "{errors}");
    }
);

#[tokio::test]
async fn postgres_backup_and_restore_refer_to_pg_dump_and_pg_restore() {
    let database = Database::postgres().await;
    let (code, output, errors) = call(&database, &["backup", "x"]);
    assert_eq!((code, &*output), (2, ""));
    assert!(
        errors.contains("pg_dump --format=custom --file=FILE"),
        "{errors}"
    );
    let (code, output, errors) = call(&database, &["restore", "x"]);
    assert_eq!((code, &*output), (2, ""));
    assert!(errors.contains("pg_restore --exit-on-error"), "{errors}");
}

/// Runs the manual's commands unchanged, in a directory.
fn bash(database: &Database, directory: &Path, commands: &str) -> (i32, String, String) {
    let program = Path::new(env!("CARGO_BIN_EXE_billables"));
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/postgres");
    let tools = Command::new(scripts).arg("bin").output().unwrap().stdout;
    let tools = String::from_utf8(tools).unwrap();
    let path = format!(
        "{}:{}:/usr/bin:/bin",
        program.parent().unwrap().display(),
        tools.trim()
    );
    let mut bash = Command::new("bash");
    bash.args(["-euo", "pipefail", "-c", commands])
        .env_clear()
        .env("PATH", path)
        .env("DATABASE_URL", database.url())
        .current_dir(directory)
        .stdin(Stdio::null());
    run(&mut bash)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_backup_commands_in_the_manual_work_on_sqlite() {
    let database = Database::sqlite();
    let server = Server::start(&database).await;
    assert_eq!(report_status(&server.client(), 1).await, 201);
    let directory = tempfile::tempdir().unwrap();
    let commands = commands("docs/operations.md", "billables backup ");
    let (code, output, errors) = bash(&database, directory.path(), &commands);
    assert_eq!(code, 0, "{output}{errors}");
    let said = [
        "backed up 1 entries",
        "restored 1 entries",
        "verified 1 entries",
    ];
    let mut lines = output.lines();
    assert!(
        said.iter()
            .all(|said| lines.any(|line| line.starts_with(said))),
        "{output}"
    );
    let restored = directory.path().join("restored.db");
    let restored = database.at(&format!("sqlite://{}", restored.display()));
    let again = Server::start_fresh(&restored, &[]);
    assert_eq!(
        report_status(&again.client_of(server.secret()), 1).await,
        200
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_dump_commands_in_the_manual_work_under_load_on_postgres() {
    // The manual's commands fix the name of the other database, so the cluster must not be shared.
    let cluster = Cluster::start(&[]);
    let database = Database::created_on(&cluster.url(), "").await;
    assert_eq!(call(&database, &["migrate", "--partitions", "3"]).0, 0);
    let server = Server::start(&database).await;
    let client = server.client();
    for number in 0..50 {
        assert_eq!(report_status(&client, number).await, 201);
    }
    let cursor = client.get("/log?limit=5").await.json()["nextCursor"].clone();
    let (stop_reporting, reporting) = keep_reporting(client.clone());
    let directory = tempfile::tempdir().unwrap();
    let url = cluster.url().replace("/postgres?", "/restored?");
    let commands = format!(
        "RESTORED_URL='{url}'\n{}",
        commands("docs/operations.md", "pg_dump ")
    );
    let (code, output, errors) = bash(&database, directory.path(), &commands);
    assert_eq!((code, &*errors), (0, ""), "{output}");
    stop_reporting.send(true).unwrap();
    let reported = reporting.await.unwrap();
    assert!(reported > 0);
    let lines: Vec<_> = output.lines().collect();
    assert!(
        lines[0].starts_with("the log has the new epoch "),
        "{output}"
    );
    let last = lines.last().unwrap();
    assert!(
        last.starts_with("verified ") && last.ends_with(": 0 finding(s)"),
        "{output}"
    );

    let restored = database.at(&url);
    let ids = restored.ids().await;
    assert!(ids.len() >= 50 && ids.len() <= 50 + reported);
    let server_2 = Server::start_fresh(&restored, &[]);
    let client = server_2.client_of(server.secret());
    let gone = client
        .get(&format!("/log?after={}", cursor.as_str().unwrap()))
        .await;
    assert_eq!((gone.status, &*gone.error_code()), (410, "CursorGone"));
    assert_eq!(report_status(&client, 7).await, 200);
    assert_eq!(report_status(&client, 9999).await, 201);
    drop(server_2);
    assert_eq!(verify(&restored).0, 0);
}

#[tokio::test]
async fn case_16_a_restore_lists_the_tokens_that_are_valid_again() {
    let database = Database::sqlite().migrated();
    let create = |client: &str| {
        let (code, secret, errors) = call(&database, &["token", "create", "--client", client]);
        assert_eq!(code, 0, "{errors}");
        secret.trim().to_owned()
    };
    let secrets = ["kept", "leaked"].map(create);
    let server = Server::start(&database).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("backup.db");
    assert_eq!(call(&database, &["backup", file.to_str().unwrap()]).0, 0);
    let (_, listed, _) = call(&database, &["token", "list"]);
    let leaked = listed
        .lines()
        .find(|line| line.contains(" leaked "))
        .unwrap();
    let id = leaked.split_whitespace().next().unwrap();
    assert_eq!(call(&database, &["token", "revoke", id]).0, 0);
    server.kill();
    let (other, _beside) = elsewhere();
    let (code, shown, errors) = call(&other, &["restore", file.to_str().unwrap()]);
    assert_eq!(code, 0, "{errors}");
    assert!(
        shown.contains("these tokens are valid, also if they were revoked after the backup"),
        "{shown}"
    );
    for client in ["kept", "leaked"] {
        assert!(shown.contains(&format!(" {client} ")), "{shown}");
    }
    assert!(secrets.iter().all(|secret| !shown.contains(secret)));
    assert_eq!(call(&other, &["token", "revoke", id]).0, 0);
    let again = Server::start(&other).await;
    assert_eq!(report_status(&again.client_of(&secrets[1]), 1).await, 401);
    assert_eq!(report_status(&again.client_of(&secrets[0]), 1).await, 201);
}
