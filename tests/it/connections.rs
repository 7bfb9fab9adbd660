//! Slow, greedy and broken clients; shutdown.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

use crate::support::client::send;
use crate::support::raw::Raw;
use crate::support::{Database, Server, on_both_databases};

const TIMEOUT: Duration = Duration::from_secs(60);

const MEGABYTE: usize = 1024 * 1024;

fn post(server: &Server, headers: &str) -> String {
    format!(
        "POST /billables HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n{headers}\r\n",
        server.secret()
    )
}

on_both_databases!(
    stalled_large_uploads_do_not_block_small_reports,
    async |database: Database| {
        let server = Server::start(&database).await;
        let head = format!(
            "POST /billables HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: 8388608\r\n\r\n",
            server.secret()
        );
        let mut stalled = Vec::new();
        for _ in 0..9 {
            let mut connection = Raw::connect(server.address()).await;
            connection.send(&head).await;
            connection.try_send(vec![b' '; 8_388_607]).await;
            stalled.push(connection);
        }
        for number in 0..20 {
            let reply = server
                .client()
                .report(&json!({"sessionId": "S", "callSid": format!("CA{number}")}))
                .await;
            assert_eq!(reply.status, 201, "{reply:?}");
        }
    }
);

on_both_databases!(
    a_waiting_request_ends_when_its_client_disconnects,
    async |database: Database| {
        let server = Server::start_with(&database, &["--log-format", "json"]).await;
        let client = server.client();
        let mut connection = Raw::connect(server.address()).await;
        let begun = Instant::now();
        connection.send(format!("GET /log?wait=60 HTTP/1.1\r\nHost: x\r\nX-Request-Id: gone\r\nAuthorization: Bearer {}\r\n\r\n", server.secret())).await;
        let waits = async {
            while !client
                .get("/metrics")
                .await
                .body
                .contains("billables_http_requests_in_flight{kind=\"other\"} 1\n")
            {}
        };
        timeout(TIMEOUT, waits)
            .await
            .expect("the request waits for entries");
        drop(connection);
        server.until_logged("\"outcome\":\"Abandoned\"").await;
        let ended = async {
            while !client
                .get("/metrics")
                .await
                .body
                .contains("billables_http_requests_in_flight{kind=\"other\"} 0\n")
            {}
        };
        timeout(TIMEOUT, ended)
            .await
            .expect("its permit is released");
        assert!(begun.elapsed() < Duration::from_secs(50));
    }
);

on_both_databases!(
    exports_of_disconnected_clients_release_their_permits,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        for calls in 0..4 {
            let batch: Vec<_> = (0..5_000).map(|call| json!({"sessionId": format!("{:250}", "S"), "callSid": format!("CA{calls}-{call}")})).collect();
            let batch = client
                .post("/billables")
                .header("prefer", "return=minimal")
                .json(&batch);
            assert_eq!(send(batch).await.status, 204);
        }
        // As many exports as may run at the same time, by clients that read no rows.
        let mut gone = Vec::new();
        for _ in 0..8 {
            let mut raw = Raw::connect_narrow(server.address()).await;
            raw.send(format!("GET /billables?format=ndjson HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n", server.secret())).await;
            raw.until_readable().await;
            gone.push(raw);
        }
        drop(gone);
        assert_eq!(
            client
                .get("/billables?format=ndjson")
                .await
                .body
                .lines()
                .count(),
            20_000
        );
    }
);

on_both_databases!(
    connections_that_send_no_complete_head_in_time_are_closed,
    async |database: Database| {
        let server = Server::start_with(&database, &["--header-timeout", "1s"]).await;
        let begun = Instant::now();
        let mut silent = Raw::connect(server.address()).await;
        assert_eq!(silent.rest().await, "");

        let slow = Raw::connect(server.address()).await;
        let head = post(&server, "X-Slow: ").into_bytes();
        let said = slow.drip(&head, Duration::from_millis(100)).await;
        assert_eq!(said, "");
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "closed by the header timeout"
        );
    }
);

#[tokio::test]
async fn a_connection_may_idle_between_requests_for_longer_than_the_header_timeout() {
    let database = Database::sqlite();
    let server = Server::start_with(
        &database,
        &["--header-timeout", "300ms", "--idle-timeout", "2s"],
    )
    .await;
    let mut connection = Raw::connect(server.address()).await;
    let mut pause = interval(Duration::from_millis(700));
    for _ in 0..3 {
        pause.tick().await;
        connection
            .send("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            .await;
        assert!(connection.reply().await.0.starts_with("HTTP/1.1 200 "));
    }
    // The head of a later request has a timeout as well, and so has an idle connection.
    connection.send("GET /livez HT").await;
    assert_eq!(connection.rest().await, "");
    let mut idle = Raw::connect(server.address()).await;
    idle.send("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(idle.rest().await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_body_that_does_not_arrive_in_time_gets_408() {
    let database = Database::sqlite();
    let server = Server::start_with(&database, &["--request-timeout", "1s"]).await;
    let mut connection = Raw::connect(server.address()).await;
    connection
        .send(post(&server, "Content-Length: 100\r\n") + "{")
        .await;
    let (head, body) = connection.reply().await;
    assert!(
        head.starts_with("HTTP/1.1 408 ") && body.contains("RequestTimeout"),
        "{head}\n{body}"
    );
    assert!(database.ids().await.is_empty());
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let database = Database::sqlite();
    let server = Server::start(&database).await;
    let mut connection = Raw::connect(server.address()).await;
    let body = r#"{"sessionId":"S","callSid":"CA1"}"#;
    let one = post(&server, &format!("Content-Length: {}\r\n", body.len())) + body;
    connection
        .send(format!(
            "{one}{one}GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        ))
        .await;
    let replies = connection.rest().await;
    let statuses: Vec<_> = replies
        .match_indices("HTTP/1.1 ")
        .map(|(at, _)| &replies[at + 9..at + 12])
        .collect();
    assert_eq!(statuses, ["201", "200", "200"]);
}

#[tokio::test]
async fn connections_above_the_limit_wait_until_one_closes() {
    let database = Database::sqlite();
    let server = Server::start_with(&database, &["--max-connections", "2"]).await;
    let request = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
    let (mut one, mut other) = (
        Raw::connect(server.address()).await,
        Raw::connect(server.address()).await,
    );
    for connection in [&mut one, &mut other] {
        connection.send(request).await;
        connection.reply().await;
    }
    let mut third = Raw::connect(server.address()).await;
    third.send(request).await;
    let waiting = tokio::time::timeout(Duration::from_millis(300), third.reply()).await;
    assert!(
        waiting.is_err(),
        "the third connection is served although two are open"
    );
    drop(one);
    assert!(third.reply().await.0.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn waiting_connections_are_queued_and_none_has_to_reconnect() {
    let database = Database::sqlite();
    let server = Server::start_with(&database, &["--max-connections", "1"]).await;
    let request = "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let mut first = Raw::connect(server.address()).await;
    first.send("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await;
    first.reply().await;
    // The waiting connections are accepted by the kernel, but not served yet.
    let connecting: JoinSet<_> = (0..300).map(|_| Raw::connect(server.address())).collect();
    let crowd = timeout(TIMEOUT, connecting.join_all()).await;
    let mut crowd = crowd.expect("the connections are queued");
    for connection in &mut crowd {
        connection.send(request).await;
    }
    drop(first);
    for mut connection in crowd {
        assert!(connection.rest().await.starts_with("HTTP/1.1 200 "));
    }
}

#[tokio::test]
async fn the_total_size_of_bodies_in_flight_is_limited() {
    let database = Database::sqlite();
    // A long timeout: no request may time out before the others hold their share of the budget.
    let server = Server::start_with(&database, &["--request-timeout", "5m"]).await;
    let mut holding = JoinSet::new();
    for _ in 0..9 {
        let mut connection = Raw::connect(server.address()).await;
        let head = post(&server, &format!("Content-Length: {}\r\n", 8 * MEGABYTE));
        holding.spawn(async move {
            connection.send(head).await;
            connection.try_send(vec![b' '; 8 * MEGABYTE - 1]).await;
            connection.reply().await
        });
    }
    // Nine bodies exceed 64 MiB, so one is refused, while the others wait for their last byte.
    let (head, body) = holding.join_next().await.unwrap().unwrap();
    assert!(
        head.starts_with("HTTP/1.1 503 ") && body.contains("Overloaded"),
        "{head}\n{body}"
    );
    let client = server.client();
    drop(holding);
    let stored = async {
        while client
            .report(&json!({"sessionId": "S", "callSid": "CA2"}))
            .await
            .status
            / 100
            != 2
        {}
    };
    tokio::time::timeout(Duration::from_secs(60), stored)
        .await
        .expect("the budget is released");
}

#[tokio::test]
async fn a_shutdown_finishes_open_requests_and_refuses_new_connections() {
    for signal in ["-TERM", "-INT"] {
        let database = Database::sqlite();
        let mut server = Server::start(&database).await;
        let body = r#"{"sessionId":"S","callSid":"CA1"}"#;
        let mut begun = Raw::connect(server.address()).await;
        begun
            .send(post(
                &server,
                &format!("Expect: 100-continue\r\nContent-Length: {}\r\n", body.len()),
            ))
            .await;
        // The interim response shows that the handler waits for the body.
        assert!(begun.reply().await.0.starts_with("HTTP/1.1 100 "));
        let mut idle = Raw::connect(server.address()).await;
        idle.send("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await;
        idle.reply().await;

        server.signal(signal);
        assert_eq!(idle.rest().await, "", "an idle connection is closed");
        let address = server.address();
        let refused =
            tokio::task::spawn_blocking(move || while TcpStream::connect(address).is_ok() {});
        tokio::time::timeout(Duration::from_secs(60), refused)
            .await
            .expect("new connections are refused")
            .unwrap();

        begun.send(body).await;
        assert!(begun.rest().await.starts_with("HTTP/1.1 201 "));
        assert_eq!(server.wait(), Some(0));
        assert_eq!(database.ids().await.len(), 1);
    }
}

#[tokio::test]
async fn a_shutdown_has_a_deadline() {
    let database = Database::sqlite();
    let mut server = Server::start_with(&database, &["--shutdown-timeout", "300ms"]).await;
    let mut stuck = Raw::connect(server.address()).await;
    stuck
        .send(post(
            &server,
            "Expect: 100-continue\r\nContent-Length: 10\r\n",
        ))
        .await;
    stuck.reply().await;
    server.signal("-TERM");
    assert_eq!(server.wait(), Some(0));
    assert!(server.log().contains("cutting off the requests"));
    assert_eq!(stuck.rest().await, "");
}
