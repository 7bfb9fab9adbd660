//! `billables copy` and `billables rebuild-totals`.

use reqwest::Method;
use serde_json::{Value, json};

use crate::import_export::{Files, call, import, output, report, seed};
use crate::support::client::send;
use crate::support::{Database, Server, on_both_databases};

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
    // Totals that were changed by hand are corrected.
    database
        .execute("update buckets set billable_count = billable_count + 1")
        .await;
    output(&database, &["rebuild-totals"]);
    assert_eq!(billing(&Server::start(&database).await).await, before);
});

/// Copies a log that a server has made, and continues with the copy.
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
    // The target has an empty log, because a server was started on it by mistake.
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
    // An interrupted copy is resumed.
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
    // Session decisions still apply, and stored reports are recognised.
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

    // The copy has new entries, so it is not overwritten.
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
        (code, errors.contains("has no log yet")),
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
        "new 0, already stored 50, other time 0, voided 0, left out 0, refused 0"
    );
    let (code, _, errors) = call(&from, &["copy", from.url(), Database::sqlite().url()]);
    assert_eq!(
        (code, errors.contains("SQLite has one partition")),
        (1, true),
        "{errors}"
    );
}
