//! `billables export` and `billables import`.

use std::path::{Path, PathBuf};

use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::support::client::{send, try_send};
use crate::support::server::{command, run};
use crate::support::{Client, Database, Server, on_both_databases};

pub(crate) fn call(database: &Database, arguments: &[&str]) -> (i32, String, String) {
    run(&mut command(database, arguments))
}

/// Runs a command that must succeed; returns its standard output.
pub(crate) fn output(database: &Database, arguments: &[&str]) -> String {
    let (code, output, errors) = call(database, arguments);
    assert_eq!(code, 0, "{arguments:?}: {errors}");
    output
}

fn export(database: &Database, format: &str) -> String {
    output(database, &["export", "--format", format])
}

/// Runs an import; returns exit code, counts and standard error.
pub(crate) fn import(database: &Database, arguments: &[&str]) -> (i32, String, String) {
    database.migrate();
    let (code, output, errors) = call(database, &[&["import"], arguments].concat());
    // The first line says how the file is read.
    let is_said = |line: &&str| !(line.ends_with(" rows") || line.ends_with(" row"));
    let errors = errors
        .lines()
        .filter(is_said)
        .map(|line| format!("{line}\n"));
    (code, output.trim_end().to_owned(), errors.collect())
}

/// The temporary files of a test.
pub(crate) struct Files(TempDir);

impl Files {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn with(&self, name: &str, text: &str) -> String {
        std::fs::write(self.0.path().join(name), text).unwrap();
        self.path(name)
    }

    pub(crate) fn names(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| PathBuf::from(entry.unwrap().file_name()))
            .collect();
        names.sort();
        names
    }
}

pub(crate) fn report(account: &str, customer: &str, call: &str, minute: u32) -> Value {
    json!({
        "accountId": account, "customerId": customer, "callSid": call,
        "occurredAt": format!("2026-03-01T09:{minute:02}:00Z"),
    })
}

pub(crate) async fn void(client: &Client, id: &str, reason: &str) {
    let request = client
        .post(&format!("/billables/{id}/void"))
        .json(&json!({"reason": reason}));
    assert_eq!(send(request).await.status, 200);
}

/// Reports these billables: four with cells that a spreadsheet would evaluate or a CSV must quote,
/// a voided one, one that has a key instead of a call and is attributed by its session, and an
/// unattributed one.
pub(crate) async fn seed(client: &Client) {
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
        json!({"sessionId": "S1", "accountId": "acc", "occurredAt": "2026-03-01T09:20:00Z"});
    assert_eq!(client.report_keyed("k-1", &of_session).await.status, 201);
    let pair = client
        .request(Method::PUT, "/sessions/S1")
        .json(&json!({"accountId": "acc", "customerId": "cus-2"}));
    assert_eq!(send(pair).await.status, 200);
    let open =
        json!({"sessionId": "S2", "callSid": "CA-open", "occurredAt": "2026-03-01T09:30:00Z"});
    assert_eq!(client.report(&open).await.status, 201);
}

/// The number of billables that [`seed`] makes.
const SEEDED: usize = 7;

on_both_databases!(
    a_command_line_export_equals_an_http_export,
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
                let arguments = [&*arguments, &["--output", &path, "--force"]].concat();
                assert_eq!(call(&database, &arguments), (0, line, String::new()));
                assert_eq!(std::fs::read_to_string(&path).unwrap(), body);
            }
        }
        assert_eq!(output(&database, &["export"]), export(&database, "ndjson"));
        assert_eq!(files.names(), [Path::new("rows")]);
        let nowhere = files.path("no/where");
        let (code, _, errors) = call(
            &database,
            &["export", "--format", "csv", "--output", &nowhere],
        );
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
    an_imported_export_is_exported_unchanged,
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
            let all_new = format!(
                "new {SEEDED}, already stored 0, other time 0, voided 1, left out 0, refused 0"
            );
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
            let all_known = format!(
                "new 0, already stored {SEEDED}, other time 0, voided 0, left out 0, refused 0"
            );
            assert_eq!(
                import(&target, &[&file]),
                (0, all_known.clone(), String::new())
            );
            assert_eq!(
                import(&target, &[&file, "--dry-run"]).1,
                format!("dry run: {all_known}")
            );
            // The original database recognises them too, while its server runs.
            assert_eq!(import(&database, &[&file]), (0, all_known, String::new()));
            assert_eq!(export(&database, format), rows);
            assert_eq!(target.ids().await.len(), SEEDED + 1);
        }
    }
);

on_both_databases!(
    importing_a_later_export_applies_its_voids,
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
        let both =
            "dry run: new 1, already stored 1, other time 0, voided 1, left out 0, refused 0";
        assert_eq!(import(&target, &[&earlier, &later, "--dry-run"]).1, both);
        assert_eq!(
            import(&target, &[&earlier]).1,
            "new 1, already stored 0, other time 0, voided 0, left out 0, refused 0"
        );
        assert_eq!(
            import(&target, &[&later]).1,
            "new 0, already stored 1, other time 0, voided 1, left out 0, refused 0"
        );
        assert_eq!(export(&target, "ndjson"), rows);
        // Importing the earlier export does not undo the void.
        assert_eq!(
            import(&target, &[&earlier]).1,
            "new 0, already stored 1, other time 0, voided 0, left out 0, refused 0"
        );
    }
);

on_both_databases!(
    refused_rows_are_listed_with_the_reason,
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
        let one = "d1719a49-b256-8ead-a1fd-6201c57676cc";
        let of_session = |billed: &str| {
            let more = json!({"accountId": null, "sessionId": "S", "billedAccountId": billed});
            row("00000000-0000-4000-8000-00000000000f", "a", more)
        };
        let lines = [
            (row(one, "a", json!({})), ""),
            (
                row(one, "b", json!({})),
                "the billable with this id is stored with another accountId",
            ),
            (
                row(one, "a", json!({"billedAccountId": "z"})),
                "the row bills another account or customer than it names",
            ),
            (
                row(one, "a", json!({"billedCustomerId": "z"})),
                "the row bills another account or customer than it names",
            ),
            (
                row(
                    one,
                    "a",
                    json!({"billedAccountId": null, "billedCustomerId": null, "state": "unattributed"}),
                ),
                "the row names an account and a customer but bills nobody",
            ),
            (of_session("a"), ""),
            (
                of_session("b"),
                "the billable with this id is already billed to another account or customer",
            ),
            (row("17", "a", json!({})), "the row's id is not a UUID"),
            (
                row(
                    "00000000-0000-4000-8000-000000000001",
                    "a",
                    json!({"state": "paid"}),
                ),
                "the row's state must be",
            ),
            (
                row(
                    "00000000-0000-4000-8000-000000000002",
                    "a",
                    json!({"billedAccountId": null}),
                ),
                "the row has only one of billedAccountId and billedCustomerId",
            ),
            (
                row(
                    "00000000-0000-4000-8000-000000000003",
                    "a",
                    json!({"state": "unattributed"}),
                ),
                "the row's fields contradict state unattributed",
            ),
            (
                row(
                    "00000000-0000-4000-8000-000000000004",
                    "a",
                    json!({"occurredAt": null}),
                ),
                "the row has no occurredAt",
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
                "the row has no id",
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
            import(
                &database,
                &[&files.with(
                    "first.ndjson",
                    &format!("{}\n{}", lines[0].0, of_session("a"))
                )]
            )
            .1,
            "new 2, already stored 0, other time 0, voided 0, left out 0, refused 0"
        );
        let refused = files.path("refused.ndjson");
        let counts = "new 0, already stored 2, other time 0, voided 0, left out 0, refused 16";
        let (code, printed, errors) = import(&database, &[&file, "--refused", &refused]);
        assert_eq!((code, &*printed), (1, counts), "{errors}");
        assert_eq!(
            errors,
            format!("billables: 16 row(s) were refused; see {refused}\n")
        );
        let written = std::fs::read_to_string(&refused).unwrap();
        let written: Vec<Value> = written
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let is_refused = |(_, (_, reason)): &(usize, &(String, &str))| !reason.is_empty();
        for (index, (line, reason)) in lines.iter().enumerate().filter(is_refused) {
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
        // Without `--refused` the first reasons are printed.
        let (code, printed, errors) = import(&database, &[&file, "--dry-run"]);
        assert_eq!((code, &*printed), (1, &*format!("dry run: {counts}")));
        assert_eq!(errors.lines().count(), 11);
        assert!(
            errors.contains(&format!("{file}:15: the row's id is not a UUID\n")),
            "{errors}"
        );
        // Two rows of one file conflict. A dry run detects this too, although it stores nothing.
        let file = files.with("twins.ndjson", &format!("{}\n{}\n", lines[1].0, lines[0].0));
        let empty = Database::sqlite();
        let refused = files.path("none.ndjson");
        for dry in [&["--dry-run"][..], &[]] {
            let (code, printed, _) = import(&empty, &[&[&*file], dry].concat());
            let printed = printed.trim_start_matches("dry run: ");
            assert_eq!(
                (code, printed),
                (
                    1,
                    "new 1, already stored 0, other time 0, voided 0, left out 0, refused 1"
                )
            );
        }
        import(
            &empty,
            &[
                &files.with("one.ndjson", &lines[1].0),
                "--refused",
                &refused,
            ],
        );
        assert_eq!(std::fs::read_to_string(&refused).unwrap(), "");
        assert_eq!(database.ids().await.len(), 2);
    }
);

on_both_databases!(
    csv_columns_of_any_name_can_be_mapped,
    async |database: Database| {
        let files = Files::new();
        let text = "\u{feff}Call ID,Start time,Who\r\nCA1,2026-03-01T09:00:00Z,'c\r\n\"CA\"\"2\",1772353800,=c\n,2026-03-01T09:00:00Z,c\r\nCA3,soon,c\n\"CA4\n";
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
            (
                1,
                "new 2, already stored 0, other time 0, voided 0, left out 0, refused 3"
            ),
            "{errors}"
        );
        for (line, reason) in [
            (4, "callSid is not given at column:call id"),
            (5, "occurredAt at column:Start time is not in a form"),
            (6, "the row has an unclosed quote"),
        ] {
            assert!(
                errors.contains(&format!("{file}:{line}: {reason}")),
                "{errors}"
            );
        }
        assert_eq!(
            import(&database, &arguments).1,
            "new 0, already stored 2, other time 0, voided 0, left out 0, refused 3"
        );
        // Cells are not changed; the identity is that of a report over HTTP.
        let server = Server::start(&database).await;
        for (call, customer) in [("CA1", "'c"), ("CA\"2", "=c")] {
            let reply = server
                .client()
                .report(&json!({"accountId": "A", "customerId": customer, "callSid": call}))
                .await;
            assert_eq!(reply.status, 200);
        }
        // A key belongs to a client.
        let keyed = files.with("keyed.csv", "No,AccountID,customerid\n1,A,c\n2,A,c\n");
        let by_key = |client: &'static str| ["--map", "key=No", "--client", client];
        assert_eq!(
            import(&database, &[&[&*keyed], &by_key("x")[..]].concat()).1,
            "new 2, already stored 0, other time 0, voided 0, left out 0, refused 0"
        );
        assert_eq!(
            import(&database, &[&[&*keyed], &by_key("x")[..]].concat()).1,
            "new 0, already stored 2, other time 0, voided 0, left out 0, refused 0"
        );
        assert_eq!(
            import(&database, &[&[&*keyed], &by_key("default")[..]].concat()).1,
            "new 2, already stored 0, other time 0, voided 0, left out 0, refused 0"
        );
        let pair = json!({"accountId": "A", "customerId": "c"});
        assert_eq!(server.client().report_keyed("1", &pair).await.status, 200);
        let other = files.with("keyed-2.csv", "No,AccountID,customerid\n1,B,c\n");
        let (code, _, errors) = import(&database, &[&[&*other], &by_key("x")[..]].concat());
        assert_eq!(
            (
                code,
                errors.contains("the billable with this id is stored with another accountId")
            ),
            (1, true),
            "{errors}"
        );
        // Invalid arguments are usage errors.
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

#[test]
fn commands_that_need_a_log_do_not_create_one() {
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
        assert!(errors.contains("has no log yet"), "{errors}");
    }
}

on_both_databases!(
    case_23_of_two_imports_at_once_only_one_counts_a_row_as_new,
    async |database: Database| {
        let (store, _) = database.store().await;
        store.close().await;
        let files = Files::new();
        let rows: String = (0..3000).map(|number| format!("S,{number}\n")).collect();
        let file = files.with("calls.csv", &format!("SessionId,CallSid\n{rows}"));
        let begun: Vec<_> = (0..3)
            .map(|_| {
                let mut command = command(&database, &["import", &file]);
                command
                    .stdout(std::process::Stdio::piped())
                    .stderr(std::process::Stdio::piped())
                    .spawn()
                    .unwrap()
            })
            .collect();
        let mut counts = [0, 0];
        for import in begun {
            let done = import.wait_with_output().unwrap();
            assert!(done.status.success(), "{done:?}");
            let output = String::from_utf8(done.stdout).unwrap();
            for (count, part) in counts.iter_mut().zip(output.split(", ")) {
                let number = part.split(' ').next_back().unwrap();
                *count += number.parse::<u64>().unwrap();
            }
        }
        assert_eq!(counts, [3000, 6000]);
        assert_eq!(database.ids().await.len(), 3000);
    }
);
