//! Startup: the first start, settings, refusals and commands.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::client::send;
use crate::support::server::{command, rest_of, run};
use crate::support::{Cluster, Database, Server};

/// Runs `billables serve` where it must refuse to start. Returns its exit code and its one message.
fn refusal(command: &mut Command) -> (i32, String) {
    let (code, output, errors) = run(command);
    assert_eq!(output, "");
    let messages: Vec<_> = errors
        .lines()
        .filter(|line| line.starts_with("billables: "))
        .collect();
    assert_eq!(messages.len(), 1, "{errors}");
    (code, messages[0].to_owned())
}

fn serve(database: &Database) -> Command {
    command(database, &["serve", "--listen", "127.0.0.1:0"])
}

#[tokio::test]
async fn a_new_sqlite_file_is_accessible_only_to_its_owner() {
    let database = Database::sqlite();
    let server = Server::start_fresh(&database, &[]);
    let path = database.url().strip_prefix("sqlite://").unwrap();
    for suffix in ["", "-wal", "-shm"] {
        let file = std::fs::metadata(format!("{path}{suffix}")).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::mode(&file.permissions());
        assert_eq!(mode & 0o777, 0o600, "{suffix}");
    }
    drop(server);
}

#[tokio::test]
async fn the_first_start_on_sqlite_prints_a_token_once_with_a_working_curl_command() {
    let database = Database::sqlite();
    let mut server = Server::start_fresh(&database, &[]);
    server.signal("-TERM");
    let printed = rest_of(server.stdout());
    assert_eq!(server.wait(), Some(0));
    let secret = printed
        .split_whitespace()
        .find(|word| word.starts_with("bil_"))
        .unwrap();
    assert!(!server.log().contains(secret));

    let mut server = Server::start_fresh(&database, &[]);
    let curl = printed
        .lines()
        .find(|line| line.trim().starts_with("curl "))
        .unwrap();
    // Only the port differs from what was printed.
    let (before, after) = curl.split_once("http://").unwrap();
    let (_, after) = after.split_once("/billables").unwrap();
    let curl = format!("{before}http://{}/billables{after}", server.address());
    let output = Command::new("bash")
        .args(["-c", &curl])
        .stderr(Stdio::null())
        .output()
        .unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    assert!(output.starts_with("HTTP/1.1 201 "), "{output}");
    let (_, billable) = output.split_once("\r\n\r\n").unwrap();
    let billable: Value = serde_json::from_str(billable).unwrap();
    let reply = server
        .client_of(secret)
        .get(&format!("/billables/{}", billable["id"].as_str().unwrap()))
        .await;
    assert_eq!(reply.json()["customerId"], json!("test"));
    assert_eq!(reply.json()["callSid"], json!("test-1"));
    server.signal("-TERM");
    assert_eq!(rest_of(server.stdout()), "");
}

#[tokio::test]
async fn the_first_start_creates_a_token_only_on_sqlite_on_loopback_without_an_admin_token() {
    let admin = [("BILLABLES_ADMIN_TOKEN", "0123456789abcdef0123456789abcdef")];
    let database = Database::sqlite();
    let with_admin = Server::start_fresh(&database, &admin);
    let everywhere = Database::sqlite();
    let on_all_addresses = Server::start_fresh(&everywhere, &[("BILLABLES_LISTEN", "0.0.0.0:0")]);
    let remote = Database::postgres().await;
    let on_postgres = Server::start_fresh(&remote, &[]);
    for (mut server, is_told) in [
        (with_admin, false),
        (on_all_addresses, true),
        (on_postgres, true),
    ] {
        server.signal("-TERM");
        assert_eq!(rest_of(server.stdout()), "");
        server.wait();
        assert_eq!(server.log().contains("billables token create"), is_told);
    }
}

#[test]
fn unusable_settings_are_refused_with_one_error_message() {
    let database = Database::sqlite();
    let short = [("BILLABLES_ADMIN_TOKEN", "short-secret")];
    let long = "0123456789abcdef0123456789abcdef";
    let both = [
        ("BILLABLES_ADMIN_TOKEN", long),
        ("BILLABLES_ADMIN_TOKEN_FILE", "/x"),
    ];
    let cases: [(&[(&str, &str)], &str); 10] = [
        (&short, "at least 32 characters"),
        (&both, "not both"),
        (
            &[("BILLABLES_ADMIN_TOKEN_FILE", "/nowhere/at-all")],
            "cannot read BILLABLES_ADMIN_TOKEN_FILE",
        ),
        (
            &[("BILLABLES_ADMIN_TOKEN", "0123456789abcdef 0123456789abcdef")],
            "visible ASCII",
        ),
        (
            &[("DATABASE_URL", "mysql://root@x/y")],
            "must begin with sqlite:// or postgres://",
        ),
        (&[("DATABASE_URL", "sqlite::memory:")], "must name a file"),
        (&[("DATABASE_URL", "sqlite://")], "must name a file"),
        (
            &[("DATABASE_URL", "sqlite://x.db?mode=memory")],
            "takes no parameters",
        ),
        (
            &[("DATABASE_URL", "postgres://u:pass-word@:bad:port/x")],
            "DATABASE_URL is invalid",
        ),
        (&[("RUST_LOG", "billables=loud")], "RUST_LOG is invalid"),
    ];
    for (environment, expected) in cases {
        let (code, message) = refusal(serve(&database).envs(environment.iter().copied()));
        assert_eq!(code, 2, "{message}");
        assert!(message.contains(expected), "{message}");
        assert!(
            !message.contains("short-secret") && !message.contains("pass-word"),
            "{message}"
        );
    }
    for arguments in [
        &["--listen"][..],
        &["--max-queue", "0"],
        &["--header-timeout", "soon"],
        &["--nope"],
        &["nope"],
    ] {
        let (code, _, errors) = run(&mut command(&database, arguments));
        assert_eq!(code, 2, "{arguments:?}: {errors}");
    }
}

#[test]
fn an_address_or_database_that_cannot_be_opened_is_refused_with_one_error_message() {
    let database = Database::sqlite();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let nowhere = "postgres://u:pass-word@127.0.0.1:1/x";
    let cases: [(&[(&str, &str)], &str); 3] = [
        (
            &[("BILLABLES_LISTEN", &taken)],
            "cannot listen on 127.0.0.1:",
        ),
        (
            &[("DATABASE_URL", "sqlite:///nowhere/at/all.db")],
            "cannot open the SQLite file /nowhere/at/all.db",
        ),
        (
            &[("DATABASE_URL", nowhere)],
            "cannot open the PostgreSQL database x at 127.0.0.1:1",
        ),
    ];
    for (environment, expected) in cases {
        let mut serve = command(&database, &["serve"]);
        let (code, message) = refusal(serve.envs(environment.iter().copied()));
        assert_eq!(code, 1, "{message}");
        assert!(
            message.contains(expected) && !message.contains("pass-word"),
            "{message}"
        );
    }
}

#[test]
fn a_file_that_is_not_a_database_is_refused() {
    let database = Database::sqlite();
    std::fs::write(
        database.url().strip_prefix("sqlite://").unwrap(),
        "a text, and not an SQLite database",
    )
    .unwrap();
    let (code, message) = refusal(&mut serve(&database));
    assert_eq!(code, 1);
    assert!(message.contains("cannot open the SQLite file"), "{message}");
}

#[tokio::test]
async fn a_postgresql_server_that_may_lose_commits_is_refused() {
    for setting in ["fsync", "full_page_writes"] {
        let cluster = Cluster::start(&[&format!("{setting}=off")]);
        let database = Database::created_on(&cluster.url(), "").await;
        let (code, message) = refusal(&mut serve(&database));
        assert_eq!(code, 1);
        assert!(
            message.contains(&format!(
                "may lose acknowledged commits: {setting} is off; set it to on"
            )),
            "{message}"
        );
        cluster.stop();
        cluster.restart(&[]);
        drop(Server::start(&database).await);
    }
}

#[tokio::test]
async fn a_citus_worker_that_may_lose_commits_is_refused() {
    let database = Database::postgres().await;
    // Stands in for Citus, which returns its workers' settings through this function.
    database
        .execute(
            "create function run_command_on_workers(command text, parallel bool default true)
             returns table (nodename text, nodeport int, success bool, result text) language sql as
             $$ select 'worker-2', 9702, true, case when command like '%fsync%' then 'off' else 'on' end $$",
        )
        .await;
    let (code, message) = refusal(&mut serve(&database));
    assert_eq!(code, 1);
    assert!(
        message
            .contains("the Citus worker worker-2:9702 may lose acknowledged commits: fsync is off"),
        "{message}"
    );
}

#[tokio::test]
async fn a_database_with_another_encoding_is_refused() {
    let cluster = std::env::var("BILLABLES_TEST_POSTGRES").expect("run scripts/test");
    let database = Database::created_on(&cluster, "encoding 'SQL_ASCII'").await;
    let (code, message) = refusal(&mut serve(&database));
    assert_eq!(code, 1);
    assert!(
        message.contains("encoding is SQL_ASCII, but it must be UTF8"),
        "{message}"
    );
}

#[tokio::test]
async fn a_standby_is_refused() {
    let cluster = Cluster::start(&[]);
    let database = Database::created_on(&cluster.url(), "").await;
    cluster.stop();
    cluster.make_standby();
    cluster.restart(&[]);
    let (code, message) = refusal(&mut serve(&database));
    assert_eq!(code, 1);
    assert!(message.contains("read-only standby"), "{message}");
}

#[tokio::test]
async fn the_number_of_partitions_is_fixed_when_the_log_is_created() {
    let database = Database::postgres().await;
    let (code, output, _) = run(&mut command(&database, &["migrate", "--partitions", "4"]));
    assert_eq!(code, 0);
    assert!(output.ends_with("and 4 partition(s)\n"), "{output}");
    assert_eq!(
        run(&mut command(&database, &["migrate"])),
        (0, output.clone(), String::new())
    );
    let (code, _, errors) = run(&mut command(&database, &["migrate", "--partitions", "2"]));
    assert_eq!(
        (code, &*errors),
        (
            1,
            "billables: the log has 4 partition(s), which cannot be changed to 2\n"
        )
    );
    assert_eq!(
        run(&mut command(&database, &["migrate", "--partitions", "0"])).0,
        2
    );

    let server = Server::start(&database).await;
    for number in 0..40 {
        let report = json!({"sessionId": "S", "callSid": format!("CA{number}")});
        let reply = server.client().report(&report).await;
        assert_eq!(reply.status, 201);
        assert_eq!(
            server
                .client()
                .get(reply.header("location").unwrap())
                .await
                .status,
            200
        );
        assert_eq!(server.client().report(&report).await.status, 200);
    }
    let partitions: std::collections::HashSet<_> = database
        .entries()
        .await
        .iter()
        .map(|(partition, ..)| *partition)
        .collect();
    assert_eq!(partitions.len(), 4);

    let (code, _, errors) = run(&mut command(
        &Database::sqlite(),
        &["migrate", "--partitions", "2"],
    ));
    assert_eq!(
        (code, errors.contains("SQLite has one partition")),
        (1, true),
        "{errors}"
    );
}

#[tokio::test]
async fn settings_come_from_dot_env_and_the_environment_wins() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("from-dot-env.db");
    std::fs::write(
        directory.path().join(".env"),
        format!("DATABASE_URL=sqlite://{}\n# a comment\n", path.display()),
    )
    .unwrap();
    let database = Database::sqlite();
    let list = |environment: &[(&str, &str)]| {
        let mut command = command(&database, &["migrate"]);
        command
            .env_remove("DATABASE_URL")
            .current_dir(directory.path())
            .envs(environment.iter().copied());
        run(&mut command)
    };
    assert_eq!(list(&[("DATABASE_URL", database.url())]).0, 0);
    assert!(!path.exists());
    assert_eq!(list(&[]).0, 0);
    assert!(path.exists());
    std::fs::write(
        directory.path().join(".env"),
        "BILLABLES_ADMIN_TOKEN='a secret",
    )
    .unwrap();
    let (code, _, errors) = list(&[]);
    assert_eq!(
        (code, &*errors),
        (
            2,
            "billables: cannot read .env, line 1: each line must be NAME=VALUE or a comment\n"
        )
    );
}

#[tokio::test]
async fn an_admin_token_is_read_from_a_file() {
    let database = Database::sqlite();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("admin-token");
    std::fs::write(&file, "0123456789abcdef0123456789abcdef\n").unwrap();
    let server = Server::start_in(
        &database,
        &[],
        &[("BILLABLES_ADMIN_TOKEN_FILE", file.to_str().unwrap())],
    )
    .await;
    let client = server.client_of("0123456789abcdef0123456789abcdef");
    assert_eq!(
        send(client.post("/billables?sessionId=S")).await.status,
        201
    );
}
