//! Exports over HTTP in `csv` and `ndjson` end with trailers. An export that cannot be finished is
//! cut off.

use std::io::Read;

use flate2::read::GzDecoder;
use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::{Connection, PgConnection};

use crate::list::report_calls;
use crate::support::raw::Raw;
use crate::support::{Database, Server, on_both_databases};

/// Exports over a raw socket, because HTTP clients hide the details; returns the head, the bytes of
/// the chunks, and the trailers.
async fn raw_export(server: &Server, path: &str, headers: &str) -> (String, Vec<u8>, String) {
    let mut raw = Raw::connect(server.address()).await;
    let secret = server.secret();
    raw.send(format!(
        "GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {secret}\r\nte: trailers\r\nconnection: close\r\n{headers}\r\n"
    ))
    .await;
    let bytes = raw.rest_bytes().await;
    let end = bytes.windows(4).position(|at| at == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(bytes[..end].to_ascii_lowercase()).unwrap();
    let (mut rest, mut body) = (&bytes[end + 4..], Vec::new());
    loop {
        let Some(line) = rest.windows(2).position(|at| at == b"\r\n") else {
            return (head, body, "cut".to_owned());
        };
        let size = std::str::from_utf8(&rest[..line]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        rest = &rest[line + 2..];
        if size == 0 {
            return (
                head,
                body,
                String::from_utf8(rest.to_ascii_lowercase()).unwrap(),
            );
        }
        if rest.len() < size + 2 {
            return (head, body, "cut".to_owned());
        }
        body.extend_from_slice(&rest[..size]);
        rest = &rest[size + 2..];
    }
}

fn sha256_hex(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

on_both_databases!(
    an_export_ends_with_its_count_and_its_digest,
    async |database: Database| {
        let server = Server::start(&database).await;
        report_calls(&server.client(), 0..4_000).await;
        let (head, body, trailers) = raw_export(&server, "/billables?format=ndjson", "").await;
        assert!(
            head.contains("trailer: row-count, content-sha256"),
            "{head}"
        );
        let rows = body.split(|byte| *byte == b'\n').count() - 1;
        assert_eq!(
            (rows, trailers),
            (
                4_000,
                format!(
                    "row-count: 4000\r\ncontent-sha256: {}\r\n\r\n",
                    sha256_hex(&body)
                )
            )
        );

        let (head, zipped, trailers) = raw_export(
            &server,
            "/billables?format=ndjson",
            "accept-encoding: br, gzip\r\n",
        )
        .await;
        assert!(head.contains("content-encoding: gzip") && zipped.len() < body.len() / 4);
        let mut unzipped = Vec::new();
        GzDecoder::new(&*zipped).read_to_end(&mut unzipped).unwrap();
        assert!(unzipped == body && trailers.contains(&sha256_hex(&body)));

        let (_, some, trailers) = raw_export(&server, "/billables.csv?limit=1", "").await;
        assert!(trailers.starts_with("row-count: 1\r\n") && trailers.contains(&sha256_hex(&some)));
        let (head, nothing, _) = raw_export(
            &server,
            "/billables.csv?callSid=none",
            "accept-encoding: gzip;q=0\r\n",
        )
        .await;
        assert!(!head.contains("content-encoding") && nothing.starts_with(b"Id,"));
    }
);

on_both_databases!(
    an_export_that_cannot_be_finished_ends_without_a_last_chunk,
    async |database: Database| {
        let server = Server::start(&database).await;
        report_calls(&server.client(), 0..12_000).await;
        // The client reads nothing until the table is gone; the server reads only a little ahead.
        let mut raw = Raw::connect_narrow(server.address()).await;
        raw.send(format!(
            "GET /billables?format=ndjson HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\r\n",
            server.secret()
        ))
        .await;
        raw.until_readable().await;
        database.execute("alter table entries rename to gone").await;
        let text = raw.rest().await;
        assert!(text.starts_with("HTTP/1.1 200 OK"));
        assert!(
            text.lines()
                .filter(|line| line.starts_with("{\"id\""))
                .count()
                < 12_000
        );
        assert!(!text.ends_with("0\r\n\r\n"), "the last chunk is never sent");
        server.until_logged("a response was cut off").await;
    }
);

on_both_databases!(
    an_export_over_http_1_0_is_refused,
    async |database: Database| {
        let server = Server::start(&database).await;
        let mut raw = Raw::connect(server.address()).await;
        let secret = server.secret();
        raw.send(format!(
            "GET /billables.csv HTTP/1.0\r\nauthorization: Bearer {secret}\r\n\r\n"
        ))
        .await;
        let reply = raw.rest().await;
        assert!(
            reply.starts_with("HTTP/1.0 505 ") && reply.contains("HttpVersionNotSupported"),
            "{reply}"
        );
    }
);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_client_keeps_no_transaction_open() {
    let database = Database::postgres().await;
    let server = Server::start(&database).await;
    report_calls(&server.client(), 0..12_000).await;
    let mut raw = Raw::connect_narrow(server.address()).await;
    raw.send(format!(
        "GET /billables?format=ndjson HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {}\r\n\r\n",
        server.secret()
    ))
    .await;
    raw.until_readable().await;
    let mut connection = PgConnection::connect(database.url()).await.unwrap();
    // Transactions of the roller and for the tokens end soon; a reader's snapshot would stay open.
    let open = "select count(*) from pg_stat_activity where datname = current_database()
        and pid <> pg_backend_pid() and state = 'idle in transaction'";
    let snapshots = "select count(*) from pg_stat_activity where datname = current_database()
        and pid <> pg_backend_pid() and state = 'active' and query like '%from entries%occurred_at desc%'";
    for statement in [open, snapshots] {
        // The server may still be reading the next batch, so the test waits until the count is 0.
        let ended = async {
            while sqlx::query_scalar::<_, i64>(statement)
                .fetch_one(&mut connection)
                .await
                .unwrap()
                > 0
            {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(30), ended)
            .await
            .unwrap();
    }
    let text = raw.rest().await;
    assert_eq!(
        text.lines()
            .filter(|line| line.starts_with("{\"id\""))
            .count(),
        12_000
    );
}

on_both_databases!(
    a_file_for_people_says_what_it_is_whose_and_of_when,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        for (account, call) in [("a1", "Jérôme"), ("a2", "CA2")] {
            let report = json!({"accountId": account, "customerId": "c", "callSid": call, "occurredAt": "2026-03-01T08:30:00Z"});
            assert_eq!(client.report(&report).await.status, 201);
        }
        assert_eq!(client.report(&json!({"sessionId": "S", "callSid": "CA3", "occurredAt": "2026-03-02T08:30:00Z"})).await.status, 201);
        let days = "startDate=2026-03-01&endDate=2026-03-31";
        for (path, name) in [
            (
                format!("/billables.csv?accountId=a1&{days}"),
                "billables-a1-2026-03-01-2026-03-31.csv",
            ),
            (
                format!("/billing.csv?accountId=a1&{days}&timeZone=Europe/Rome"),
                "billing-a1-2026-03-01-2026-03-31.csv",
            ),
            (
                "/billables?format=ndjson&customerId=c&from=2026-03-01T00:00:00Z".to_owned(),
                "billables-c-from-2026-03-01.ndjson",
            ),
            ("/billables.csv".to_owned(), "billables.csv"),
            ("/billables.csv?accountId=%C3%A9%22%0Ax".to_owned(), ""),
            (
                "/billables.csv?accountId=%C3%A9%22/../x%3B".to_owned(),
                "billables-___.._x_.csv",
            ),
            ("/log?format=csv".to_owned(), "log.csv"),
        ] {
            let reply = client.get(&path).await;
            let named = reply.header("content-disposition").map(str::to_owned);
            // An error is never saved as a file.
            let expected = (!name.is_empty()).then(|| format!("attachment; filename=\"{name}\""));
            assert_eq!(
                (reply.status == 200, named),
                (!name.is_empty(), expected),
                "{path}: {reply:?}"
            );
        }
        let billing = client
            .get(&format!(
                "/billing.csv?accountId=a1&{days}&timeZone=Europe/Rome"
            ))
            .await
            .body;
        let rows: Vec<_> = billing.lines().collect();
        let as_of = rows[2].rsplit(',').next().unwrap();
        let of = format!("2026-03-01,2026-03-31,Europe/Rome,{as_of}");
        assert_eq!(
            rows,
            [
                "Row,AccountId,CustomerId,Date,BillableCount,VoidedCount,StartDate,EndDate,TimeZone,AsOf".to_owned(),
                "customer,a1,c,,1,0,,,,".to_owned(),
                format!("total,a1,,,1,0,{of}"),
                format!("unattributed,,,,1,0,{of}"),
            ]
        );
        // The total of nobody has a header, too, and its cut gives it again.
        let nobody = client
            .get(&format!("/billing.csv?accountId=a3&{days}&asOf={as_of}"))
            .await
            .body;
        assert_eq!(nobody.lines().count(), 2, "{nobody}");
        for path in [
            format!("/billables.csv?excel=true&{days}"),
            format!("/billing.csv?excel=TRUE&{days}"),
        ] {
            let with_mark = client.get(&path).await.body;
            let plain = client
                .get(&path.replace("excel=true&", "").replace("excel=TRUE&", ""))
                .await
                .body;
            let unmarked = with_mark.strip_prefix('\u{feff}').unwrap_or_default();
            assert_eq!(unmarked.lines().count(), plain.lines().count(), "{path}");
        }
        let json = client.get(&format!("/billables?excel=true&{days}")).await;
        assert!(json.body.starts_with('{'));
        let refused = client.get("/billables.csv?excel=yes").await;
        assert_eq!(
            (refused.status, refused.header("content-disposition")),
            (400, None)
        );
        // What is saved for Excel is imported as any other export.
        let export = client
            .get(&format!("/billables.csv?excel=true&{days}"))
            .await
            .body;
        let files = crate::import_export::Files::new();
        let file = files.with("for-excel.csv", &export);
        let (code, counts, errors) = crate::import_export::import(&database, &[&file]);
        assert_eq!(code, 0, "{errors}");
        assert!(counts.starts_with("new 0, already stored 3"), "{counts}");
    }
);
