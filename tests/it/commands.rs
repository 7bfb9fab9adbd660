//! What goes in and out by commands: export, import, check, copy, rebuild-totals.

use std::path::{Path, PathBuf};

use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::support::client::{send, try_send};
use crate::support::server::{command, run};
use crate::support::{Client, Database, Server, on_both_databases};

fn call(database: &Database, arguments: &[&str]) -> (i32, String, String) {
    run(&mut command(database, arguments))
}

/// Runs a command that has to succeed; its standard output.
fn output(database: &Database, arguments: &[&str]) -> String {
    let (code, output, errors) = call(database, arguments);
    assert_eq!(code, 0, "{arguments:?}: {errors}");
    output
}

fn export(database: &Database, format: &str) -> String {
    output(database, &["export", "--format", format])
}

/// Runs an import: exit code, counts, standard error.
fn import(database: &Database, arguments: &[&str]) -> (i32, String, String) {
    let (code, output, errors) = call(database, &[&["import"], arguments].concat());
    (code, output.trim_end().to_owned(), errors)
}

/// Files of one test.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn with(&self, name: &str, text: &str) -> String {
        std::fs::write(self.0.path().join(name), text).unwrap();
        self.path(name)
    }

    fn names(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| PathBuf::from(entry.unwrap().file_name()))
            .collect();
        names.sort();
        names
    }
}

fn report(account: &str, customer: &str, call: &str, minute: u32) -> Value {
    json!({
        "accountId": account, "customerId": customer, "callSid": call,
        "occurredAt": format!("2026-03-01T09:{minute:02}:00Z"),
    })
}

async fn void(client: &Client, id: &str, reason: &str) {
    let request = client
        .post(&format!("/billables/{id}/void"))
        .json(&json!({"reason": reason}));
    assert_eq!(send(request).await.status, 200);
}

/// Every kind of billable: what a spreadsheet would run, one that is voided, one whose pair came
/// with its session, one that nobody is billed for, one with a key and none of the other.
async fn seed(client: &Client) {
    for (index, call) in ["=1+1", "'x", "+39", "a,\"b\""].into_iter().enumerate() {
        let index = u32::try_from(index).unwrap();
        let report = report("acc", "-cus", call, index);
        assert_eq!(client.report(&report).await.status, 201);
    }
    let id = client
        .report(&report("acc", "cus", "CA-voided", 10))
        .await
        .id();
    void(client, &id.to_string(), "=wrong, \"twice\"").await;
    let of_session =
        json!({"sessionId": "S1", "accountId": "half", "occurredAt": "2026-03-01T09:20:00Z"});
    assert_eq!(client.report_keyed("k-1", &of_session).await.status, 201);
    let pair = client
        .request(Method::PUT, "/sessions/S1")
        .json(&json!({"accountId": "acc", "customerId": "cus-2"}));
    assert_eq!(send(pair).await.status, 200);
    let open =
        json!({"sessionId": "S2", "callSid": "CA-open", "occurredAt": "2026-03-01T09:30:00Z"});
    assert_eq!(client.report(&open).await.status, 201);
}

/// How many billables [`seed`] makes.
const SEEDED: usize = 7;

on_both_databases!(
    an_export_is_what_http_exports,
    async |database: Database| {
        let server = Server::start(&database).await;
        seed(&server.client()).await;
        let files = Files::new();
        let filters: [(&str, &[&str], usize); 3] = [
            ("", &[], SEEDED),
            (
                "&accountId=acc&state=voided",
                &["--account", "acc", "--state", "voided"],
                1,
            ),
            (
                "&customerId=-cus&from=2026-03-01T09:01:00Z&to=2026-03-01T09:03:00Z",
                &[
                    "--customer=-cus",
                    "--from",
                    "2026-03-01T09:01:00Z",
                    "--to",
                    "2026-03-01T10:03:00+01:00",
                ],
                2,
            ),
        ];
        for format in ["ndjson", "csv"] {
            for (query, flags, rows) in filters {
                // Sent past the check of what every reply has: it also depends on Accept-Encoding.
                let path = format!("/billables?format={format}{query}");
                let request = server.client().request(Method::GET, &path);
                let body = try_send(request).await.unwrap().body;
                let sha256: String = Sha256::digest(&body)
                    .iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect();
                let line = format!("exported {rows} rows, sha256 {sha256}\n");
                let arguments = [&["export", "--format", format], flags].concat();
                assert_eq!(call(&database, &arguments), (0, body.clone(), line.clone()));
                let path = files.path("rows");
                let arguments = [&*arguments, &["--output", &path]].concat();
                assert_eq!(call(&database, &arguments), (0, line, String::new()));
                assert_eq!(std::fs::read_to_string(&path).unwrap(), body);
            }
        }
        assert_eq!(output(&database, &["export"]), export(&database, "ndjson"));
        assert_eq!(files.names(), [Path::new("rows")]);
        let nowhere = files.path("no/where");
        let (code, _, errors) = call(&database, &["export", "--output", &nowhere]);
        assert_eq!(
            (code, errors.contains("cannot write")),
            (1, true),
            "{errors}"
        );
        assert_eq!(call(&database, &["export", "--state", "paid"]).0, 2);
        assert_eq!(call(&database, &["export", "--from", "yesterday"]).0, 2);
    }
);

on_both_databases!(
    what_was_exported_is_the_same_where_it_is_imported,
    async |database: Database| {
        let server = Server::start(&database).await;
        seed(&server.client()).await;
        let files = Files::new();
        let other = if database.is_postgres() {
            Database::sqlite()
        } else {
            Database::postgres().await
        };
        for (format, target) in [("ndjson", other), ("csv", Database::sqlite())] {
            let rows = export(&database, format);
            let file = files.with(&format!("rows.{format}"), &rows);
            let all_new = format!("new {SEEDED}, known 0, voided 1, refused 0");
            let dry = format!("dry run: {all_new}");
            assert_eq!(
                import(&target, &[&file, "--dry-run"]),
                (0, dry.clone(), String::new())
            );
            assert_eq!(
                import(&target, &[&file, "--dry-run"]),
                (0, dry, String::new())
            );
            assert_eq!(import(&target, &[&file]), (0, all_new, String::new()));
            assert_eq!(export(&target, format), rows);
            let all_known = format!("new 0, known {SEEDED}, voided 0, refused 0");
            assert_eq!(
                import(&target, &[&file]),
                (0, all_known.clone(), String::new())
            );
            assert_eq!(
                import(&target, &[&file, "--dry-run"]).1,
                format!("dry run: {all_known}")
            );
            // What they came from knows them too, beside its server.
            assert_eq!(import(&database, &[&file]), (0, all_known, String::new()));
            assert_eq!(export(&database, format), rows);
            assert_eq!(target.ids().await.len(), SEEDED + 1);
        }
    }
);

on_both_databases!(
    a_later_export_voids_what_an_earlier_one_did_not,
    async |database: Database| {
        let server = Server::start(&database).await;
        let id = server
            .client()
            .report(&report("acc", "cus", "CA1", 0))
            .await
            .id();
        let files = Files::new();
        let earlier = files.with("earlier.jsonl", &export(&database, "ndjson"));
        void(&server.client(), &id.to_string(), "a test").await;
        let rows = export(&database, "ndjson");
        let later = files.with("later.jsonl", &rows);
        let target = Database::sqlite();
        let both = "dry run: new 1, known 1, voided 1, refused 0";
        assert_eq!(import(&target, &[&earlier, &later, "--dry-run"]).1, both);
        assert_eq!(
            import(&target, &[&earlier]).1,
            "new 1, known 0, voided 0, refused 0"
        );
        assert_eq!(
            import(&target, &[&later]).1,
            "new 0, known 1, voided 1, refused 0"
        );
        assert_eq!(export(&target, "ndjson"), rows);
        // An earlier one takes nothing back.
        assert_eq!(
            import(&target, &[&earlier]).1,
            "new 0, known 1, voided 0, refused 0"
        );
    }
);

on_both_databases!(
    rows_that_are_not_stored_are_refused_with_the_reason,
    async |database: Database| {
        let files = Files::new();
        let row = |id: &str, account: &str, more: Value| {
            let mut row = json!({
                "id": id, "accountId": account, "customerId": "c", "callSid": "CA1", "state": "billable",
                "billedAccountId": account, "billedCustomerId": "c",
                "occurredAt": "2026-03-01T09:00:00Z", "recordedAt": "2026-03-01T09:00:01Z",
            });
            for (name, value) in more.as_object().unwrap() {
                row[name] = value.clone();
            }
            row.to_string()
        };
        let one = "9fa7705a-9bff-8ead-a1fd-6201c57676cc";
        let lines = [
            (row(one, "a", json!({})), ""),
            (
                row(one, "b", json!({})),
                "its id is stored with another accountId",
            ),
            (
                row(one, "a", json!({"billedAccountId": "z"})),
                "its id is billed to another pair already",
            ),
            (row("17", "a", json!({})), "its id is not a UUID"),
            (
                row(
                    "00000000-0000-4000-8000-000000000001",
                    "a",
                    json!({"state": "paid"}),
                ),
                "its state must be",
            ),
            (
                row(
                    "00000000-0000-4000-8000-000000000002",
                    "a",
                    json!({"billedAccountId": null}),
                ),
                "it bills half of a pair",
            ),
            (
                row(
                    "00000000-0000-4000-8000-000000000003",
                    "a",
                    json!({"state": "unattributed"}),
                ),
                "it cannot be unattributed",
            ),
            (
                row(
                    "00000000-0000-4000-8000-000000000004",
                    "a",
                    json!({"occurredAt": null}),
                ),
                "it has no occurredAt",
            ),
            (
                row("00000000-0000-4000-8000-000000000005", "a\0", json!({})),
                "must not contain the character U+0000",
            ),
            ("{\"id\":".to_owned(), "the JSON ends too early"),
            ("[]".to_owned(), "the JSON must be an object"),
            (
                json!({"accountId": "a", "customerId": "c"}).to_string(),
                "neither a callSid nor a key",
            ),
            (
                json!({"id": null, "state": "billable", "sessionId": "S", "callSid": "CA2"})
                    .to_string(),
                "it has no id",
            ),
            (
                json!({"accountId": "a", "callSid": "CA2"}).to_string(),
                "customerId is required",
            ),
        ];
        let text: String = lines
            .iter()
            .map(|(line, _)| format!("{line}\n\n"))
            .collect();
        let file = files.with("rows.ndjson", &text);
        assert_eq!(
            import(&database, &[&files.with("first.ndjson", &lines[0].0)]).1,
            "new 1, known 0, voided 0, refused 0"
        );
        let refused = files.path("refused.ndjson");
        let counts = "new 0, known 1, voided 0, refused 13";
        let (code, printed, errors) = import(&database, &[&file, "--refused", &refused]);
        assert_eq!((code, &*printed), (1, counts), "{errors}");
        assert_eq!(
            errors,
            format!("billables: 13 row(s) were refused; {refused} has them\n")
        );
        let written = std::fs::read_to_string(&refused).unwrap();
        let written: Vec<Value> = written
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        for (index, (line, reason)) in lines.iter().enumerate().skip(1) {
            let found = written
                .iter()
                .find(|row| row["line"] == json!(2 * index + 1))
                .unwrap();
            assert!(
                found["reason"].as_str().unwrap().contains(reason),
                "{found}"
            );
            assert_eq!(
                (&found["file"], &found["row"]),
                (&json!(file), &json!(line))
            );
        }
        // Without a file the first reasons are shown.
        let (code, printed, errors) = import(&database, &[&file, "--dry-run"]);
        assert_eq!((code, &*printed), (1, &*format!("dry run: {counts}")));
        assert_eq!(errors.lines().count(), 11);
        assert!(
            errors.contains(&format!("{file}:7: its id is not a UUID\n")),
            "{errors}"
        );
        // Within one file, and where only the dry run knows.
        let file = files.with("twins.ndjson", &format!("{}\n{}\n", lines[1].0, lines[0].0));
        let empty = Database::sqlite();
        let refused = files.path("none.ndjson");
        for dry in [&["--dry-run"][..], &[]] {
            let (code, printed, _) = import(&empty, &[&[&*file], dry].concat());
            let printed = printed.trim_start_matches("dry run: ");
            assert_eq!((code, printed), (1, "new 1, known 0, voided 0, refused 1"));
        }
        import(
            &empty,
            &[
                &files.with("one.ndjson", &lines[1].0),
                "--refused",
                &refused,
            ],
        );
        assert!(!Path::new(&refused).exists());
        assert_eq!(database.ids().await.len(), 1);
    }
);

on_both_databases!(
    anybodys_columns_become_reports,
    async |database: Database| {
        let files = Files::new();
        let text = "\u{feff}Call ID,Start time,Who\r\nCA1,2026-03-01T09:00:00Z,'c\r\n\"CA\"\"2\",,=c\n,2026-03-01T09:00:00Z,c\r\nCA3,soon,c\n\"CA4\n";
        let file = files.with("calls.txt", text);
        let mapped = [
            "--format",
            "csv",
            "--map",
            "callSid=call id",
            "--map",
            "occurredAt=Start time",
            "--map",
            "customerId=Who",
            "--set",
            "accountId=A",
        ];
        let arguments = [&[&*file], &mapped[..]].concat();
        let (code, counts, errors) = import(&database, &arguments);
        assert_eq!(
            (code, &*counts),
            (1, "new 2, known 0, voided 0, refused 3"),
            "{errors}"
        );
        for (line, reason) in [
            (4, "it has neither"),
            (5, "occurredAt must be"),
            (6, "the row ends inside of quotes"),
        ] {
            assert!(
                errors.contains(&format!("{file}:{line}: {reason}")),
                "{errors}"
            );
        }
        assert_eq!(
            import(&database, &arguments).1,
            "new 0, known 2, voided 0, refused 3"
        );
        // Cells are as they are; the identity is that of a report over HTTP.
        let server = Server::start(&database).await;
        for (call, customer) in [("CA1", "'c"), ("CA\"2", "=c")] {
            let reply = server
                .client()
                .report(&json!({"accountId": "A", "customerId": customer, "callSid": call}))
                .await;
            assert_eq!(reply.status, 200);
        }
        // A key is the client's.
        let keyed = files.with("keyed.csv", "No,AccountID,customerid\n1,A,c\n2,A,c\n");
        let by_key = |client: &'static str| ["--map", "key=No", "--client", client];
        assert_eq!(
            import(&database, &[&[&*keyed], &by_key("x")[..]].concat()).1,
            "new 2, known 0, voided 0, refused 0"
        );
        assert_eq!(
            import(&database, &[&[&*keyed], &by_key("x")[..]].concat()).1,
            "new 0, known 2, voided 0, refused 0"
        );
        assert_eq!(
            import(&database, &[&[&*keyed], &by_key("default")[..]].concat()).1,
            "new 2, known 0, voided 0, refused 0"
        );
        let pair = json!({"accountId": "A", "customerId": "c"});
        assert_eq!(server.client().report_keyed("1", &pair).await.status, 200);
        let other = files.with("keyed-2.csv", "No,AccountID,customerid\n1,B,c\n");
        let (code, _, errors) = import(&database, &[&[&*other], &by_key("x")[..]].concat());
        assert_eq!(
            (
                code,
                errors.contains("its id is stored with another accountId")
            ),
            (1, true),
            "{errors}"
        );
        // What is typed has to make sense.
        for arguments in [
            &["--map", "callSid=nope"][..],
            &["--map", "call=No"],
            &["--map", "callSid"],
            &["--map", "key=No", "--set", "key=1"],
            &["--set", "accountId=A", "--set", "AccountId=B"],
            &["--client", "a b"],
        ] {
            let (code, _, errors) = import(&database, &[&[&*keyed], arguments].concat());
            assert_eq!(code, 2, "{arguments:?}: {errors}");
        }
        assert_eq!(import(&database, &[&file]).0, 2);
        assert_eq!(import(&database, &[&files.path("nowhere.csv")]).0, 1);
    }
);

on_both_databases!(a_carriers_list_is_checked, async |database: Database| {
    let server = Server::start(&database).await;
    let client = server.client();
    let mut ids = Vec::new();
    for (account, call, minute) in [
        ("a", "there", 0),
        ("a", "voided", 1),
        ("a", "extra", 2),
        ("a", "voided-extra", 3),
        ("a", "twice", 4),
        ("b", "foreign", 5),
        ("a", "outside", 55),
        ("a", "voided-outside", 56),
    ] {
        ids.push(
            client
                .report(&report(account, "c", call, minute))
                .await
                .id()
                .to_string(),
        );
    }
    for voided in [1, 3, 7] {
        void(&client, &ids[voided], "a test").await;
    }
    // Voided, and reported again.
    let again = client
        .report_keyed("again", &report("a", "c", "twice", 6))
        .await;
    void(&client, &ids[4], "a test").await;
    assert_eq!(again.status, 201);
    let files = Files::new();
    let check = |text: &str| {
        let file = files.with("calls.csv", text);
        let range = [
            "--account",
            "a",
            "--from",
            "2026-03-01T09:00:00Z",
            "--to",
            "2026-03-01T09:30:00Z",
        ];
        let (code, output, _) = call(
            &database,
            &[&["check", &*file, "--column", "call"], &range[..]].concat(),
        );
        let mut lines: Vec<_> = output.lines().map(str::to_owned).collect();
        let summary = lines.pop().unwrap_or_default();
        lines.sort();
        (code, lines, summary)
    };
    let all = "Call,x\nthere,1\nvoided,\ntwice,1\nforeign,1\noutside,1\nvoided-outside,1\n,1\nthere,2\n\"a\nb\",1\nno,1\n";
    let expected = [
        &*format!("extra extra {}", ids[2]),
        "missing a\\nb",
        "missing foreign",
        "missing no",
        "voided voided",
        "voided voided-outside",
    ];
    let (code, lines, summary) = check(all);
    assert_eq!(
        (code, &*summary),
        (1, "calls 8, missing 3, extra 1, voided 2")
    );
    assert_eq!(lines, expected);
    let (code, lines, summary) = check("CALL\nthere\nextra\ntwice\nvoided\noutside\n");
    assert_eq!(
        (code, lines, &*summary),
        (
            0,
            vec!["voided voided".to_owned()],
            "calls 5, missing 0, extra 0, voided 1"
        )
    );
    let many: String = (0..1200).map(|number| format!("c{number}\n")).collect();
    let (_, lines, summary) = check(&format!("call\n{many}there\n"));
    assert_eq!(
        (lines.len(), &*summary),
        (1202, "calls 1201, missing 1200, extra 2, voided 0")
    );
    assert_eq!(check("other\n1\n").0, 2);
    assert_eq!(check("call\n1,2\n").0, 1);
});

on_both_databases!(a_copy_is_the_same_log, async |database: Database| {
    let to = if database.is_postgres() {
        Database::sqlite()
    } else {
        Database::postgres().await
    };
    copies(&database, &to).await;
});

on_both_databases!(totals_are_rebuilt, async |database: Database| {
    let mut server = Server::start(&database).await;
    seed(&server.client()).await;
    let billing = async |server: &Server| {
        let path = "/billing?accountId=acc&startDate=2026-02-01&endDate=2026-03-31&groupBy=day";
        let mut found = server.client().get(path).await.json();
        found.as_object_mut().unwrap().remove("asOf");
        found
    };
    let before = billing(&server).await;
    assert_eq!(before["customers"].as_array().unwrap().len(), 3, "{before}");
    assert_eq!(
        output(&database, &["rebuild-totals"]),
        "rebuilt the totals of 1 partition(s)\n"
    );
    assert_eq!(billing(&server).await, before);
    server.signal("-TERM");
    server.wait();
    // What somebody has done to them is mended.
    database
        .execute("update buckets set billable_count = billable_count + 1")
        .await;
    output(&database, &["rebuild-totals"]);
    assert_eq!(billing(&Server::start(&database).await).await, before);
});

/// Copies a log that a server has made, and goes on with the copy.
async fn copies(from: &Database, to: &Database) {
    let mut server = Server::start(from).await;
    let client = server.client();
    seed(&client).await;
    let revoked = output(from, &["token", "create", "--client", "gone"]);
    let listed: Value = serde_json::from_str(&output(from, &["token", "list", "--json"])).unwrap();
    let listed = listed.as_array().unwrap();
    let gone = listed
        .iter()
        .find(|token| token["client"] == "gone")
        .unwrap();
    output(from, &["token", "revoke", gone["id"].as_str().unwrap()]);
    let cursor = client.get("/log?limit=3").await.json()["nextCursor"].clone();
    let after = format!("/log?after={}", cursor.as_str().unwrap());
    let (feed, list) = (
        client.get(&after).await.json(),
        client.get("/billables").await.json(),
    );
    let secret = server.secret().to_owned();
    server.signal("-TERM");
    server.wait();

    let copy = || call(from, &["copy", from.url(), to.url()]);
    // A server was started on the other one by mistake, and nothing was reported to it.
    drop(Server::start(to).await);
    let (code, printed, errors) = copy();
    assert_eq!(code, 0, "{errors}");
    let entries = from.entries().await;
    assert!(
        printed.starts_with(&format!("copied {} entries of the log ", entries.len())),
        "{printed}"
    );
    assert_eq!(to.entries().await, entries);
    assert_eq!(copy(), (0, printed.clone(), String::new()));
    // Cut short, it is gone on with.
    to.execute("delete from entries where position > 4").await;
    to.execute("update log_heads set next_position = 1").await;
    to.execute("update watermarks set position = 0").await;
    assert_eq!(copy(), (0, printed, String::new()));
    assert_eq!(to.entries().await, entries);

    let server = Server::start_fresh(to, &[]);
    let client = server.client_of(&secret);
    assert_eq!(client.get(&after).await.json()["items"], feed["items"]);
    assert_eq!(
        client.get("/billables").await.json()["items"],
        list["items"]
    );
    assert_eq!(
        server
            .client_of(revoked.trim())
            .get("/billables")
            .await
            .status,
        401
    );
    // What was decided holds, and what was stored is recognised.
    let late = json!({"sessionId": "S1", "callSid": "CA-late"});
    assert_eq!(
        client.report(&late).await.json()["billedCustomerId"],
        "cus-2"
    );
    assert_eq!(
        client
            .report(&report("acc", "-cus", "=1+1", 0))
            .await
            .status,
        200
    );
    let other = json!({"accountId": "acc", "customerId": "other"});
    assert_eq!(
        send(client.request(Method::PUT, "/sessions/S1").json(&other))
            .await
            .status,
        409
    );
    let last = |entries: &[(i32, i64, uuid::Uuid)]| entries.last().unwrap().1;
    assert!(last(&to.entries().await) > last(&entries));
    drop(server);

    // It is a log of its own now.
    let (code, _, errors) = copy();
    assert_eq!(
        (code, errors.contains("has been written to since")),
        (1, true),
        "{errors}"
    );
    let occupied = Database::sqlite();
    let file = Files::new();
    let row = file.with("row.csv", "accountId,customerId,callSid\na,c,CA1\n");
    assert_eq!(import(&occupied, &[&row]).0, 0);
    let (code, _, errors) = call(from, &["copy", from.url(), occupied.url()]);
    assert_eq!(
        (code, errors.contains("which is not empty")),
        (1, true),
        "{errors}"
    );
    let (code, _, errors) = call(from, &["copy", Database::sqlite().url(), to.url()]);
    assert_eq!(
        (code, errors.contains("no log to copy")),
        (1, true),
        "{errors}"
    );
}

#[tokio::test]
async fn partitions_are_copied() {
    let (from, to) = (Database::postgres().await, Database::postgres().await);
    output(&from, &["migrate", "--partitions", "3"]);
    let text: String = (0..50).map(|call| format!("a,c,CA{call}\n")).collect();
    let files = Files::new();
    let file = files.with(
        "calls.csv",
        &format!("accountId,customerId,callSid\n{text}"),
    );
    assert_eq!(import(&from, &[&file]).0, 0);
    let printed = output(&from, &["copy", from.url(), to.url()]);
    assert!(printed.starts_with("copied 50 entries"), "{printed}");
    assert_eq!(to.entries().await, from.entries().await);
    assert_eq!(
        import(&to, &[&file]).1,
        "new 0, known 50, voided 0, refused 0"
    );
    let (code, _, errors) = call(&from, &["copy", from.url(), Database::sqlite().url()]);
    assert_eq!(
        (code, errors.contains("SQLite has one partition")),
        (1, true),
        "{errors}"
    );
}

#[test]
fn what_only_reads_makes_no_log() {
    let files = Files::new();
    let file = files.with("calls.csv", "callSid\nCA1\n");
    let timestamp = "2026-03-01T09:00:00Z";
    for arguments in [
        &["export"][..],
        &[
            "check",
            &file,
            "--account",
            "a",
            "--from",
            timestamp,
            "--to",
            timestamp,
        ],
        &["rebuild-totals"],
    ] {
        let (code, output, errors) = call(&Database::sqlite(), arguments);
        assert_eq!((code, &*output), (1, ""), "{arguments:?}");
        assert!(errors.contains("the database has no log yet"), "{errors}");
    }
}
