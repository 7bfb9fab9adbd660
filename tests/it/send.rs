//! `billables send`: what becomes of the files that a sender could not deliver.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::support::certificate::Certificate;
use crate::support::server::{command, run};
use crate::support::{Database, Server};

/// A directory with files of a sender, and one with the token.
struct Spool {
    files: TempDir,
    token: TempDir,
}

impl Spool {
    fn new(server: &Server) -> Self {
        let spool = Self {
            files: tempfile::tempdir().unwrap(),
            token: tempfile::tempdir().unwrap(),
        };
        fs::write(
            spool.token.path().join("token"),
            format!("{}\n", server.secret()),
        )
        .unwrap();
        spool
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.files.path().join(name);
        fs::write(&path, text).unwrap();
        // A file that was just written may still be.
        let minute_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
        fs::File::open(&path)
            .unwrap()
            .set_modified(minute_ago)
            .unwrap();
    }

    fn names(&self) -> Vec<String> {
        let files = fs::read_dir(self.files.path()).unwrap();
        let mut names: Vec<_> = files
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn send(&self, database: &Database, to: &str, arguments: &[&str]) -> Command {
        let token = self.token.path().join("token");
        let token = token.to_str().unwrap().to_owned();
        let mut all = vec!["send", "--to", to, "--token-file", &token];
        all.extend(arguments);
        all.push(self.files.path().to_str().unwrap());
        command(database, &all)
    }
}

fn record(uuid: &str, answered: &str) -> String {
    format!(
        r#"{{"variables":{{"uuid":"{uuid}","start_epoch":"1772353800","answer_epoch":"{answered}"}}}}"#
    )
}

fn url(server: &Server) -> String {
    format!("http://{}?accountId=acc&customerId=cus", server.address())
}

fn spawn(command: &mut Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn ended(child: Child) -> (i32, String, String) {
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_files_are_removed_and_refused_ones_have_the_reason_beside_them() {
    let database = Database::sqlite();
    let server = Server::start(&database).await;
    let spool = Spool::new(&server);
    for (name, text) in [
        ("a.cdr.json", record("u1", "1")),
        ("-{1,2} [ab]'\".cdr.json", record("u2", "1")),
        ("unanswered.cdr.json", record("u3", "0")),
        ("broken.cdr.json", "{".to_owned()),
        ("empty.cdr.json", String::new()),
        (".hidden", record("u4", "1")),
    ] {
        spool.write(name, &text);
    }
    let arguments = ["--sender", "freeswitch", "--answered"];
    let (code, shown, errors) = run(&mut spool.send(&database, &url(&server), &arguments));
    assert_eq!(
        (code, &*shown),
        (1, "stored 2, ignored 1, refused 1, left 1\n"),
        "{errors}"
    );
    let kept = [
        ".hidden",
        "broken.cdr.json",
        "broken.cdr.json.refused",
        "empty.cdr.json",
    ];
    assert_eq!(spool.names(), kept);
    let reason = fs::read_to_string(spool.files.path().join("broken.cdr.json.refused")).unwrap();
    assert!(
        reason.starts_with("400 SerializationException the JSON ends too early"),
        "{reason}"
    );
    assert_eq!(database.ids().await.len(), 2);
    // Once it is put right, the reason goes, too.
    spool.write("broken.cdr.json", &record("u5", "1"));
    fs::remove_file(spool.files.path().join("empty.cdr.json")).unwrap();
    let (code, shown, errors) = run(&mut spool.send(&database, &url(&server), &arguments));
    assert_eq!(
        (code, &*shown),
        (0, "stored 1, ignored 0, refused 0, left 0\n"),
        "{errors}"
    );
    assert_eq!(spool.names(), [".hidden"]);
    // Forms, as Asterisk's recipe writes them.
    spool.write("a b.form", "accountId=acc&customerId=cus&callSid=CA1\n");
    let to = format!("http://{}/", server.address());
    let (code, shown, errors) = run(&mut spool.send(&database, &to, &[]));
    assert_eq!(
        (code, &*shown),
        (0, "stored 1, ignored 0, refused 0, left 0\n"),
        "{errors}"
    );
    assert_eq!(database.ids().await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_sent_is_repeated_and_kept() {
    let database = Database::sqlite();
    let server = Server::start(&database).await;
    let spool = Spool::new(&server);
    let (to, address) = (url(&server), server.address().to_string());
    server.kill();
    for number in 0..20 {
        spool.write(
            &format!("{number}.json"),
            &record(&format!("u{number}"), "1"),
        );
    }
    let arguments = ["--sender", "freeswitch", "--timeout", "1s"];
    let (code, shown, _) = run(&mut spool.send(&database, &to, &arguments));
    assert_eq!(
        (code, &*shown),
        (1, "stored 0, ignored 0, refused 0, left 20\n")
    );
    assert_eq!(spool.names().len(), 20);
    // Two runs wait for the server; each file is sent by one of them.
    let arguments = ["--sender", "freeswitch", "--timeout", "60s"];
    let runs = [0, 1].map(|_| spawn(&mut spool.send(&database, &to, &arguments)));
    let _server = Server::start_with(&database, &["--listen", &address]).await;
    let mut stored = 0;
    for child in runs {
        let (code, shown, errors) = ended(child);
        assert_eq!(code, 0, "{errors}");
        let count = shown.strip_prefix("stored ").unwrap();
        stored += count.split(',').next().unwrap().parse::<usize>().unwrap();
    }
    assert_eq!((stored, spool.names().len()), (20, 0));
    assert_eq!(database.ids().await.len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_come_later_are_sent_while_it_watches() {
    let database = Database::sqlite();
    let server = Server::start(&database).await;
    let spool = Spool::new(&server);
    spool.write("bad.json", "{");
    let arguments = ["--sender", "freeswitch", "--watch"];
    let child = spawn(&mut spool.send(&database, &url(&server), &arguments));
    until(&spool, &["bad.json", "bad.json.refused"]).await;
    spool.write("later.json", &record("u1", "1"));
    until_stored(&database, 1).await;
    until(&spool, &["bad.json", "bad.json.refused"]).await;
    let id = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &id])
            .status()
            .unwrap()
            .success()
    );
    let (code, shown, errors) = ended(child);
    assert_eq!(
        (code, &*shown),
        (1, "stored 1, ignored 0, refused 1, left 0\n"),
        "{errors}"
    );
    // The one that was refused was sent once.
    let refusals = server.client().get("/refusals").await.json();
    assert_eq!(refusals["items"].as_array().unwrap().len(), 1);
}

/// A line that came while the file was sent must not be removed with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_while_it_is_sent_is_kept() {
    let database = Database::sqlite();
    let server = Server::start(&database).await;
    let spool = Spool::new(&server);
    server.kill();
    spool.write("calls.csv", "accountId,customerId,callSid\nacc,cus,CA1\n");
    let proxy = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = proxy.local_addr().unwrap().to_string();
    let to = format!("http://{address}/");
    let child = spawn(&mut spool.send(&database, &to, &["--timeout", "60s"]));
    // The file was read before this connection, which is never answered.
    let connection = proxy.accept().await.unwrap();
    let path = spool.files.path().join("calls.csv");
    let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
    std::io::Write::write_all(&mut file, b"acc,cus,CA2\n").unwrap();
    drop((connection, proxy));
    let _server = Server::start_with(&database, &["--listen", &address]).await;
    let (code, shown, errors) = ended(child);
    assert_eq!(
        (code, &*shown),
        (1, "stored 0, ignored 0, refused 0, left 1\n"),
        "{errors}"
    );
    assert!(errors.contains("changed while it was sent"), "{errors}");
    let (code, shown, errors) = run(&mut spool.send(&database, &to, &[]));
    assert_eq!(
        (code, &*shown),
        (0, "stored 1, ignored 0, refused 0, left 0\n"),
        "{errors}"
    );
    assert_eq!(database.ids().await.len(), 2);
}

/// A proxy that answers something for the service.
#[tokio::test(flavor = "multi_thread")]
async fn a_success_of_another_server_removes_nothing() {
    let database = Database::sqlite();
    let server = Server::start(&database).await;
    let spool = Spool::new(&server);
    spool.write("a.json", &record("u1", "1"));
    let proxy = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = format!("http://{}/", proxy.local_addr().unwrap());
    let answering = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (mut stream, _) = proxy.accept().await.unwrap();
        let mut read = [0; 4096];
        let _ = stream.read(&mut read).await.unwrap();
        let reply = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        stream.write_all(reply.as_bytes()).await.unwrap();
    });
    let arguments = ["--sender", "freeswitch", "--timeout", "1s"];
    let (code, shown, errors) = ended(spawn(&mut spool.send(&database, &to, &arguments)));
    answering.await.unwrap();
    assert_eq!(
        (code, &*shown),
        (1, "stored 0, ignored 0, refused 0, left 1\n"),
        "{errors}"
    );
    assert_eq!(spool.names(), ["a.json"]);
}

async fn until(spool: &Spool, names: &[&str]) {
    let waiting = async {
        while spool.names() != names {
            tokio::task::yield_now().await;
        }
    };
    let waiting = tokio::time::timeout(std::time::Duration::from_secs(60), waiting);
    waiting
        .await
        .unwrap_or_else(|_| panic!("{:?}", spool.names()));
}

async fn until_stored(database: &Database, count: usize) {
    let waiting = async { while database.ids().await.len() != count {} };
    let waiting = tokio::time::timeout(std::time::Duration::from_secs(60), waiting);
    waiting.await.expect("the file is stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_accepted_changes_no_file() {
    let database = Database::sqlite();
    let server = Server::start(&database).await;
    let spool = Spool::new(&server);
    spool.write("a.json", &record("u1", "1"));
    fs::write(spool.token.path().join("token"), "bil_wrong\n").unwrap();
    let (code, _, errors) =
        run(&mut spool.send(&database, &url(&server), &["--sender", "freeswitch"]));
    assert!(code == 1 && errors.contains("401 Unauthorized"), "{errors}");
    assert!(!errors.contains("bil_wrong"), "{errors}");
    assert_eq!(spool.names(), ["a.json"]);
    let hook = "http://127.0.0.1:9/billables/in/bil_x";
    let files = spool.files.path().to_str().unwrap();
    for (arguments, reason) in [
        (
            &["--to", hook, "--token-file", "x", files][..],
            "must not be given for a hook",
        ),
        (
            &["--to", "http://127.0.0.1:9", files],
            "--token-file is required",
        ),
        (&["--to", "ftp://x", files], "must begin with http"),
        (
            &["--to", "http://a:b@x", files],
            "a password must not be an argument",
        ),
        (
            &["--to", hook, "--sender", "nobody", files],
            "there is no sender nobody",
        ),
        (
            &["--to", hook, "/nowhere/at/all"],
            "cannot read /nowhere/at/all",
        ),
    ] {
        let all = [&["send"], arguments].concat();
        let (code, _, errors) = run(&mut command(&database, &all));
        assert!(
            code != 0 && errors.contains(reason),
            "{arguments:?}: {errors}"
        );
    }
    assert!(Path::new(files).join("a.json").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_the_machine_does_not_trust_gets_no_token() {
    let (database, certificate) = (Database::sqlite(), Certificate::new());
    let tls = certificate.arguments();
    let tls: Vec<_> = tls.iter().map(String::as_str).collect();
    let server = Server::start_with(&database, &tls).await;
    let spool = Spool::new(&server);
    spool.write("a.json", &record("u1", "1"));
    let to = format!(
        "https://localhost:{}?accountId=acc&customerId=cus",
        server.address().port()
    );
    let arguments = ["--sender", "freeswitch", "--timeout", "1s"];
    let other = Certificate::new();
    for (trusted, expected) in [
        (&other, (1, "stored 0, ignored 0, refused 0, left 1\n")),
        (
            &certificate,
            (0, "stored 1, ignored 0, refused 0, left 0\n"),
        ),
    ] {
        let mut send = spool.send(&database, &to, &arguments);
        // What the machine trusts, for this process.
        let (code, shown, errors) = run(send.env("SSL_CERT_FILE", trusted.file("root.pem")));
        assert_eq!((code, &*shown), expected, "{errors}");
    }
    assert_eq!(database.ids().await.len(), 1);
}
