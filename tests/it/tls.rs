//! TLS: which certificates are accepted, how they are reloaded, and how connections end.

use std::process::Command;
use std::time::Duration;

use serde_json::json;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ProtocolVersion, SupportedProtocolVersion};

use crate::support::certificate::openssl;
use crate::support::raw::Raw;
use crate::support::server::{command, run};
use crate::support::{Certificate, Database, Server};

const MEGABYTE: usize = 1024 * 1024;

const LIVEZ: &str = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";

async fn start(database: &Database, certificate: &Certificate, arguments: &[&str]) -> Server {
    let tls = certificate.arguments();
    let arguments: Vec<_> = tls
        .iter()
        .map(String::as_str)
        .chain(arguments.iter().copied())
        .collect();
    Server::start_with(database, &arguments).await
}

fn report(server: &Server, headers: &str) -> String {
    let secret = server.secret();
    format!(
        "POST /billables HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {secret}\r\n{headers}\r\n"
    )
}

#[tokio::test]
async fn reports_are_accepted_over_tls_1_2_and_1_3_with_the_whole_chain_sent() {
    let (database, certificate) = (Database::sqlite(), Certificate::new());
    let server = start(&database, &certificate, &[]).await;
    let body = r#"{"sessionId":"S","callSid":"CA1"}"#;
    let versions: [(&'static SupportedProtocolVersion, _, _); 2] = [
        (&TLS12, ProtocolVersion::TLSv1_2, "201"),
        (&TLS13, ProtocolVersion::TLSv1_3, "200"),
    ];
    for (version, name, status) in versions {
        // The client trusts only the root, so it needs the intermediate certificate.
        let mut raw = Raw::connect_versions(server.address(), &certificate, &[version]).await;
        let (_, agreed) = raw.tls().get_ref();
        assert_eq!(agreed.protocol_version(), Some(name));
        assert_eq!(agreed.alpn_protocol(), Some(&b"http/1.1"[..]));
        let length = format!("Content-Length: {}\r\n", body.len());
        raw.send(report(&server, &length) + body).await;
        assert!(
            raw.reply()
                .await
                .0
                .starts_with(&format!("HTTP/1.1 {status} "))
        );
    }
    assert_eq!(database.ids().await.len(), 1);
}

#[tokio::test]
async fn keys_are_read_in_the_formats_that_openssl_writes() {
    let (database, files) = (Database::sqlite(), tempfile::tempdir().unwrap());
    for (kind, old_header) in [
        (
            "ec -pkeyopt ec_paramgen_curve:prime256v1",
            "BEGIN EC PRIVATE KEY",
        ),
        ("rsa:2048", "BEGIN RSA PRIVATE KEY"),
    ] {
        openssl(
            files.path(),
            &format!(
                "req -x509 -newkey {kind} -nodes -subj /CN=localhost -keyout key.pem -out cert.pem"
            ),
        );
        openssl(files.path(), "pkey -in key.pem -traditional -out old.pem");
        let path = |name: &str| files.path().join(name).to_str().unwrap().to_owned();
        let text = |name: &str| std::fs::read_to_string(path(name)).unwrap();
        assert!(
            text("key.pem").contains("BEGIN PRIVATE KEY") && text("old.pem").contains(old_header)
        );
        for key in ["key.pem", "old.pem"] {
            let arguments = ["--tls-cert", &path("cert.pem"), "--tls-key", &path(key)];
            let server = Server::start_with(&database, &arguments).await;
            let url = format!("https://localhost:{}/livez", server.address().port());
            let curl = Command::new("curl")
                .args(["-sf", "--cacert", &path("cert.pem"), &url])
                .output();
            assert!(curl.unwrap().status.success(), "{kind} in {key}");
        }
    }
}

#[test]
fn unusable_files_are_refused_with_one_error_message_that_shows_no_key() {
    let (database, good, other) = (Database::sqlite(), Certificate::new(), Certificate::new());
    let (certificate, key) = (good.file("cert.pem"), good.file("key.pem"));
    let pem = std::fs::read_to_string(&key).unwrap();
    let secret = pem.lines().nth(1).unwrap();
    let broken = |name: &str, text: &str| {
        std::fs::write(good.path(name), text).unwrap();
        good.file(name)
    };
    let cut = broken("cut.pem", &pem.replace("-----END", ""));
    let odd = broken("odd.pem", &pem.replace(secret, &format!("?{secret}")));
    let locked = broken("locked.pem", &pem.replace("PRIVATE", "ENCRYPTED PRIVATE"));
    let wrong = broken("wrong.pem", &pem.replace(secret, &secret.replace('A', "B")));
    let empty = broken("empty.pem", "");
    let missing = "/nowhere/at-all.pem".to_owned();
    let cases = [
        (
            &missing,
            &key,
            "cannot read /nowhere/at-all.pem: No such file",
        ),
        (
            &certificate,
            &missing,
            "cannot read /nowhere/at-all.pem: No such file",
        ),
        (&empty, &key, "must hold certificates in PEM"),
        (&key, &key, "must hold certificates in PEM"),
        (&certificate, &certificate, "must hold a private key in PEM"),
        (&certificate, &cut, "must hold a private key in PEM"),
        (&certificate, &odd, "must hold a private key in PEM"),
        (&certificate, &locked, "without a passphrase"),
        (&certificate, &wrong, "cannot use the certificate"),
        (
            &certificate,
            &other.file("key.pem"),
            "cannot use the certificate",
        ),
    ];
    for (certificate, key, expected) in cases {
        let arguments = ["--tls-cert", certificate, "--tls-key", key];
        let (code, output, errors) = run(command(&database, &["serve"]).args(arguments));
        assert_eq!(
            (code, &*output, errors.lines().count()),
            (1, "", 1),
            "{errors}"
        );
        assert!(
            errors.starts_with("billables: ") && errors.contains(expected),
            "{expected}: {errors}"
        );
        assert!(!errors.contains(&secret[..16]), "{errors}");
    }
    for (variable, file) in [
        ("BILLABLES_TLS_CERT", &certificate),
        ("BILLABLES_TLS_KEY", &key),
    ] {
        let other = if variable.ends_with("KEY") {
            "BILLABLES_TLS_CERT"
        } else {
            "BILLABLES_TLS_KEY"
        };
        let (code, _, errors) = run(command(&database, &["serve"])
            .env(variable, file)
            .env(other, ""));
        assert_eq!(
            (code, &*errors),
            (
                2,
                "billables: set both BILLABLES_TLS_CERT and BILLABLES_TLS_KEY, or neither\n"
            )
        );
    }
}

#[tokio::test]
async fn sighup_gives_new_connections_the_new_certificate_and_keeps_open_ones() {
    let (database, certificate) = (Database::sqlite(), Certificate::new());
    let server = start(&database, &certificate, &[]).await;
    let old = certificate.leaf();
    let mut before = Raw::connect_tls(server.address(), &certificate).await;
    before.send(LIVEZ).await;
    before.reply().await;

    std::fs::write(certificate.path("key.pem"), "no key").unwrap();
    server.signal("-HUP");
    server.until_logged("cannot reload the certificate").await;
    assert!(server.log().contains("must hold a private key in PEM"));
    let unchanged = Raw::connect_tls(server.address(), &certificate).await;
    assert_eq!(
        unchanged.tls().get_ref().1.peer_certificates().unwrap()[0],
        old
    );

    certificate.become_like(&Certificate::new());
    server.signal("-HUP");
    server.until_logged("reloaded the certificate").await;
    let new = Raw::connect_tls(server.address(), &certificate).await;
    let shown = &new.tls().get_ref().1.peer_certificates().unwrap()[0];
    assert!(*shown == certificate.leaf() && *shown != old);
    before.send(LIVEZ).await;
    assert!(before.reply().await.0.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn sighup_does_not_stop_a_server_without_a_certificate() {
    let database = Database::sqlite();
    let server = Server::start(&database).await;
    server.signal("-HUP");
    server.until_logged("there is no certificate").await;
    assert_eq!(
        server
            .client()
            .report(&json!({"sessionId": "S"}))
            .await
            .status,
        201
    );
}

#[tokio::test]
async fn a_connection_without_a_tls_handshake_is_closed_after_the_header_timeout() {
    let (database, certificate) = (Database::sqlite(), Certificate::new());
    let limits = ["--header-timeout", "1s", "--max-connections", "1"];
    let server = start(&database, &certificate, &limits).await;
    let mut silent = Raw::connect(server.address()).await;
    let mut next = Raw::connect_tls(server.address(), &certificate).await;
    assert_eq!(silent.rest_bytes().await, b"");
    // The header timeout starts with the connection, not after the handshake.
    assert_eq!(next.rest_bytes().await, b"");
    let dripping = Raw::connect(server.address()).await;
    // The beginning of a handshake record that never ends.
    let hello = [
        [0x16, 3, 1, 0x3f, 0xff, 1, 0, 0x3f, 0xfb].as_slice(),
        &[0; 1024],
    ]
    .concat();
    assert_eq!(dripping.drip(&hello, Duration::from_millis(50)).await, "");
}

#[tokio::test]
async fn a_plain_http_request_is_refused_immediately() {
    let (database, certificate) = (Database::sqlite(), Certificate::new());
    // Long, so that the timeout does not end the connection.
    let server = start(&database, &certificate, &["--header-timeout", "5m"]).await;
    let mut plain = Raw::connect(server.address()).await;
    plain
        .send(report(&server, "Content-Length: 2\r\n") + "{}")
        .await;
    let alert = plain.rest_bytes().await;
    assert_eq!(
        (alert.len(), alert[0]),
        (7, 0x15),
        "an alert and nothing else"
    );
}

#[tokio::test]
async fn an_early_refusal_of_a_large_body_reaches_the_client() {
    let (database, certificate) = (Database::sqlite(), Certificate::new());
    let server = start(&database, &certificate, &[]).await;
    let large = format!("Content-Length: {}\r\n", 20 * MEGABYTE);
    let unknown = format!("POST /billables HTTP/1.1\r\nHost: x\r\n{large}\r\n");
    for (head, status, code) in [
        (report(&server, &large), "413", "PayloadTooLarge"),
        (unknown, "401", "Unauthorized"),
    ] {
        let mut raw = Raw::connect_tls(server.address(), &certificate).await;
        raw.send(head).await;
        let reply = raw.flood(&vec![b' '; MEGABYTE], 20).await;
        assert!(
            reply.starts_with(&format!("HTTP/1.1 {status} ")) && reply.contains(code),
            "{reply}"
        );
    }
}

#[tokio::test]
async fn shutdown_finishes_open_requests_and_closes_connections_cleanly() {
    let (database, certificate) = (Database::sqlite(), Certificate::new());
    let mut server = start(&database, &certificate, &["--header-timeout", "5m"]).await;
    let body = r#"{"sessionId":"S","callSid":"CA1"}"#;
    let mut begun = Raw::connect_tls(server.address(), &certificate).await;
    begun
        .send(report(
            &server,
            &format!("Expect: 100-continue\r\nContent-Length: {}\r\n", body.len()),
        ))
        .await;
    assert!(begun.reply().await.0.starts_with("HTTP/1.1 100 "));
    let mut silent = Raw::connect(server.address()).await;
    let mut idle = Raw::connect_tls(server.address(), &certificate).await;
    idle.send(LIVEZ).await;
    idle.reply().await;

    server.signal("-TERM");
    assert_eq!(idle.rest_closed().await, "");
    drop(idle);
    assert_eq!(silent.rest_bytes().await, b"");
    begun.send(body).await;
    assert!(begun.rest_closed().await.starts_with("HTTP/1.1 201 "));
    drop(begun);
    assert_eq!(server.wait(), Some(0));
    assert_eq!(database.ids().await.len(), 1);
}

#[tokio::test]
async fn the_first_start_prints_a_working_curl_command() {
    let (database, certificate) = (Database::sqlite(), Certificate::new());
    let environment = [
        ("BILLABLES_TLS_CERT", certificate.file("cert.pem")),
        ("BILLABLES_TLS_KEY", certificate.file("key.pem")),
    ];
    let environment = environment
        .each_ref()
        .map(|(name, file)| (*name, file.as_str()));
    let mut server = Server::start_fresh(&database, &environment);
    let mut printed = String::new();
    let mut lines = std::io::BufReader::new(server.stdout());
    while !printed.trim_start().starts_with("curl ") {
        printed.clear();
        std::io::BufRead::read_line(&mut lines, &mut printed).unwrap();
    }
    let curl = Command::new("bash")
        .args(["-c", &printed])
        .output()
        .unwrap();
    assert!(
        String::from_utf8(curl.stdout)
            .unwrap()
            .starts_with("HTTP/1.1 201 "),
        "{printed}"
    );
}
