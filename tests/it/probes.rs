//! Probes on the admin address, the health check, and the warning about plain HTTP on an address
//! that other machines can reach.

use std::net::TcpStream;
use std::process::Command;

use reqwest::Method;
use serde_json::json;

use crate::support::client::send;
use crate::support::raw::Raw;
use crate::support::server::{command, rest_of, run};
use crate::support::{Certificate, Client, Database, Server, on_both_databases};

const ADMIN: [&str; 2] = ["--admin-listen", "127.0.0.1:0"];

async fn status(client: &Client, path: &str) -> u16 {
    send(client.bare(Method::GET, path)).await.status
}

#[tokio::test]
async fn probes_and_metrics_move_to_the_admin_address() {
    let database = Database::sqlite();
    let server = Server::start_with(&database, &ADMIN).await;
    let (public, admin) = (server.client(), server.admin_client());
    for path in ["/livez", "/readyz", "/READYZ/"] {
        assert_eq!(
            (status(&admin, path).await, status(&public, path).await),
            (200, 404),
            "{path}"
        );
    }
    let metrics = admin.bare(Method::GET, "/metrics").send().await.unwrap();
    assert_eq!(metrics.status().as_u16(), 200);
    assert_eq!(public.get("/metrics").await.status, 404);
    // The OpenAPI document describes the public address, so these replies are not checked against
    // it.
    for path in [
        "/billables",
        "/log",
        "/billing",
        "/api/NewBillable",
        "/metadata",
    ] {
        let reply = admin.bare(Method::GET, path).send().await.unwrap();
        assert_eq!(reply.status().as_u16(), 404, "{path}");
    }
}

#[tokio::test]
async fn probes_are_answered_while_the_public_address_is_full() {
    let database = Database::sqlite();
    let limits = [&ADMIN[..], &["--max-connections", "1"]].concat();
    let server = Server::start_with(&database, &limits).await;
    let mut only = Raw::connect(server.address()).await;
    only.send("GET /billables HTTP/1.1\r\nHost: x\r\n\r\n")
        .await;
    only.reply().await;
    for path in ["/livez", "/readyz"] {
        assert_eq!(status(&server.admin_client(), path).await, 200);
    }
}

/// Returns when the address refuses connections.
async fn until_refused(address: std::net::SocketAddr) {
    let refused = tokio::task::spawn_blocking(move || while TcpStream::connect(address).is_ok() {});
    tokio::time::timeout(std::time::Duration::from_secs(60), refused)
        .await
        .expect("no new connections")
        .unwrap();
}

#[tokio::test]
async fn shutdown_makes_the_server_unready_immediately_and_stops_the_probes_last() {
    let database = Database::sqlite();
    let mut server = Server::start_with(&database, &ADMIN).await;
    let body = r#"{"sessionId":"S"}"#;
    let mut begun = Raw::connect(server.address()).await;
    begun
        .send(format!(
            "POST /billables HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
            server.secret(), body.len()
        ))
        .await;
    begun.reply().await;
    // The first client reuses a connection from before the shutdown; the second client opens a new
    // connection.
    let admin = server.admin_client();
    assert_eq!(status(&admin, "/readyz").await, 200);
    server.signal("-TERM");
    until_refused(server.address()).await;
    for admin in [admin, server.admin_client()] {
        let unready = send(admin.bare(Method::GET, "/readyz")).await;
        assert_eq!((unready.status, &*unready.error_code()), (503, "Stopping"));
        assert_eq!(status(&admin, "/livez").await, 200);
    }
    begun.send(body).await;
    assert!(begun.rest().await.starts_with("HTTP/1.1 201 "));
    assert_eq!(server.wait(), Some(0));
}

#[tokio::test]
async fn shutdown_makes_the_server_unready_without_an_admin_address_too() {
    let database = Database::sqlite();
    let server = Server::start(&database).await;
    let mut begun = Raw::connect(server.address()).await;
    begun.send("GET /readyz HTTP/1.1\r\n").await;
    // A reply on a later connection shows that this one was accepted. The first half of its head
    // may still be on its way.
    assert_eq!(status(&server.client(), "/readyz").await, 200);
    server.signal("-TERM");
    until_refused(server.address()).await;
    begun.send("Host: x\r\n\r\n").await;
    let reply = begun.rest().await;
    assert!(
        reply.starts_with("HTTP/1.1 503 ") && reply.contains("\"Stopping\""),
        "{reply}"
    );
}

#[tokio::test]
async fn an_unfinished_scrape_does_not_delay_shutdown() {
    let database = Database::sqlite();
    let mut server = Server::start_with(
        &database,
        &[&ADMIN[..], &["--header-timeout", "5m"]].concat(),
    )
    .await;
    let mut stuck = Raw::connect(server.admin_address()).await;
    stuck.send("GET /metrics HTTP/1.1\r\n").await;
    assert_eq!(status(&server.admin_client(), "/livez").await, 200);
    server.signal("-TERM");
    assert_eq!(server.wait(), Some(0));
}

/// Runs the health check in an environment. Returns its exit code and its only line of output.
fn healthcheck(environment: &[(&str, &str)], arguments: &[&str]) -> (i32, String) {
    let database = Database::sqlite();
    let mut command = command(&database, &["healthcheck"]);
    let (code, output, errors) = run(command.envs(environment.iter().copied()).args(arguments));
    let text = output + &errors;
    assert_eq!(text.lines().count(), 1, "{text}");
    (code, text.trim().to_owned())
}

#[tokio::test]
async fn the_health_check_uses_the_configured_address() {
    let database = Database::sqlite();
    let plain = Server::start(&database).await;
    let split = Server::start_with(&database, &ADMIN).await;
    let (public, admin) = (
        split.address().to_string(),
        split.admin_address().to_string(),
    );
    let plain = plain.address();
    for listen in [
        plain.to_string(),
        format!("localhost:{}", plain.port()),
        format!("0.0.0.0:{}", plain.port()),
        format!("[::]:{}", plain.port()),
    ] {
        let ready = format!("the server on {listen} is ready");
        assert_eq!(
            healthcheck(&[("BILLABLES_LISTEN", &listen)], &[]),
            (0, ready.clone())
        );
        assert_eq!(
            healthcheck(&[("BILLABLES_ADMIN_LISTEN", "")], &["--listen", &listen]),
            (0, ready)
        );
    }
    let both = [
        ("BILLABLES_LISTEN", &*public),
        ("BILLABLES_ADMIN_LISTEN", &*admin),
        ("BILLABLES_TLS_CERT", "/not/read"),
    ];
    assert_eq!(healthcheck(&both, &[]).0, 0);
    let moved = format!(
        "billables: the server on {public} is not ready: it answers 404 Not Found: not found"
    );
    assert_eq!(healthcheck(&both[..1], &[]), (1, moved));
}

#[tokio::test]
async fn the_health_check_trusts_only_the_certificate_in_the_file() {
    let (database, certificate) = (Database::sqlite(), Certificate::new());
    let tls = certificate.arguments();
    let server = Server::start_with(&database, &tls.each_ref().map(String::as_str)).await;
    let listen = server.address().to_string();
    let check = |certificate: &Certificate| {
        let file = certificate.file("cert.pem");
        healthcheck(
            &[("BILLABLES_LISTEN", &listen), ("BILLABLES_TLS_CERT", &file)],
            &[],
        )
    };
    assert_eq!(check(&certificate).0, 0);
    let (code, sentence) = check(&Certificate::new());
    assert_eq!(
        (
            code,
            sentence.contains("its certificate is not the one in the file")
        ),
        (1, true),
        "{sentence}"
    );
    std::fs::write(certificate.path("cert.pem"), "").unwrap();
    let (code, sentence) = check(&certificate);
    assert_eq!(
        (code, sentence.contains("must hold certificates in PEM")),
        (1, true),
        "{sentence}"
    );
}

#[tokio::test]
async fn the_health_check_fails_without_a_ready_server() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let (code, sentence) = healthcheck(&[("BILLABLES_LISTEN", &address)], &["--timeout", "300ms"]);
    assert_eq!(
        (
            code,
            sentence.ends_with("is not ready: no response within 300ms")
        ),
        (1, true),
        "{sentence}"
    );
    drop(silent);
    let (code, sentence) = healthcheck(&[("BILLABLES_LISTEN", &address)], &[]);
    assert_eq!(
        (code, sentence.contains("is not ready: Connection refused")),
        (1, true),
        "{sentence}"
    );

    let database = Database::sqlite();
    let server = Server::start(&database).await;
    database.execute("alter table tokens rename to gone").await;
    let listen = server.address().to_string();
    let asked = async { while healthcheck(&[("BILLABLES_LISTEN", &listen)], &[]).0 == 0 {} };
    tokio::time::timeout(std::time::Duration::from_secs(60), asked)
        .await
        .expect("the health check fails");
    let (_, sentence) = healthcheck(&[("BILLABLES_LISTEN", &listen)], &[]);
    assert!(
        sentence.contains("is not ready: it answers 503 Service Unavailable: the database is"),
        "{sentence}"
    );
}

#[test]
fn plain_http_on_all_addresses_logs_one_warning_unless_behind_a_proxy() {
    let certificate = Certificate::new();
    let tls = [
        ("BILLABLES_TLS_CERT", certificate.file("cert.pem")),
        ("BILLABLES_TLS_KEY", certificate.file("key.pem")),
    ];
    let everywhere = ("BILLABLES_LISTEN", "0.0.0.0:0".to_owned());
    let admin = ("BILLABLES_ADMIN_LISTEN", "0.0.0.0:0".to_owned());
    let proxy = |value: &str| ("BILLABLES_BEHIND_PROXY", value.to_owned());
    for (environment, warnings) in [
        (vec![], 0),
        (vec![admin], 0),
        (vec![everywhere.clone()], 1),
        (vec![everywhere.clone(), proxy("false")], 1),
        (vec![everywhere.clone(), proxy("true")], 0),
        (vec![everywhere.clone(), proxy("1")], 0),
        (vec![everywhere.clone(), tls[0].clone(), tls[1].clone()], 0),
    ] {
        let database = Database::sqlite();
        let shown: Vec<_> = environment
            .iter()
            .map(|(name, value)| (*name, &**value))
            .collect();
        let mut server = Server::start_fresh(&database, &shown);
        server.signal("-TERM");
        rest_of(server.stdout());
        server.wait();
        assert_eq!(
            server.log().matches("plain HTTP").count(),
            warnings,
            "{environment:?}"
        );
    }
    let mut unclear: Command = command(&Database::sqlite(), &["serve"]);
    assert_eq!(run(unclear.env("BILLABLES_BEHIND_PROXY", "perhaps")).0, 2);
}

on_both_databases!(health_needs_no_token, async |database: Database| {
    let server = Server::start(&database).await;
    let alive = json!({"status": "ok"});
    let ready = json!({"status": "ok", "writablePartitions": 1, "partitions": 1});
    for (path, expected) in [
        ("/livez", alive.clone()),
        ("/readyz", ready),
        ("/LIVEZ/", alive),
    ] {
        let reply = send(server.client().bare(Method::GET, path)).await;
        assert_eq!((reply.status, reply.json()), (200, expected), "{path}");
        let head = send(server.client().bare(Method::HEAD, path)).await;
        assert_eq!((head.status, &*head.body), (200, ""));
    }
});
