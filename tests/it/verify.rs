//! `billables verify` reports every kind of damage, and nothing else.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::client::send;
use crate::support::server::{command, run};
use crate::support::{Client, Database, Server, on_both_databases};

/// Runs `billables verify`. Returns its exit code, standard output and standard error.
pub(crate) fn verify(database: &Database) -> (i32, String, String) {
    run(&mut command(database, &["verify"]))
}

async fn report(client: &Client, report: Value) -> String {
    let reply = client.report(&report).await;
    assert_eq!(reply.status, 201, "{reply:?}");
    reply.id().to_string()
}

async fn void(client: &Client, id: &str) {
    let request = client.post(&format!("/billables/{id}/void"));
    let reply = send(request.json(&json!({"reason": "a test"}))).await;
    assert_eq!(reply.status, 200);
}

async fn decide(client: &Client, session: &str, account: &str, customer: &str) {
    let request = client.request(Method::PUT, &format!("/sessions/{session}"));
    let pair = json!({"accountId": account, "customerId": customer});
    assert_eq!(send(request.json(&pair)).await.status, 200);
}

/// Creates a log with every kind of entry, and its totals.
async fn seed(database: &Database) {
    let mut server = Server::start(database).await;
    let client = server.client();
    let at = "2026-03-01T09:00:00Z";
    let call = |call: &str| json!({"accountId": "acc", "customerId": "cus", "callSid": call, "occurredAt": at});
    report(&client, call("CA1")).await;
    let voided = report(&client, call("CA2")).await;
    void(&client, &voided).await;
    let keyed =
        json!({"sessionId": "S1", "accountId": "acc", "callSid": "CA-key", "occurredAt": at});
    assert_eq!(client.report_keyed("k-1", &keyed).await.status, 201);
    let both = json!({"sessionId": "S1", "callSid": "CA-both", "occurredAt": at});
    let both = report(&client, both).await;
    decide(&client, "S1", "acc", "cus-2").await;
    void(&client, &both).await;
    report(&client, json!({"sessionId": "S1", "callSid": "CA-late"})).await;
    // Its account contradicts the session's pair, so it is billed to nobody.
    let other = json!({"sessionId": "S1", "callSid": "CA-other", "accountId": "other"});
    report(&client, other).await;
    report(&client, json!({"sessionId": "S2", "callSid": "CA-open"})).await;
    report(&client, json!({"sessionId": "S3"})).await;
    server.signal("-TERM");
    assert_eq!(server.wait(), Some(0));
    assert_eq!(run(&mut command(database, &["rebuild-totals"])).0, 0);
}

/// Statements that damage a log, each with the finding expected for it. `UUID` stands for an unused
/// id.
const DAMAGE_CASES: &[(&str, &str)] = &[
    (
        "update entries set call_sid = 'CA9' where call_sid = 'CA1'",
        "its billable's id does not match its identity",
    ),
    (
        "update entries set client = 'other' where idempotency_key = 'k-1'",
        "its billable's id does not match its identity",
    ),
    (
        "update entries set billable_id = UUID where call_sid = 'CA1'",
        "its billable's id does not match its identity",
    ),
    (
        "update entries set call_prefix = 5 where call_sid = 'CA1'",
        "its call_prefix does not match",
    ),
    (
        "update entries set call_prefix = null where kind = 1 and idempotency_key = 'k-1'",
        "its call_prefix does not match",
    ),
    (
        "update entries set billed_account_id = 'acc', billed_customer_id = 'cus-2' where call_sid = 'CA-other'",
        "it bills another account or customer than its report names",
    ),
    (
        "update entries set billable_id = UUID where kind = 2 and idempotency_key = 'k-1'",
        "its billable was never recorded",
    ),
    (
        "update entries set billable_id = UUID where kind = 3 and call_sid = 'CA2'",
        "its billable was never recorded",
    ),
    (
        "delete from entries where kind = 1 and call_sid = 'CA2'",
        "its billable was never recorded",
    ),
    (
        "update entries set occurred_at = occurred_at + 1 where kind = 3 and call_sid = 'CA2'",
        "its fields differ from the entry that records",
    ),
    (
        "update entries set account_id = 'a' where kind = 2 and idempotency_key = 'k-1'",
        "its fields differ from the entry that records",
    ),
    (
        "update entries set idempotency_key = 'k-2' where kind = 2 and idempotency_key = 'k-1'",
        "its fields differ from the entry that records",
    ),
    (
        "update log_heads set next_position = 1000; update entries set position = 900 where kind = 1 and idempotency_key = 'k-1'",
        "it comes before the entry that records its billable",
    ),
    (
        "update log_heads set next_position = 1000; update entries set position = 900 where kind = 2 and call_sid = 'CA-both'",
        "its billable was attributed after it was voided",
    ),
    (
        "update entries set position = 0 where call_sid = 'CA1'",
        "positions start at 1",
    ),
    (
        "update entries set position = -7 where call_sid = 'CA1'",
        "positions start at 1",
    ),
    (
        "update log_heads set next_position = 3",
        "it is above the head, which is 2",
    ),
    (
        "update log_heads set next_position = 3",
        "the watermark of partition 0 for totals: it is",
    ),
    (
        "update watermarks set position = 1000",
        "the watermark of partition 0 for totals: it is 1000",
    ),
    (
        "update watermarks set position = -1",
        "the watermark of partition 0 for totals: it is -1",
    ),
    (
        "update watermarks set position = position - 1",
        "the total of the quarter of an hour",
    ),
    (
        "update entries set kind = 2 where call_sid = 'CA1'",
        "its billable was never recorded",
    ),
    (
        "update entries set session_id = ' ' where session_id = 'S2'",
        "sessionId, or both accountId and customerId, is required",
    ),
    (
        "update entries set account_id = ' ' where kind = 1 and idempotency_key = 'k-1'",
        "one of its fields is blank",
    ),
    (
        "update entries set session_id = 'a\tb' where session_id = 'S2'",
        "must not contain the character U+0009",
    ),
    (
        "update entries set occurred_at = 5 where call_sid = 'CA1'",
        "occurredAt must be from 1980",
    ),
    (
        "update entries set occurred_at = recorded_at + 90000000000 where call_sid = 'CA1'",
        "24 hours ahead",
    ),
    (
        "update entries set recorded_at = -5 where call_sid = 'CA1'",
        "its recorded_at is before 1970",
    ),
    (
        "update entries set recorded_at = 9000000000000000000 where call_sid = 'CA1'",
        "its recorded_at is invalid",
    ),
    (
        "update entries set reason = 'because' where call_sid = 'CA1'",
        "it has a reason but voids nothing",
    ),
    (
        "update entries set reason = ' ' where kind = 3",
        "its reason is invalid",
    ),
    (
        "update entries set client = 'no name!' where call_sid = 'CA1'",
        "its client is invalid",
    ),
    (
        "update entries set idempotency_key = 'a b' where kind = 1 and idempotency_key = 'k-1'",
        "its idempotency_key is invalid",
    ),
    (
        "update entries set key_index = -1 where kind = 1 and idempotency_key = 'k-1'",
        "its key_index is invalid",
    ),
    (
        "update entries set key_index = 10000 where idempotency_key = 'k-1'",
        "its key_index is too large for a batch",
    ),
    (
        "update entries set billed_account_id = 'z' where call_sid = 'CA1'",
        "it does not bill the account and customer that its report names",
    ),
    (
        "update entries set billed_account_id = null, billed_customer_id = null where call_sid = 'CA1'",
        "it does not bill the account and customer that its report names",
    ),
    (
        "update entries set billed_account_id = '' where kind = 2",
        "its billed accountId is invalid",
    ),
    (
        "update entries set billed_customer_id = 'z' where kind = 2",
        "its account and customer differ from those of its session",
    ),
    (
        "update entries set billed_account_id = null, billed_customer_id = null where kind = 2",
        "it attributes its billable to no account and customer",
    ),
    (
        "update entries set billed_customer_id = 'z' where call_sid = 'CA-late'",
        "it bills an account and customer that neither its report nor its session has",
    ),
    (
        "update entries set billed_account_id = 'a', billed_customer_id = 'c' where call_sid = 'CA-open'",
        "it bills an account and customer that neither its report nor its session has",
    ),
    (
        "update entries set billed_account_id = 'a', billed_customer_id = 'c' where kind = 1 and call_sid = 'CA-both'",
        "its billable was already billed to an account and customer",
    ),
    (
        "update entries set billed_customer_id = 'z' where kind = 3 and call_sid = 'CA2'",
        "its account and customer differ from those that were billed",
    ),
    (
        "update entries set billed_customer_id = 'z' where kind = 3 and call_sid = 'CA-both'",
        "its account and customer differ from those that were billed",
    ),
    (
        "delete from entries where kind = 2 and idempotency_key = 'k-1'",
        "its session's attribution is complete, but its billable was not attributed",
    ),
    (
        "delete from session_pairs",
        "the attribution of the session \"S1\": partition 0 has no copy of it",
    ),
    (
        "update session_pairs set customer_id = 'z'",
        "partition 0 has a copy of it, but the attribution is to another account or customer",
    ),
    (
        "delete from sessions",
        "partition 0 has a copy of it, but the attribution is missing",
    ),
    (
        "delete from sessions",
        "its account and customer differ from those of its session",
    ),
    (
        "update sessions set customer_id = 'z'",
        "its account and customer differ from those of its session",
    ),
    (
        "update sessions set client = 'no name!'",
        "the attribution of the session \"S1\": its client is invalid",
    ),
    (
        "update sessions set account_id = ' '",
        "its values are invalid",
    ),
    (
        "update buckets set billable_count = billable_count + 1 where level = 1",
        "the total of the quarter of an hour from 2026-03-01T09:00:00.000000Z, partition 0, account \"acc\", customer \"cus\": it has 2 billable and 1 voided but should have 1 and 1",
    ),
    (
        "update buckets set voided_count = 0 where level = 2",
        "the total of the day from 2026-03-01T00:00:00.000000Z, partition 0, account \"acc\", customer \"cus\"",
    ),
    (
        "update buckets set voided_count = 0 where level = 3",
        "the total of the month from 2026-03-01T00:00:00.000000Z",
    ),
    (
        "delete from buckets where level = 1",
        "the total of the quarter of an hour",
    ),
    (
        "delete from buckets where level = 2",
        "the total of the day",
    ),
    (
        "delete from buckets where level = 3",
        "the total of the month",
    ),
    (
        "insert into buckets values (0, 1, 'x', 'y', 900000000, 1, 0)",
        "account \"x\", customer \"y\": it has 1 billable and 0 voided but should have 0 and 0",
    ),
    (
        "insert into buckets values (0, 3, 'x', 'y', 1, 1, 0)",
        "the total of the month from 1970-01-01T00:00:00.000001Z",
    ),
    (
        "insert into buckets values (7, 2, 'x', 'y', 9000000000000000000, 1, 0)",
        "the total of the day from 9000000000000000000, partition 7",
    ),
    (
        "update watermarks set accounts_position = 1000",
        "the watermark of partition 0 for accounts: it is 1000",
    ),
    (
        "update account_buckets set billable_count = billable_count + 1",
        "the table account_buckets, partition 0, account \"acc\", from 2026-03-01T09:00:00.000000Z: it has 3 billable",
    ),
    (
        "update account_buckets set last_position = last_position + 1",
        "the table account_buckets, partition 0, account \"acc\"",
    ),
    (
        "insert into account_buckets values (900000000, 1, 1, 0, 0, 'x')",
        "account \"x\", from 1970-01-01T00:15:00.000000Z: it has 1 billable and 0 voided but should have 0",
    ),
    (
        "update account_totals set voided_count = 0",
        "the table account_totals, partition 0, account \"acc\"",
    ),
    (
        "update account_totals set first_at = 0",
        "the table account_totals, partition 0, account \"acc\"",
    ),
    (
        "delete from undecided where session_id = 'S2'",
        "the table undecided, partition 0, account \"\", session \"S2\": it has 0 unattributed but should have 1 unattributed",
    ),
    (
        "insert into undecided values (0, 'S9', 'x', 1, 0)",
        "account \"x\", session \"S9\"",
    ),
];

on_both_databases!(every_kind_of_damage_is_found, async |database: Database| {
    seed(&database).await;
    let (code, output, errors) = verify(&database);
    assert_eq!((code, &*errors), (0, ""), "{output}");
    let lines: Vec<_> = output.lines().collect();
    assert_eq!(
        lines[0],
        "1 billable(s) without identity: their random ids cannot be checked"
    );
    assert!(
        lines[1].starts_with("verified 12 entries, 8 billables, 1 partition(s) in "),
        "{output}"
    );
    assert!(lines[1].ends_with(" s: 0 finding(s)"), "{output}");
    let uuid = if database.is_postgres() {
        "'00000000-0000-8000-8000-000000000001'"
    } else {
        "x'00000000000080008000000000000001'"
    };
    for (damage, finding) in DAMAGE_CASES {
        let damaged = database.copied().await;
        damaged.execute_owned(damage.replace("UUID", uuid)).await;
        let (code, output, errors) = verify(&damaged);
        assert!(output.contains(finding), "{damage}: {output}{errors}");
        assert_eq!(code, 1, "{damage}: {output}");
        let count = output.lines().filter(|line| line.contains(": ")).count() - 1;
        assert!(errors.ends_with(" finding(s)\n"), "{errors}");
        assert!(
            count > 0
                && output.ends_with(&format!(
                    " s: {}\n",
                    errors.trim().trim_start_matches("billables: ")
                )),
            "{output}{errors}"
        );
    }
});

on_both_databases!(
    imported_ids_are_not_reported_as_damage,
    async |database: Database| {
        let directory = tempfile::tempdir().unwrap();
        let rows: String = (0..150).map(|number| {
            let row = json!({
                "id": format!("00000000-0000-4000-8000-{number:012}"), "accountId": "a", "customerId": "c", "callSid": format!("CA{number}"),
                "state": "billable", "billedAccountId": "a", "billedCustomerId": "c", "occurredAt": "2026-03-01T09:00:00Z", "recordedAt": "2020-01-01T00:00:00Z",
            });
            format!("{row}\n")
        }).collect();
        let file = directory.path().join("rows.ndjson");
        std::fs::write(&file, rows).unwrap();
        database.migrate();
        let import = |client: &str| {
            run(&mut command(
                &database,
                &["import", file.to_str().unwrap(), "--client", client],
            ))
        };
        assert_eq!(import("import").0, 0);
        let (code, output, _) = verify(&database);
        assert_eq!(code, 0, "{output}");
        assert!(output.starts_with("150 imported billable(s) with ids from another system, which cannot be checked\nverified 150 entries, 150 billables"), "{output}");
        // Only ids of a client that is named as an importer are accepted.
        database
            .execute("update entries set client = 'carrier'")
            .await;
        let (code, output, errors) = verify(&database);
        assert_eq!(
            (code, &*errors),
            (1, "billables: 300 finding(s)\n"),
            "{output}"
        );
        assert_eq!(output.lines().count(), 102);
        assert!(
            output.contains("\nand 200 more\nverified 150 entries"),
            "{output}"
        );
        let (code, output, _) = run(&mut command(
            &database,
            &["verify", "--imported", "carrier"],
        ));
        assert_eq!(code, 0, "{output}");
        assert_eq!(
            run(&mut command(
                &database,
                &["verify", "--imported", "no name!"]
            ))
            .0,
            2
        );
    }
);

on_both_databases!(
    concurrent_writes_are_not_reported_as_damage,
    async |database: Database| {
        let server = Server::start(&database).await;
        let mut work = JoinSet::new();
        for worker in 0..3 {
            let client = server.client();
            work.spawn(async move {
                for turn in 0..20 {
                    let session = format!("S{worker}-{}", turn / 5);
                    let mut ids = Vec::new();
                    for call in 0..4 {
                        let open = json!({"sessionId": session, "callSid": format!("CA{worker}-{turn}-{call}")});
                        ids.push(report(&client, open).await);
                    }
                    match turn % 5 {
                        1 => decide(&client, &session, "acc", "cus").await,
                        2 | 3 => void(&client, &ids[0]).await,
                        _ => {}
                    }
                }
            });
        }
        while !work.is_empty() {
            let (code, output, errors) = verify(&database);
            assert_eq!(code, 0, "{output}{errors}");
            while let Some(done) = work.try_join_next() {
                done.unwrap();
            }
        }
        assert_eq!(verify(&database).0, 0);
    }
);

on_both_databases!(
    an_unfinished_attribution_is_not_reported_as_damage,
    async |database: Database| {
        seed(&database).await;
        database
            .execute("update sessions set is_complete = false")
            .await;
        database
            .execute("delete from entries where kind = 2 and idempotency_key = 'k-1'")
            .await;
        assert_eq!(run(&mut command(&database, &["rebuild-totals"])).0, 0);
        let (code, output, errors) = verify(&database);
        assert_eq!(code, 0, "{output}{errors}");
        assert!(
            output.contains("1 attribution(s) of sessions are not completed yet"),
            "{output}"
        );
    }
);

/// Damages a copy of the log in each way, and checks the finding.
async fn check_damage(database: &Database, cases: &[(&'static str, &str)]) {
    for (damage, finding) in cases {
        let damaged = database.copied().await;
        damaged.execute(damage).await;
        let (code, output, errors) = verify(&damaged);
        assert!(output.contains(finding), "{damage}: {output}{errors}");
        assert_eq!(code, 1, "{damage}");
    }
}

#[tokio::test]
async fn damage_that_only_sqlite_can_have_is_found() {
    let database = Database::sqlite();
    seed(&database).await;
    let cases = [
        (
            "update entries set billable_id = x'00' where call_sid = 'CA1'",
            "the entry at 0/1: it cannot be read",
        ),
        (
            "update entries set call_sid = cast(x'ff' as text) where call_sid = 'CA1'",
            "it cannot be read",
        ),
        (
            "pragma ignore_check_constraints = on; update entries set kind = 9 where call_sid = 'CA1'",
            "its kind is invalid",
        ),
        (
            "pragma ignore_check_constraints = on; update entries set kind = 9 where call_sid = 'CA1'",
            "the file: CHECK constraint failed in entries",
        ),
        (
            "pragma ignore_check_constraints = on; update entries set partition = 1 where call_sid = 'CA1'",
            "the file: CHECK constraint failed in entries",
        ),
    ];
    check_damage(&database, &cases).await;
}

#[tokio::test]
async fn damage_that_only_postgresql_can_have_is_found() {
    let database = Database::postgres().await;
    seed(&database).await;
    let cases = [
        (
            "update entries set partition = 1 where call_sid = 'CA1'",
            "the entry at 1/1: the log has no such partition",
        ),
        (
            "update entries set partition = -1 where call_sid = 'CA1'",
            "the entry at -1/1: the log has no such partition",
        ),
        (
            "update entries set position = 1 where kind = 1 and call_sid = 'CA2'",
            "another entry has the same position",
        ),
    ];
    check_damage(&database, &cases).await;
}

#[tokio::test]
async fn a_billable_in_the_wrong_partition_is_found() {
    let database = Database::postgres().await;
    assert_eq!(
        run(&mut command(&database, &["migrate", "--partitions", "3"])).0,
        0
    );
    seed(&database).await;
    let (code, output, errors) = verify(&database);
    assert_eq!(code, 0, "{output}{errors}");
    assert!(output.contains("8 billables, 3 partition(s)"), "{output}");
    let cases = [
        (
            "update log_heads set next_position = 100; update entries set partition = (partition + 1) % 3, position = 99 where call_sid = 'CA1'",
            "its billable belongs to partition ",
        ),
        (
            "delete from session_pairs where partition = 2",
            "partition 2 has no copy of it",
        ),
    ];
    check_damage(&database, &cases).await;
}

#[test]
fn a_missing_log_is_reported() {
    let (code, output, errors) = verify(&Database::sqlite());
    assert_eq!((code, &*output), (1, ""));
    assert!(errors.contains("has no log yet"), "{errors}");
}
