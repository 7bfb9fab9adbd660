//! Days and cuts: lists, exports and totals of the same days, at the same cut of the log, agree.

use reqwest::Method;
use serde_json::{Value, json};

use crate::billing::{insert_customers, until_rolled};
use crate::import_export::{call, output, void};
use crate::support::client::{Reply, send};
use crate::support::server::token;
use crate::support::{Client, Database, Server, on_both_databases};
use billables::token::Scope;

/// A zone, days, and when they begin and end.
const DAYS: [(&str, &str, &str, &str, &str); 10] = [
    (
        "UTC",
        "2026-03-01",
        "2026-03-31",
        "2026-03-01T00:00:00Z",
        "2026-04-01T00:00:00Z",
    ),
    (
        "Europe/Rome",
        "2026-03-29",
        "2026-03-29",
        "2026-03-28T23:00:00Z",
        "2026-03-29T22:00:00Z",
    ),
    (
        "Europe/Rome",
        "2026-03-01",
        "2026-03-31",
        "2026-02-28T23:00:00Z",
        "2026-03-31T22:00:00Z",
    ),
    (
        "Europe/Rome",
        "2026-10-25",
        "2026-10-25",
        "2026-10-24T22:00:00Z",
        "2026-10-25T23:00:00Z",
    ),
    (
        "Asia/Kathmandu",
        "2026-01-01",
        "2026-01-01",
        "2025-12-31T18:15:00Z",
        "2026-01-01T18:15:00Z",
    ),
    (
        "America/St_Johns",
        "2026-03-08",
        "2026-03-08",
        "2026-03-08T03:30:00Z",
        "2026-03-09T02:30:00Z",
    ),
    // Samoa skipped this day: the one before it ends where the one after it begins.
    (
        "Pacific/Apia",
        "2011-12-29",
        "2011-12-29",
        "2011-12-29T10:00:00Z",
        "2011-12-30T10:00:00Z",
    ),
    (
        "Pacific/Apia",
        "2011-12-30",
        "2011-12-30",
        "2011-12-30T10:00:00Z",
        "2011-12-30T10:00:00Z",
    ),
    (
        "Pacific/Apia",
        "2011-12-31",
        "2011-12-31",
        "2011-12-30T10:00:00Z",
        "2011-12-31T10:00:00Z",
    ),
    // The clock skips midnight.
    (
        "America/Asuncion",
        "2023-10-01",
        "2023-10-01",
        "2023-10-01T04:00:00Z",
        "2023-10-02T03:00:00Z",
    ),
];

/// Returns a timestamp that is some microseconds later.
fn later(text: &str, micros: i64) -> String {
    let timestamp: jiff::Timestamp = text.parse().unwrap();
    let moved = timestamp.as_microsecond() + micros;
    jiff::Timestamp::from_microsecond(moved)
        .unwrap()
        .to_string()
}

fn ids(reply: &Reply) -> Vec<String> {
    assert_eq!(reply.status, 200, "{}", reply.body);
    let items = reply.json()["items"].as_array().unwrap().clone();
    items
        .iter()
        .map(|item| item["callSid"].as_str().unwrap().to_owned())
        .collect()
}

on_both_databases!(
    a_day_of_a_list_an_export_and_a_total_is_the_same_day,
    async |database: Database| {
        let server = Server::start_with(&database, &["--time-zone", "Europe/Rome"]).await;
        let client = server.client();
        let mut reports = Vec::new();
        for (index, (_, _, _, from, until)) in DAYS.iter().enumerate() {
            for (name, at) in [
                ("before", later(from, -1)),
                ("first", (*from).to_owned()),
                ("last", later(until, -1)),
                ("after", (*until).to_owned()),
            ] {
                let account = format!("a{index}");
                reports.push(json!({"accountId": account, "customerId": "c", "callSid": name, "occurredAt": at}));
            }
        }
        assert_eq!(
            send(client.post("/billables").json(&reports)).await.status,
            201
        );
        for (index, (zone, first, last, from, until)) in DAYS.iter().enumerate() {
            // An empty day has no first and no last call.
            let expected: &[&str] = if from == until {
                &[]
            } else {
                &["last", "first"]
            };
            let account = format!("a{index}");
            let days =
                format!("accountId={account}&startDate={first}&endDate={last}&timeZone={zone}");
            let what = format!("{zone} {first}");
            let list = client.get(&format!("/billables?{days}")).await;
            assert_eq!(ids(&list), expected, "{what}");
            let rows = client
                .get(&format!("/billables?format=ndjson&{days}"))
                .await;
            assert_eq!(rows.body.lines().count(), expected.len(), "{what}");
            let billing = client.get(&format!("/billing?{days}")).await.json();
            let customers = billing["customers"].as_array().unwrap();
            let count: i64 = customers
                .iter()
                .map(|row| row["billableCount"].as_i64().unwrap())
                .sum();
            assert_eq!(count, expected.len() as i64, "{what}");
            let exported = output(
                &database,
                &[
                    "export",
                    "--account",
                    &account,
                    "--start-date",
                    first,
                    "--end-date",
                    last,
                    "--time-zone",
                    zone,
                ],
            );
            assert_eq!(exported, rows.body, "{what}");
            // Where no zone is given, the setting says which.
            let unzoned = format!("accountId={account}&startDate={first}&endDate={last}");
            let list = client.get(&format!("/billables?{unzoned}")).await;
            let billing = client.get(&format!("/billing?{unzoned}")).await.json();
            assert_eq!(billing["timeZone"], "Europe/Rome");
            if *zone == "Europe/Rome" {
                assert_eq!(ids(&list), expected, "{what}");
            }
        }
        // Either end may be open.
        let since = client
            .get("/billables?accountId=a0&startDate=2026-03-31&timeZone=UTC")
            .await;
        assert_eq!(ids(&since), ["after", "last"]);
        let until = client
            .get("/billables?accountId=a0&endDate=2026-03-30&timeZone=UTC")
            .await;
        assert_eq!(ids(&until), ["first", "before"]);
        for (query, field) in [
            ("from=2026-03-01T00:00:00Z&startDate=2026-03-01", "From"),
            ("to=2026-03-01T00:00:00Z&endDate=2026-03-01", "To"),
            ("timeZone=Europe/Rome", "TimeZone"),
            ("startDate=2026-03-01&timeZone=Mars", "TimeZone"),
            ("startDate=2026-3-1", "StartDate"),
            ("endDate=2026-02-30", "EndDate"),
            ("startDate=2026-03-02&endDate=2026-03-01", "EndDate"),
        ] {
            let refused = client.get(&format!("/billables?{query}")).await;
            let expected = vec![(field.to_owned(), "Predicate".to_owned())];
            assert_eq!(
                (refused.status, refused.field_errors()),
                (400, expected),
                "{query}"
            );
        }
        for (arguments, part) in [
            (
                &["--start-date", "2026-03-32"][..],
                "--start-date must be a date",
            ),
            (
                &["--start-date", "2026-03-02", "--end-date", "2026-03-01"],
                "must not be before",
            ),
            (
                &[
                    "--start-date",
                    "2026-03-02",
                    "--from",
                    "2026-03-02T00:00:00Z",
                ],
                "cannot be used with",
            ),
            (
                &["--time-zone", "Mars"],
                "must be the name of an IANA time zone",
            ),
        ] {
            let (code, _, errors) = call(&database, &[&["export"], arguments].concat());
            assert!(code == 2 && errors.contains(part), "{errors}");
        }
        let version = output(&database, &["--version"]);
        let zones = version
            .lines()
            .find_map(|line| line.strip_prefix("time zones "));
        let zones = format!("time_zones=\"{}\"", zones.expect("a version"));
        assert!(
            client.get("/metrics").await.body.contains(&zones),
            "{zones}"
        );
    }
);

/// Everything that the reads of an account say at a cut.
async fn read_at(client: &Client, as_of: &str, account: &str) -> Vec<Value> {
    let mut said = Vec::new();
    for path in [
        format!("/billables?accountId={account}&limit=2&asOf={as_of}"),
        format!("/billables?accountId={account}&state=voided&asOf={as_of}"),
        format!("/billables?customerId=c&asOf={as_of}"),
        format!(
            "/billing?accountId={account}&startDate=2026-03-01&endDate=2026-03-31&asOf={as_of}"
        ),
        format!(
            "/billing?accountId={account}&startDate=2026-03-01&endDate=2026-03-31&groupBy=day&asOf={as_of}"
        ),
    ] {
        let reply = client.get(&path).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.body);
        let mut body = reply.json();
        // Two texts of one cut may differ.
        for name in ["asOf", "nextCursor"] {
            body.as_object_mut().unwrap().remove(name);
        }
        said.push(body);
    }
    let path = format!("/billables?format=csv&accountId={account}&asOf={as_of}");
    said.push(json!(client.get(&path).await.body));
    said
}

on_both_databases!(
    a_cut_gives_the_same_rows_whatever_comes_later,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        let report = |call: &str, day: u32| json!({"accountId": "a", "customerId": "c", "callSid": call, "occurredAt": format!("2026-03-{day:02}T12:00:00Z")});
        let mut made = Vec::new();
        for day in 1..=3 {
            made.push(
                client
                    .report(&report(&format!("CA{day}"), day))
                    .await
                    .id()
                    .to_string(),
            );
        }
        let open = json!({"accountId": "a", "sessionId": "S", "callSid": "CA4", "occurredAt": "2026-03-04T12:00:00Z"});
        assert_eq!(client.report(&open).await.status, 201);
        void(&client, &made[0], "a test").await;
        let secret = token(&database, "limited", &[Scope::Read], Some(&["a"])).await;
        let limited = server.client_of(&secret);

        let list = client.get("/billables?accountId=a").await;
        let as_of = list.header("as-of").unwrap().to_owned();
        assert_eq!(list.json()["asOf"], json!(as_of));
        assert!(
            as_of
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
        );
        let xml = client.get("/billables?format=xml").await.body;
        assert!(xml.contains("<AsOf>"), "{xml}");
        let before = read_at(&client, &as_of, "a").await;
        let seen_by_limited = read_at(&limited, &as_of, "a").await;

        // What comes later: a report of an earlier day, a void, and a decision.
        assert_eq!(client.report(&report("CA5", 1)).await.status, 201);
        void(&client, &made[1], "another test").await;
        let decision = client
            .request(Method::PUT, "/sessions/S")
            .json(&json!({"accountId": "a", "customerId": "c"}));
        assert_eq!(send(decision).await.status, 200);
        assert_eq!(read_at(&client, &as_of, "a").await, before);
        until_rolled(&database).await;
        assert_eq!(read_at(&client, &as_of, "a").await, before);
        assert_eq!(read_at(&limited, &as_of, "a").await, seen_by_limited);
        // The feed continues there, for one account as well.
        let feed = |query: &str| format!("/log?after={as_of}{query}");
        let kinds = |reply: &Reply| -> Vec<String> {
            let items = reply.json()["items"].as_array().unwrap().clone();
            items
                .iter()
                .map(|item| item["kind"].as_str().unwrap().to_owned())
                .collect()
        };
        let all = client.get(&feed("")).await;
        assert_eq!(kinds(&all), ["recorded", "voided", "attributed"]);
        assert_eq!(kinds(&client.get(&feed("&accountId=a")).await), kinds(&all));
        assert_eq!(
            kinds(&limited.get(&feed("&accountId=a")).await),
            kinds(&all)
        );
        assert_eq!(kinds(&client.get(&feed("&accountId=b")).await), [""; 0]);
        assert_eq!(limited.get(&feed("&accountId=b")).await.status, 403);

        // A page's cursor is of the same cut, and no cursor of a list is a cut.
        let page = client
            .get(&format!("/billables?accountId=a&limit=2&asOf={as_of}"))
            .await
            .json();
        let cursor = page["nextCursor"].as_str().unwrap();
        let next = client
            .get(&format!("/billables?accountId=a&limit=2&cursor={cursor}"))
            .await;
        assert_eq!(next.json()["items"].as_array().unwrap().len(), 2);
        let now = client
            .get("/billables")
            .await
            .header("as-of")
            .unwrap()
            .to_owned();
        // Whether the two are of one cut is not told: it would tell when others write.
        for cut in [&as_of, &now] {
            let path = format!("/billables?accountId=a&limit=2&asOf={cut}&cursor={cursor}");
            let refused = limited.get(&path).await;
            let expected = vec![("AsOf".to_owned(), "Predicate".to_owned())];
            assert_eq!((refused.status, refused.field_errors()), (400, expected));
        }
        for query in [format!("asOf={cursor}"), "asOf=x".to_owned()] {
            let refused = client.get(&format!("/billables?{query}")).await;
            assert_eq!(
                (refused.status, &*refused.error_code()),
                (400, "InvalidCursor"),
                "{query}"
            );
        }
        let refused = client
            .get(&format!(
                "/billing?startDate=2026-03-01&endDate=2026-03-31&asOf={cursor}"
            ))
            .await;
        assert_eq!(refused.status, 400);
    }
);

// With an old cut the entries of the account are read, instead of everybody's since.
on_both_databases!(
    totals_at_an_old_cut_are_those_of_then,
    async |database: Database| {
        let server = Server::start(&database).await;
        let client = server.client();
        for day in 1..=3 {
            let report = json!({"accountId": "a", "customerId": format!("c{day}"), "callSid": format!("CA{day}"), "occurredAt": format!("2026-03-{day:02}T12:00:00Z")});
            assert_eq!(client.report(&report).await.status, 201);
        }
        let as_of = client
            .get("/billables")
            .await
            .header("as-of")
            .unwrap()
            .to_owned();
        let path =
            format!("/billing?accountId=a&startDate=2026-03-01&endDate=2026-03-31&asOf={as_of}");
        let paths = [
            path.clone(),
            format!("{path}&groupBy=day"),
            format!("{path}&customerId=c2"),
        ];
        let mut before = Vec::new();
        for path in &paths {
            before.push(client.get(path).await.json()["customers"].clone());
        }
        assert_eq!(before[0].as_array().unwrap().len(), 3);
        drop(server);
        insert_customers(&database, 100, 60_100).await;
        let server = Server::start(&database).await;
        let client = server.client();
        let void = json!({"accountId": "a", "customerId": "c1", "callSid": "late", "occurredAt": "2026-03-01T12:00:00Z"});
        assert_eq!(client.report(&void).await.status, 201);
        until_rolled(&database).await;
        for (path, before) in paths.iter().zip(&before) {
            let billing = client.get(path).await.json();
            assert_eq!(&billing["customers"], before, "{path}");
            // To count everybody's unattributed billables, everything since would have to be read.
            assert_eq!(billing["unattributedCount"], Value::Null);
        }
        let now = client.get(&path.replace(&as_of, "")).await.json();
        assert_eq!(now["customers"][0]["billableCount"], 2);
        assert_eq!(now["unattributedCount"], 0);
    }
);
