//! Files that commands write and read: who may read them, what happens to links and to what a
//! killed command left, and which command creates a database.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::support::server::{command, run};
use crate::support::{Database, Server};

/// Runs a command in a folder, without `DATABASE_URL`.
fn run_in(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = command(&Database::sqlite(), arguments);
    run(command.env_remove("DATABASE_URL").current_dir(folder))
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn case_15_only_the_env_file_of_the_current_folder_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let child = folder.path().join("child");
    fs::create_dir(&child).unwrap();
    let text = "DATABASE_URL=sqlite://of-parent.db\nBILLABLES_ADMIN_TOKEN=too-short\n";
    fs::write(folder.path().join(".env"), text).unwrap();
    let (code, _, errors) = run_in(&child, &["migrate"]);
    assert_eq!(code, 0, "{errors}");
    assert!(child.join("billables.db").exists());
    let (code, _, errors) = run_in(folder.path(), &["migrate"]);
    assert_eq!(code, 0, "{errors}");
    assert!(folder.path().join("of-parent.db").exists());
}

#[tokio::test]
async fn case_20_files_are_for_their_owner_and_nothing_is_written_through_a_link() {
    let database = Database::sqlite();
    let server = Server::start(&database).await;
    let report = json!({"sessionId": "S", "callSid": "1"});
    assert_eq!(server.client().report(&report).await.status, 201);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("target"), "of somebody else").unwrap();
    for name in ["export.ndjson", "refused.ndjson"] {
        symlink(path("target"), path(name)).unwrap();
    }
    fs::write(path("calls.csv"), "SessionId,CallSid\nS,1\n,2\n").unwrap();
    let call = |arguments: &[&str]| {
        let mut command = command(&database, arguments);
        run(command.current_dir(folder.path()))
    };
    let (code, _, errors) = call(&["export", "--output", "export.ndjson"]);
    assert!(code == 2 && errors.contains("--force"), "{errors}");
    let (code, _, errors) = call(&["export", "--output", "export.ndjson", "--force"]);
    assert_eq!(code, 0, "{errors}");
    let (code, _, errors) = call(&["import", "calls.csv", "--refused", "refused.ndjson"]);
    assert_eq!(code, 1, "{errors}");
    for name in ["export.ndjson", "refused.ndjson"] {
        assert!(!fs::symlink_metadata(path(name)).unwrap().is_symlink());
        assert_eq!(mode(&path(name)), 0o600, "{name}");
        assert_eq!(fs::read_to_string(path(name)).unwrap().lines().count(), 1);
    }
    assert_eq!(
        fs::read_to_string(path("target")).unwrap(),
        "of somebody else"
    );
    // The file of an import without refused rows is empty, and not the one of an earlier import.
    fs::write(path("calls.csv"), "SessionId,CallSid\nS,1\n").unwrap();
    let (code, _, errors) = call(&["import", "calls.csv", "--refused", "refused.ndjson"]);
    assert_eq!(code, 0, "{errors}");
    assert_eq!(fs::read_to_string(path("refused.ndjson")).unwrap(), "");
    assert_eq!(mode(database.file()), 0o600);
}

/// Commands that use a log, and do not create one.
const OF_A_LOG: [&[&str]; 13] = [
    &["token", "create", "--client", "x"],
    &["token", "list"],
    &["client", "list"],
    &["void", "00000000-0000-4000-8000-000000000000"],
    &["attribute", "S", "--account", "a", "--customer", "c"],
    &["verify"],
    &["export"],
    &["import", "calls.csv"],
    &[
        "check",
        "calls.csv",
        "--account",
        "a",
        "--from",
        "2026-03-01T00:00:00Z",
        "--to",
        "2026-04-01T00:00:00Z",
    ],
    &["clock"],
    &["restore"],
    &["rebuild-totals"],
    &["copy", "sqlite://missing.db", "sqlite://target.db"],
];

#[test]
fn case_21_a_command_in_the_wrong_folder_says_so_and_creates_nothing() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("calls.csv"), "CallSid\n1\n").unwrap();
    for arguments in OF_A_LOG {
        let (code, output, errors) = run_in(folder.path(), arguments);
        assert_eq!((code, &*output), (1, ""), "{arguments:?}: {errors}");
        assert!(
            errors.contains(".db has no log yet: is DATABASE_URL the same as the server's?"),
            "{arguments:?}: {errors}"
        );
    }
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().flatten().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    // An empty file is no database either.
    fs::write(folder.path().join("billables.db"), "").unwrap();
    let (code, _, errors) = run_in(folder.path(), &["token", "list"]);
    assert!(code == 1 && errors.contains("has no log yet"), "{errors}");
    assert_eq!(mode(&folder.path().join("billables.db")) & 0o600, 0o600);
    assert_eq!(fs::read(folder.path().join("billables.db")).unwrap(), b"");
}

#[tokio::test]
async fn case_21_a_command_on_an_empty_postgresql_database_creates_nothing() {
    let database = Database::postgres().await;
    for arguments in [
        &["token", "list"][..],
        &["verify"],
        &["import", "calls.csv"],
    ] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("calls.csv"), "CallSid\n1\n").unwrap();
        let mut command = command(&database, arguments);
        let (code, _, errors) = run(command.current_dir(folder.path()));
        assert_eq!(code, 1, "{arguments:?}: {errors}");
        assert!(
            errors.contains("the PostgreSQL database") && errors.contains("has no log yet"),
            "{errors}"
        );
    }
    let tables = "select count(*) from pg_tables where schemaname = 'public'";
    assert_eq!(database.count(tables).await, 0);
}

#[tokio::test]
async fn case_24_what_a_killed_command_left_is_removed_by_the_next_one() {
    let database = Database::sqlite();
    let server = Server::start(&database).await;
    assert_eq!(
        server
            .client()
            .report(&json!({"sessionId": "S"}))
            .await
            .status,
        201
    );
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in [
        "b.db.billables-00000001.partial",
        "b.db.billables-00000001.partial-journal",
        "b.db.billables-00000002.partial",
        "b.db.20260301.partial",
        "other.db.billables-00000001.partial",
    ] {
        fs::write(path(name), "left").unwrap();
    }
    let in_use = File::open(path("b.db.billables-00000002.partial")).unwrap();
    in_use.lock().unwrap();
    let target = path("b.db");
    let (code, _, errors) = run(&mut command(
        &database,
        &["backup", target.to_str().unwrap()],
    ));
    assert_eq!(code, 0, "{errors}");
    let mut names: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "b.db",
            "b.db.20260301.partial",
            "b.db.billables-00000002.partial",
            "other.db.billables-00000001.partial"
        ]
    );
}

#[tokio::test]
async fn case_20_a_device_is_not_replaced_by_a_file() {
    let database = Database::sqlite();
    let server = Server::start(&database).await;
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let pipe_path = pipe.to_str().unwrap();
    let arguments = ["export", "--format", "csv", "--output", pipe_path];
    let (code, _, errors) = run(&mut command(&database, &arguments));
    assert!(
        code == 2 && errors.contains("is not a file that can be replaced"),
        "{errors}"
    );
    assert!(!fs::metadata(&pipe).unwrap().is_file());
    drop(server);
}

/// The first start's example must not be on the list of billables that nobody is billed for.
#[tokio::test]
async fn case_36_the_first_report_that_is_shown_names_an_account_and_can_be_voided() {
    let database = Database::sqlite();
    let mut server = Server::start_fresh(&database, &[]);
    server.signal("-TERM");
    let shown = crate::support::server::rest_of(server.stdout());
    assert_eq!(server.wait(), Some(0));
    for part in ["\"accountId\":", "\"customerId\":", "permanent", "/void"] {
        assert!(shown.contains(part), "{shown}");
    }
}

#[test]
fn case_37_a_message_says_what_is_wrong_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display().to_string();
    let serve = |name: &str, value: &str| {
        let mut command = command(&Database::sqlite(), &["serve"]);
        let (code, _, errors) = run(command.env(name, value).current_dir(folder.path()));
        (code, errors)
    };
    let (code, errors) = serve("DATABASE_URL", &format!("sqlite://{path}"));
    assert_eq!(code, 1);
    assert!(
        errors.ends_with(&format!("{path}: it is a directory\n")),
        "{errors}"
    );
    let (code, errors) = serve("DATABASE_URL", "sqlite:///nowhere/at/all.db");
    assert_eq!(code, 1);
    assert_eq!(
        errors,
        "billables: cannot open the SQLite file /nowhere/at/all.db: its directory /nowhere/at cannot be used: No such file or directory (os error 2)\n"
    );
    fs::write(
        folder.path().join("text.db"),
        "a text, and not an SQLite database",
    )
    .unwrap();
    let (code, errors) = serve("DATABASE_URL", "sqlite://text.db");
    assert_eq!(
        (code, errors.matches("file is not a database").count()),
        (1, 1),
        "{errors}"
    );

    for listen in ["8080", ":8080"] {
        let (code, errors) = serve("BILLABLES_LISTEN", listen);
        assert_eq!(code, 2);
        assert!(errors.contains("such as 127.0.0.1:8080"), "{errors}");
    }
    let database = Database::sqlite();
    let mut command = command(&database, &["migrate"]);
    let (code, _, errors) = run(command.env("BILLABLES_LISEN", "x"));
    assert_eq!(code, 0);
    assert!(
        errors.contains("there is no setting BILLABLES_LISEN; did you mean BILLABLES_LISTEN?"),
        "{errors}"
    );

    fs::write(
        folder.path().join(".env"),
        "A=b\n# c\nBILLABLES_ADMIN_TOKEN a secret\n",
    )
    .unwrap();
    let (code, _, errors) = run_in(folder.path(), &["migrate"]);
    assert_eq!(
        (code, &*errors),
        (
            2,
            "billables: cannot read .env, line 3: each line must be NAME=VALUE or a comment\n"
        )
    );
}
