//! `GET /billing`: totals.

use serde_json::{Value, json};

use crate::support::client::send;
use crate::support::raw::Raw;
use crate::support::{Database, Server, on_both_databases};

on_both_databases!(
    billing_returns_totals_in_three_formats_and_rejects_invalid_parameters,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        let years = 2021..2026;
        let reports: Vec<_> = years.flat_map(|year| (1..=12).flat_map(move |month| [1, 15, 28].map(|day| json!({
            "accountId": "a", "customerId": format!("c{}", day % 2), "callSid": format!("{year}-{month}-{day}"),
            "occurredAt": format!("{year}-{month:02}-{day:02}T23:45:00Z"),
        })))).collect();
        assert_eq!(
            send(client.post("/billables").json(&reports)).await.status,
            201
        );
        let path = "/billing?accountId=a&startDate=2021-01-01&endDate=2025-12-31&groupBy=day";
        for zone in ["UTC", "Asia/Kolkata", "America/St_Johns"] {
            let billing = client.get(&format!("{path}&timeZone={zone}")).await.json();
            let rows = billing["customers"].as_array().unwrap();
            assert_eq!(rows.len(), 180, "{zone}");
            let first_date = if zone == "Asia/Kolkata" {
                "2021-01-02"
            } else {
                "2021-01-01"
            };
            assert_eq!(rows[0]["date"], first_date, "{zone}");
        }
        let one = client.get(&format!("{path}&customerId=c0")).await.json();
        assert_eq!(one["customers"].as_array().unwrap().len(), 60);
        for (query, field) in [
            ("startDate=2026-1-1&endDate=2026-01-01", "StartDate"),
            ("startDate=2026-01-01", "EndDate"),
            ("startDate=2026-01-02&endDate=2026-01-01", "EndDate"),
            ("startDate=1979-01-01&endDate=2026-01-01", "StartDate"),
            (
                "startDate=2026-01-01&endDate=2026-01-01&timeZone=Mars",
                "TimeZone",
            ),
            (
                "startDate=2026-01-01&endDate=2026-01-01&groupBy=week",
                "GroupBy",
            ),
            (
                "startDate=2000-01-01&endDate=2026-01-01&groupBy=day",
                "EndDate",
            ),
        ] {
            let refused = client.get(&format!("/billing?{query}")).await;
            assert_eq!(
                (refused.status, refused.field_errors()),
                (400, vec![(field.to_owned(), "Predicate".to_owned())]),
                "{query}"
            );
        }
        let xml = client
            .get("/billing.xml?startDate=2021-01-01&endDate=2021-01-31")
            .await;
        assert!(xml.body.contains("<BillingCustomerInfo><AccountId>a</AccountId><BillableCount>1</BillableCount><CustomerId>c0</CustomerId><VoidedCount>0</VoidedCount>"));
        let csv = client
            .get("/billing.csv?accountId=a&startDate=2021-01-01&endDate=2021-01-31")
            .await;
        let rows: Vec<_> = csv.body.lines().skip(1).collect();
        assert_eq!(
            rows[..2],
            ["customer,a,c0,,1,0,,,,", "customer,a,c1,,2,0,,,,"]
        );
        assert!(rows[2].starts_with("total,a,,,3,0,2021-01-01,2021-01-31,UTC,"));
        assert!(rows[3].starts_with("unattributed,,,,0,0,"));
        // The totals are exact as of `asOf`, and the feed continues from there.
        let billing = client.get(path).await.json();
        client.report(&json!({"sessionId": "S"})).await;
        let new_entries = client
            .get(&format!("/log?after={}", billing["asOf"].as_str().unwrap()))
            .await
            .json();
        assert_eq!(new_entries["items"].as_array().unwrap().len(), 1);
    }
);

/// As many billables of the account m as there are positions, each of another customer, on the 2nd of
/// March.
pub(crate) async fn insert_customers(database: &Database, first: i64, last: i64) {
    let (id, numbers) = if database.is_postgres() {
        (
            "('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid",
            format!("generate_series({first}::bigint, {last}) as made (n)"),
        )
    } else {
        let next = format!("select n + 1 from made where n < {last}");
        (
            "unhex(printf('00000000000070008000%012x', n))",
            format!(
                "(with recursive made (n) as (values ({first}) union all {next}) select n from made)"
            ),
        )
    };
    let head = last + 1;
    database
        .execute_owned(format!(
            "insert into entries (partition, position, kind, billable_id, account_id, customer_id,
                 billed_account_id, billed_customer_id, occurred_at, recorded_at, client)
             select 0, n, 1, {id}, 'm', 'c' || n, 'm', 'c' || n, 1772409600000000, 1772409600000000, 'many'
             from {numbers};
             update log_heads set next_position = {head}"
        ))
        .await;
}

// The totals of all accounts are written page by page, and all pages are of one moment.
on_both_databases!(
    case_11_very_many_customers_do_not_keep_anybody_from_the_totals,
    async |database: Database| {
        let (store, _) = database.store().await;
        store.close().await;
        insert_customers(&database, 1, 130_000).await;
        let server = Server::start(&database).await;
        let client = server.client();
        let report = |account: &str, call: &str| json!({"accountId": account, "customerId": "x", "callSid": call, "occurredAt": "2026-03-02T12:00:00Z"});
        for account in ["a", "z"] {
            let reply = client.report(&report(account, "1")).await;
            assert_eq!(reply.status, 201);
        }
        let none = json!({"sessionId": "S", "callSid": "1", "occurredAt": "2026-03-02T12:00:00Z"});
        assert_eq!(client.report(&none).await.status, 201);

        // Else a client that reads nothing for so long is disconnected (30 s).
        until_rolled(&database).await;
        let path = "/billing?startDate=2026-03-01&endDate=2026-03-31";
        for query in ["", "&groupBy=day"] {
            // The client reads nothing until further reports are in the totals.
            let mut raw = Raw::connect_narrow(server.address()).await;
            raw.send(format!(
                "GET {path}{query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\r\n",
                server.secret()
            ))
            .await;
            raw.until_readable().await;
            let before = client.get(&format!("{path}&accountId=z")).await.json();
            for number in 0..20 {
                for account in ["a", "m", "z"] {
                    let call = format!("{query}-{number}");
                    assert_eq!(client.report(&report(account, &call)).await.status, 201);
                }
            }
            until_rolled(&database).await;
            let body = body_of(&raw.rest().await);
            let billing: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(billing["unattributedCount"], 1);
            let customers = billing["customers"].as_array().unwrap();
            let keys: Vec<_> = customers
                .iter()
                .map(|row| {
                    (
                        row["accountId"].as_str().unwrap(),
                        row["customerId"].as_str().unwrap(),
                    )
                })
                .collect();
            assert!(keys.is_sorted() && keys.windows(2).all(|pair| pair[0] != pair[1]));
            let count = |account: &str| -> i64 {
                let of = customers.iter().filter(|row| row["accountId"] == account);
                of.map(|row| row["billableCount"].as_i64().unwrap()).sum()
            };
            let expected = before["customers"][0]["billableCount"].as_i64().unwrap();
            assert_eq!((count("a"), count("z")), (expected, expected), "{query}");
            assert_eq!(count("m"), 130_000 + expected - 1);
        }
        // The account itself, and rows.
        let of_account = client.get(&format!("{path}&accountId=m")).await.json();
        assert_eq!(of_account["customers"].as_array().unwrap().len(), 130_001);
        let csv = client.get(&format!("{path}&format=csv")).await.body;
        assert_eq!(csv.lines().count(), 1 + 2 + 130_001 + 2);

        let mut old = Raw::connect(server.address()).await;
        old.send(format!(
            "GET {path} HTTP/1.0\r\nAuthorization: Bearer {}\r\n\r\n",
            server.secret()
        ))
        .await;
        assert!(old.rest().await.starts_with("HTTP/1.0 505 "));
    }
);

/// Returns when the totals have caught up with the log.
pub(crate) async fn until_rolled(database: &Database) {
    const BEHIND: &str = "select count(*) from log_heads
         join watermarks on watermarks.partition = log_heads.partition
         where watermarks.position < log_heads.next_position - 1
            or watermarks.accounts_position < log_heads.next_position - 1";
    let rolled = async { while database.count(BEHIND).await > 0 {} };
    tokio::time::timeout(std::time::Duration::from_secs(60), rolled)
        .await
        .expect("the totals catch up");
}

/// Joins the chunks of a response.
fn body_of(response: &str) -> String {
    let (_, mut rest) = response.split_once("\r\n\r\n").unwrap();
    let mut body = String::new();
    loop {
        let (size, after) = rest.split_once("\r\n").unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            return body;
        }
        body.push_str(&after[..size]);
        rest = &after[size + 2..];
    }
}
