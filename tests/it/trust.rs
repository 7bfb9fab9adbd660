//! Clocks that are wrong, and SQLite files that are moved, replaced or mounted: nothing that may be
//! lost is acknowledged.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use billables::billable::Timestamp;
use billables::token::Scope;
use serde_json::{Value, json};
use sqlx::{Connection, SqliteConnection};
use tokio::time::timeout;

use crate::support::clock::Clock;
use crate::support::server::{command, run, serve, token};
use crate::support::{Client, Database, Server, on_both_databases};
use crate::verify::verify;

/// The timeout of every wait. A test that reaches it fails.
const TIMEOUT: Duration = Duration::from_secs(60);

const DAY: i64 = 24 * 3600;

fn report(number: usize) -> Value {
    json!({"accountId": "acc", "customerId": "cus", "callSid": format!("CA{number}")})
}

async fn status(client: &Client, number: usize) -> u16 {
    client.report(&report(number)).await.status
}

/// Sends new reports, with numbers from `number` on, until one gets this status.
async fn until_status(client: &Client, number: usize, wanted: u16) {
    let waiting = async {
        for number in number.. {
            if status(client, number).await == wanted {
                return;
            }
        }
    };
    timeout(TIMEOUT, waiting)
        .await
        .unwrap_or_else(|_| panic!("no report gets {wanted}"));
}

async fn until_ready(client: &Client, wanted: u16) {
    let waiting = async { while client.get("/readyz").await.status != wanted {} };
    timeout(TIMEOUT, waiting)
        .await
        .unwrap_or_else(|_| panic!("/readyz does not get {wanted}"));
}

/// Starts a server with a clock that the test sets.
async fn start_at(database: &Database, clock: &Clock) -> Server {
    let environment = clock.environment();
    let environment = environment
        .each_ref()
        .map(|(name, value)| (*name, &**value));
    Server::start_in(database, &[], &environment).await
}

fn call_at(database: &Database, clock: &Clock, arguments: &[&str]) -> (i32, String, String) {
    run(command(database, arguments).envs(clock.environment()))
}

/// The name of a file that SQLite keeps beside the database.
fn beside(database: &Database, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", database.file().display()))
}

/// Starts a server that must not start. Returns its exit code and its messages.
fn refused(database: &Database) -> (i32, String) {
    let (code, _, errors) = run(&mut serve(database, &[], &[]));
    (code, errors)
}

on_both_databases!(
    case_07_nothing_is_stored_while_the_clock_is_before_the_programs_commit,
    async |database: Database| {
        let clock = Clock::new();
        let server = start_at(&database, &clock).await;
        let client = server.client();
        assert_eq!(status(&client, 1).await, 201);
        let now = Timestamp::now().as_micros() / 1_000_000;
        // In 1979 and in 1970. No kernel sets a time before it, and hyper could not write its date.
        for wrong in [9 * 365 * DAY, 60] {
            clock.set(wrong - now);
            let reply = client.report(&report(2)).await;
            assert_eq!(
                (reply.status, &*reply.error_code()),
                (503, "ClockImplausible")
            );
            assert!(reply.header("retry-after").is_some());
            // What is too far from the wrong clock is not the sender's mistake.
            let mut honest = report(3);
            honest["occurredAt"] = json!("2026-03-01T12:00:00Z");
            assert_eq!(client.report(&honest).await.status, 503);
            let ready = client.get("/readyz").await;
            assert_eq!(
                (ready.status, &*ready.error_code()),
                (503, "ClockImplausible")
            );
            assert_eq!(client.get("/livez").await.status, 200);
            let decision = client.request(reqwest::Method::PUT, "/sessions/S");
            let decision = decision.json(&json!({"accountId": "a", "customerId": "c"}));
            assert_eq!(crate::support::client::send(decision).await.status, 503);
        }
        clock.set(0);
        assert_eq!(status(&client, 2).await, 201);
        until_ready(&client, 200).await;
        assert_eq!(database.ids().await.len(), 2);
        assert_eq!(verify(&database).0, 0);
    }
);

#[tokio::test(flavor = "multi_thread")]
async fn case_07_a_server_with_a_wrong_clock_starts_and_is_ready_once_it_is_set() {
    let database = Database::sqlite();
    let clock = Clock::new();
    clock.set(-40 * 365 * DAY);
    let server = start_at(&database, &clock).await;
    let client = server.client();
    assert_eq!(client.get("/readyz").await.status, 503);
    server.until_logged("the clock is implausible").await;
    clock.set(0);
    until_ready(&client, 200).await;
    server.until_logged("the clock is plausible again").await;
    assert_eq!(status(&client, 1).await, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn case_07_a_clock_behind_the_log_stores_nothing_until_it_is_set_or_accepted() {
    let database = Database::sqlite();
    let clock = Clock::new();
    // The clock is two years ahead, and is then set right.
    clock.set(2 * 365 * DAY);
    let server = start_at(&database, &clock).await;
    let client = server.client();
    assert_eq!(status(&client, 1).await, 201);
    until_ready(&client, 200).await;
    clock.set(0);
    until_status(&client, 1000, 503).await;
    server.until_logged("run `billables clock --accept`").await;
    // Other servers do the same.
    let other = start_at(&database, &clock).await;
    assert_eq!(status(&other.client(), 3).await, 503);
    // An import with a wrong clock would give its reports a wrong time, too.
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("reports.csv");
    fs::write(&file, "accountId,customerId,callSid\na,c,CA9\n").unwrap();
    let (code, _, errors) = call_at(&database, &clock, &["import", file.to_str().unwrap()]);
    assert_eq!(
        (code, errors.contains("the clock is implausible")),
        (1, true),
        "{errors}"
    );

    let (code, shown, errors) = call_at(&database, &clock, &["clock"]);
    assert_eq!(code, 1, "{errors}");
    assert!(
        shown.contains("the latest report was recorded: "),
        "{shown}"
    );
    assert!(errors.contains("more than an hour behind"), "{errors}");
    clock.set(-40 * 365 * DAY);
    let (code, _, errors) = call_at(&database, &clock, &["clock", "--accept"]);
    assert!(
        code == 1 && errors.contains("before the program was written"),
        "{errors}"
    );
    clock.set(0);
    let (code, shown, errors) = call_at(&database, &clock, &["clock", "--accept"]);
    assert_eq!((code, shown.ends_with("accepted\n")), (0, true), "{errors}");
    assert!(
        errors.contains("this machine's clock was accepted"),
        "{errors}"
    );
    until_status(&client, 100_000, 201).await;
    until_status(&other.client(), 200_000, 201).await;
    assert_eq!(call_at(&database, &clock, &["clock"]).0, 0);
    assert_eq!(verify(&database).0, 0);
}

/// Otherwise one import from a machine with a wrong clock would stop every server.
#[tokio::test(flavor = "multi_thread")]
async fn case_07_an_import_does_not_move_the_clock_of_the_log() {
    let database = Database::sqlite();
    let clock = Clock::new();
    let server = start_at(&database, &clock).await;
    assert_eq!(status(&server.client(), 1).await, 201);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("reports.csv");
    fs::write(&file, "accountId,customerId,callSid\na,c,CA9\n").unwrap();
    clock.set(300 * DAY);
    let (code, _, errors) = call_at(&database, &clock, &["import", file.to_str().unwrap()]);
    assert_eq!(code, 0, "{errors}");
    clock.set(0);
    assert_eq!(status(&server.client(), 2).await, 201);
    assert_eq!(call_at(&database, &clock, &["clock"]).0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn case_07_a_clock_far_from_postgresqls_stores_nothing() {
    let database = Database::postgres().await;
    let clock = Clock::new();
    let server = start_at(&database, &clock).await;
    let client = server.client();
    assert_eq!(status(&client, 1).await, 201);
    for wrong in [-70, 70] {
        clock.set(wrong);
        assert_eq!(status(&client, 2).await, 503, "{wrong} s");
        let (code, shown, errors) = call_at(&database, &clock, &["clock"]);
        assert_eq!(code, 1, "{errors}");
        assert!(shown.contains("the database's clock: "), "{shown}");
        assert!(errors.contains("by more than a minute"), "{errors}");
    }
    let (code, _, errors) = call_at(&database, &clock, &["clock", "--accept"]);
    assert_eq!(
        (code, errors.contains("PostgreSQL has a clock of its own")),
        (2, true),
        "{errors}"
    );
    clock.set(30);
    assert_eq!(status(&client, 2).await, 201);
}

on_both_databases!(
    case_07_a_row_that_was_recorded_later_than_now_is_not_imported,
    async |database: Database| {
        let database = database.migrated();
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("billables.ndjson");
        let row = |id: u32, recorded_at: &str| {
            json!({
                "id": format!("01890000-0000-7000-8000-00000000000{id}"), "accountId": "a", "customerId": "c",
                "occurredAt": "2026-03-01T12:00:00Z", "recordedAt": recorded_at,
                "billedAccountId": "a", "billedCustomerId": "c", "state": "billable",
            })
        };
        let rows = [
            row(1, "2026-03-01T12:00:01Z"),
            row(2, "2099-03-01T12:00:01Z"),
        ];
        fs::write(&file, rows.map(|row| format!("{row}\n")).concat()).unwrap();
        let (code, shown, errors) =
            run(&mut command(&database, &["import", file.to_str().unwrap()]));
        assert_eq!(code, 1, "{errors}");
        assert!(
            shown.contains("new 1,") && shown.contains("refused 1"),
            "{shown}"
        );
        assert!(
            errors.contains("the row's recordedAt is later than now"),
            "{errors}"
        );
    }
);

#[tokio::test(flavor = "multi_thread")]
async fn case_02_reports_are_refused_when_the_wal_was_renamed_or_removed_and_none_is_lost() {
    for (suffix, is_renamed) in [("-wal", true), ("-wal", false), ("-shm", false)] {
        let database = Database::sqlite();
        let server = Server::start(&database).await;
        let client = server.client();
        for number in 0..20 {
            assert_eq!(status(&client, number).await, 201);
        }
        let file = beside(&database, suffix);
        if is_renamed {
            fs::rename(&file, beside(&database, "-gone")).unwrap();
        } else {
            fs::remove_file(&file).unwrap();
        }
        let reply = client.report(&report(100)).await;
        assert_eq!(
            (reply.status, &*reply.error_code()),
            (503, "StoreUnavailable"),
            "{suffix}"
        );
        until_ready(&client, 503).await;
        server
            .until_logged("was removed or renamed while this server had it open")
            .await;
        server
            .until_logged("what the removed file held is in the database now")
            .await;
        // It stays so, even if the file comes back.
        if is_renamed {
            fs::rename(beside(&database, "-gone"), &file).unwrap();
        }
        assert_eq!(status(&client, 101).await, 503);
        server.kill();
        let again = Server::start(&database).await;
        for number in 0..20 {
            assert_eq!(status(&again.client(), number).await, 200, "{suffix}");
        }
        assert_eq!(status(&again.client(), 100).await / 100, 2);
        assert_eq!(verify(&database).0, 0);
    }
}

/// The server must not touch a file that another program has put there, not even when it stops.
#[tokio::test(flavor = "multi_thread")]
async fn case_02_a_replaced_wal_is_left_alone_and_the_old_one_is_kept() {
    let database = Database::sqlite();
    let mut server = Server::start(&database).await;
    let client = server.client();
    for number in 0..20 {
        assert_eq!(status(&client, number).await, 201);
    }
    let wal = beside(&database, "-wal");
    let aside = beside(&database, "-other");
    fs::write(&aside, "another program's").unwrap();
    fs::rename(&aside, &wal).unwrap();
    assert_eq!(status(&client, 100).await, 503);
    until_ready(&client, 503).await;
    server
        .until_logged("was replaced while this server had it open")
        .await;
    let kept = beside(&database, &format!("-wal-kept-{}", server.id()));
    server.until_logged(kept.to_str().unwrap()).await;
    server.signal("-TERM");
    assert_eq!(server.wait(), Some(0));
    assert_eq!(fs::read(&wal).unwrap(), b"another program's");
    // The operator's way back, as the manual has it.
    fs::rename(&kept, &wal).unwrap();
    fs::remove_file(beside(&database, "-shm")).unwrap();
    let again = Server::start(&database).await;
    for number in 0..20 {
        assert_eq!(status(&again.client(), number).await, 200);
    }
    assert_eq!(verify(&database).0, 0);
}

/// SQLite deletes a WAL that it finds beside an empty database.
#[tokio::test(flavor = "multi_thread")]
async fn case_02_no_command_touches_a_wal_whose_database_is_missing() {
    let database = Database::sqlite();
    let server = Server::start(&database).await;
    for number in 0..20 {
        assert_eq!(status(&server.client(), number).await, 201);
    }
    let file = database.file().to_owned();
    let moved = beside(&database, "-moved");
    // Beside a running server, and after a kill.
    for is_killed in [false, true] {
        fs::rename(&file, &moved).unwrap();
        let before = fs::read(beside(&database, "-wal")).unwrap();
        for content in [None, Some("")] {
            if let Some(content) = content {
                fs::write(&file, content).unwrap();
            }
            for arguments in [
                vec!["serve"],
                vec!["token", "create", "--client", "x"],
                vec!["client", "list"],
                vec!["migrate"],
                vec!["verify"],
                vec!["export"],
                vec!["clock"],
                vec!["backup", "/nonexistent/x.db"],
            ] {
                let mut refused = command(&database, &arguments);
                let (code, _, errors) = run(refused.env("BILLABLES_LISTEN", "127.0.0.1:0"));
                assert_eq!(code, 1, "{arguments:?}: {errors}");
                assert!(
                    errors.contains("is missing or empty, but there is")
                        || arguments[0] == "backup",
                    "{arguments:?}: {errors}"
                );
            }
            // The running server's roller may have appended to it.
            let after = fs::read(beside(&database, "-wal")).unwrap();
            assert!(after.starts_with(&before), "{is_killed}");
            assert!(!is_killed || after.len() == before.len());
        }
        fs::remove_file(&file).unwrap();
        fs::rename(&moved, &file).unwrap();
        if !is_killed {
            until_ready(&server.client(), 200).await;
            assert_eq!(status(&server.client(), 100).await, 201);
            server.signal("-KILL");
        }
    }
    drop(server);
    let again = Server::start(&database).await;
    for number in (0..20).chain([100]) {
        assert_eq!(status(&again.client(), number).await, 200);
    }
}

/// Otherwise a command would make another WAL, with which it sees nothing of the first.
#[tokio::test(flavor = "multi_thread")]
async fn case_02_a_file_in_use_without_its_wal_is_refused_under_every_name() {
    let database = Database::sqlite();
    let server = Server::start(&database).await;
    for number in 0..20 {
        assert_eq!(status(&server.client(), number).await, 201);
    }
    let other = beside(&database, "-other");
    fs::rename(database.file(), &other).unwrap();
    let renamed = database.at(&format!("sqlite://{}", other.display()));
    let (code, errors) = refused(&renamed);
    assert_eq!(code, 1, "{errors}");
    assert!(
        errors.contains("is in use by the process ")
            && errors.contains("whose WAL is not beside it"),
        "{errors}"
    );
    let aside = tempfile::tempdir().unwrap();
    let backup = aside.path().join("x.db");
    let (code, _, errors) = run(&mut command(
        &renamed,
        &["backup", backup.to_str().unwrap()],
    ));
    assert!(
        code == 1 && errors.contains("whose WAL is not beside it"),
        "{errors}"
    );
    fs::rename(&other, database.file()).unwrap();
    until_ready(&server.client(), 200).await;
    // The WAL is removed, and a command comes before the server has copied it, while it copies, or
    // after that. Whatever it says, nothing is lost.
    fs::remove_file(beside(&database, "-wal")).unwrap();
    let (code, _, errors) = run(&mut command(&database, &["token", "list"]));
    assert!(
        code == 0
            || errors.contains("whose WAL is not beside it")
            || errors.contains("the database is unavailable"),
        "{errors}"
    );
    server
        .until_logged("what the removed file held is in the database now")
        .await;
    drop(server);
    let again = Server::start(&database).await;
    for number in 0..20 {
        assert_eq!(status(&again.client(), number).await, 200);
    }
}

/// SQLite leaves the WAL of a renamed file where it is.
#[tokio::test(flavor = "multi_thread")]
async fn case_02_a_server_whose_file_was_renamed_leaves_it_whole_when_it_stops() {
    let database = Database::sqlite();
    let mut server = Server::start(&database).await;
    for number in 0..20 {
        assert_eq!(status(&server.client(), number).await, 201);
    }
    let other = beside(&database, "-other");
    fs::rename(database.file(), &other).unwrap();
    assert_eq!(status(&server.client(), 100).await, 503);
    server
        .until_logged("the database file was renamed, removed or replaced")
        .await;
    server.signal("-TERM");
    assert_eq!(server.wait(), Some(0));
    let renamed = database.at(&format!("sqlite://{}", other.display()));
    let again = Server::start(&renamed).await;
    for number in 0..20 {
        assert_eq!(status(&again.client(), number).await, 200);
    }
}

/// A reader of another process keeps the removed WAL from being copied.
#[tokio::test(flavor = "multi_thread")]
async fn case_02_a_removed_wal_that_cannot_be_copied_is_kept_at_the_stop() {
    let database = Database::sqlite();
    let mut server = Server::start(&database).await;
    let client = server.client();
    assert_eq!(status(&client, 0).await, 201);
    let mut reader = SqliteConnection::connect(database.url()).await.unwrap();
    let read = "begin; select count(*) from entries";
    sqlx::raw_sql(read).execute(&mut reader).await.unwrap();
    for number in 1..20 {
        assert_eq!(status(&client, number).await, 201);
    }
    let wal = beside(&database, "-wal");
    fs::remove_file(&wal).unwrap();
    server.until_logged("do not stop this server before").await;
    server
        .until_logged("another process keeps the WAL from being copied")
        .await;
    let kept = beside(&database, &format!("-wal-kept-{}", server.id()));
    server.signal("-TERM");
    assert_eq!(server.wait(), Some(0));
    assert!(
        server.log().contains(kept.to_str().unwrap()),
        "{}",
        server.log()
    );
    reader.close().await.unwrap();
    let (code, errors) = refused(&database);
    assert!(
        code == 1 && errors.contains(kept.to_str().unwrap()),
        "{errors}"
    );
    for suffix in ["-wal", "-shm"] {
        let _ = fs::remove_file(beside(&database, suffix));
    }
    fs::rename(&kept, &wal).unwrap();
    let again = Server::start(&database).await;
    for number in 0..20 {
        assert_eq!(status(&again.client(), number).await, 200);
    }
    assert_eq!(verify(&database).0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn case_04_a_backup_is_only_put_in_place_by_restore() {
    let database = Database::sqlite();
    let server = Server::start(&database).await;
    let client = server.client();
    for number in 0..50 {
        assert_eq!(status(&client, number).await, 201);
    }
    let directory = tempfile::tempdir().unwrap();
    let backup = directory.path().join("backup.db");
    let backup_name = backup.to_str().unwrap();
    assert_eq!(run(&mut command(&database, &["backup", backup_name])).0, 0);
    for number in 50..100 {
        assert_eq!(status(&client, number).await, 201);
    }
    server.kill();
    assert!(beside(&database, "-wal").exists());
    let before = fs::read(beside(&database, "-wal")).unwrap();
    fs::copy(&backup, database.file()).unwrap();
    for arguments in [
        vec!["serve"],
        vec!["verify"],
        vec!["export"],
        vec!["token", "list"],
        vec!["migrate"],
        vec!["backup", "/nonexistent/x.db"],
    ] {
        let mut refused = command(&database, &arguments);
        let (code, _, errors) = run(refused.env("BILLABLES_LISTEN", "127.0.0.1:0"));
        assert_eq!(code, 1, "{arguments:?}: {errors}");
        assert!(
            errors.contains("is a backup: put it in place with `billables restore FILE`")
                || arguments[0] == "backup",
            "{arguments:?}: {errors}"
        );
    }
    // Nothing was written, so the WAL can still be rescued.
    assert!(fs::read(beside(&database, "-wal")).unwrap() == before);
}

/// A copy that SQLite's own tools made has no mark, but the pages of the WAL do not fit it.
#[tokio::test(flavor = "multi_thread")]
async fn case_04_a_file_under_the_wal_of_another_is_refused() {
    let database = Database::sqlite();
    let server = Server::start(&database).await;
    let client = server.client();
    for number in 0..300 {
        assert_eq!(status(&client, number).await, 201);
    }
    let copy = database.copied().await;
    for number in 300..340 {
        assert_eq!(status(&client, number).await, 201);
    }
    server.kill();
    fs::copy(copy.file(), database.file()).unwrap();
    let before = fs::read(beside(&database, "-wal")).unwrap();
    let (code, errors) = refused(&database);
    assert_eq!(code, 1, "{errors}");
    assert!(
        errors.contains("the WAL beside it belongs to another file"),
        "{errors}"
    );
    assert!(fs::read(beside(&database, "-wal")).unwrap() == before);
    let (code, _, errors) = run(&mut command(&database, &["backup", "/nonexistent/x.db"]));
    assert_eq!(code, 1, "{errors}");
    let aside = tempfile::tempdir().unwrap();
    let backup = aside.path().join("x.db");
    let (code, _, errors) = run(&mut command(
        &database,
        &["backup", backup.to_str().unwrap()],
    ));
    assert_eq!(code, 1, "{errors}");
    assert!(
        errors.contains("the WAL beside it belongs to another file"),
        "{errors}"
    );
    assert!(fs::read(beside(&database, "-wal")).unwrap() == before);
    assert!(fs::read(database.file()).unwrap() == fs::read(copy.file()).unwrap());
}

/// The pages of an older copy may fit those of the WAL well enough, but it is of another run.
#[tokio::test(flavor = "multi_thread")]
async fn case_04_an_older_copy_of_the_same_file_under_the_newer_wal_is_refused() {
    let database = Database::sqlite();
    let copy = beside(&database, "-copy");
    let mut next = 0;
    let mut begin = async |count: usize| {
        let server = Server::start(&database).await;
        for number in next..next + count {
            assert_eq!(status(&server.client(), number).await, 201);
        }
        next += count;
        server
    };
    let mut first = begin(30).await;
    first.signal("-TERM");
    assert_eq!(first.wait(), Some(0));
    fs::copy(database.file(), &copy).unwrap();
    let mut second = begin(10).await;
    second.signal("-TERM");
    assert_eq!(second.wait(), Some(0));
    begin(5).await.kill();
    let current = fs::read(database.file()).unwrap();
    let before = fs::read(beside(&database, "-wal")).unwrap();
    fs::copy(&copy, database.file()).unwrap();
    let (code, errors) = refused(&database);
    assert_eq!(code, 1, "{errors}");
    assert!(
        errors.contains("the file is not the one that the WAL was begun for"),
        "{errors}"
    );
    assert!(fs::read(beside(&database, "-wal")).unwrap() == before);
    fs::write(database.file(), current).unwrap();
    let again = Server::start(&database).await;
    for number in 0..45 {
        assert_eq!(status(&again.client(), number).await, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_04_nothing_is_acknowledged_after_a_backup_was_written_over_the_database() {
    let database = Database::sqlite();
    let server = Server::start(&database).await;
    assert_eq!(status(&server.client(), 1).await, 201);
    let aside = tempfile::tempdir().unwrap();
    let backup = aside.path().join("x.db");
    let (code, _, errors) = run(&mut command(
        &database,
        &["backup", backup.to_str().unwrap()],
    ));
    assert_eq!(code, 0, "{errors}");
    // In place, so that the file keeps its inode, as `cp` does.
    fs::write(database.file(), fs::read(&backup).unwrap()).unwrap();
    assert_eq!(status(&server.client(), 2).await, 503);
    server
        .until_logged("a backup was written over the database")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn case_05_a_file_with_two_names_is_refused_and_a_new_name_is_warned_of() {
    let database = Database::sqlite();
    let server = Server::start(&database).await;
    assert_eq!(status(&server.client(), 1).await, 201);
    let other = beside(&database, "-other-name");
    fs::hard_link(database.file(), &other).unwrap();
    server.until_logged("has another name (a hard link)").await;
    assert_eq!(status(&server.client(), 2).await, 201);
    let linked = database.at(&format!("sqlite://{}", other.display()));
    for database in [&database, &linked] {
        let (code, errors) = refused(database);
        assert_eq!(
            (code, errors.contains("it has 2 names (hard links)")),
            (1, true),
            "{errors}"
        );
        let (code, _, errors) = run(&mut command(database, &["export"]));
        assert_eq!(
            (code, errors.contains("it has 2 names (hard links)")),
            (1, true),
            "{errors}"
        );
    }
    fs::remove_file(other).unwrap();
    Server::start(&database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn case_05_a_database_in_memory_is_refused_unless_it_is_allowed() {
    let memory = Path::new("/dev/shm");
    let directory = tempfile::tempdir_in(memory).unwrap();
    let url = format!(
        "sqlite://{}",
        directory.path().join("billables.db").display()
    );
    let database = Database::sqlite().at(&url);
    let mut strict = serve(&database, &[], &[("BILLABLES_ALLOW_VOLATILE", "false")]);
    let (code, _, errors) = run(&mut strict);
    assert_eq!(
        (code, errors.contains("the database is in memory (tmpfs)")),
        (1, true),
        "{errors}"
    );
    let secret = token(&database, "default", &Scope::ALL, None).await;
    let allowed = serve(
        &database,
        &["--allow-volatile"],
        &[("BILLABLES_ALLOW_VOLATILE", "false")],
    );
    let server = Server::spawn(allowed, secret);
    server
        .until_logged("the database is in memory (tmpfs)")
        .await;
    assert_eq!(status(&server.client(), 1).await, 201);
}
