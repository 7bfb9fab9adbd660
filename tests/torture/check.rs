//! Compares what was acknowledged with the tables, the export, the feed, the totals and the result
//! of `billables verify`.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;
use tokio::time::timeout;
use uuid::Uuid;

use crate::TIMEOUT;
use crate::support::client::Reply;
use crate::support::server::{command, run};
use crate::support::{Client, Database};

/// The result of a check.
#[derive(Debug)]
pub(crate) struct Found {
    acknowledged: usize,
    stored: usize,
    lost: usize,
    duplicates: usize,
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            acknowledged,
            stored,
            lost,
            duplicates,
        } = self;
        write!(
            f,
            "{acknowledged} acknowledged, {stored} stored, {lost} lost, {duplicates} duplicated"
        )
    }
}

impl Found {
    /// Asserts that exactly the acknowledged reports are stored, each once.
    pub(crate) fn hold(&self) {
        assert_eq!(
            (self.stored, self.lost, self.duplicates),
            (self.acknowledged, 0, 0)
        );
    }
}

/// The billable and voided counts by account, customer and day.
type Totals = BTreeMap<(String, String, String), (i64, i64)>;

/// Compares everything. There must be no writes meanwhile.
///
/// Print the result before calling [`hold`](Found::hold), which may panic.
pub(crate) async fn check(
    database: &Database,
    client: &Client,
    acknowledged: &HashMap<usize, Uuid>,
) -> Found {
    let expected: HashSet<Uuid> = acknowledged.values().copied().collect();
    assert_eq!(
        expected.len(),
        acknowledged.len(),
        "two reports have the same id"
    );
    let entries = database.ids().await;
    let distinct: HashSet<Uuid> = entries.iter().copied().collect();
    let recorded = database
        .count("select count(*) from entries where kind = 1")
        .await;
    let keys = "select count(*) from (select distinct billable_id, kind from entries) as keys";
    let keys = usize::try_from(database.count(keys).await).unwrap();
    let found = Found {
        acknowledged: acknowledged.len(),
        stored: usize::try_from(recorded).unwrap(),
        lost: expected.difference(&distinct).count(),
        duplicates: entries.len() - keys,
    };
    if found.lost + found.duplicates > 0 || found.stored != found.acknowledged {
        return found;
    }

    let export = get(client, "/billables?format=ndjson").await;
    let rows: Vec<Value> = lines(&export);
    let exported: HashSet<Uuid> = rows.iter().map(|row| id(&row["id"])).collect();
    assert_eq!(
        rows.len(),
        expected.len(),
        "the export has each billable once"
    );
    assert!(exported == expected, "the export has what is acknowledged");

    let feed = feed(client).await;
    let fed: HashSet<Uuid> = feed.iter().map(|entry| id(&entry["billableId"])).collect();
    assert_eq!(feed.len(), entries.len(), "the feed has each entry once");
    assert!(fed == expected, "the feed has what is acknowledged");

    // The totals are compared twice: while they come from buckets and the log's tail, and after all
    // entries are in buckets.
    let of_log = totals_of(&rows);
    assert_eq!(
        totals(client).await,
        of_log,
        "the totals equal those of the log"
    );
    let rolled = async {
        while database
            .count(
                "select count(*) from watermarks join log_heads using (partition)
                 where position < next_position - 1
                   and exists (select 1 from entries where entries.partition = watermarks.partition and entries.position > watermarks.position)",
            )
            .await
            > 0
        {
            tokio::task::yield_now().await;
        }
    };
    timeout(TIMEOUT, rolled)
        .await
        .expect("the roller rolls every entry in time");
    assert_eq!(totals(client).await, of_log, "the buckets equal the log");

    let (code, out, log) = tokio::task::block_in_place(|| run(&mut command(database, &["verify"])));
    assert_eq!(code, 0, "billables verify: {out}{log}");
    found
}

/// Reads a path, and retries as long as the reply is 503.
pub(crate) async fn get(client: &Client, path: &str) -> Reply {
    let answered = async {
        loop {
            let reply = client.get(path).await;
            if reply.status != 503 {
                return reply;
            }
        }
    };
    let reply = timeout(TIMEOUT, answered).await.expect("it is answered");
    assert_eq!(reply.status, 200, "{path}: {reply:?}");
    reply
}

/// Reads the whole feed. Checks that positions increase within each partition.
async fn feed(client: &Client) -> Vec<Value> {
    let mut entries = Vec::new();
    let mut last: HashMap<i64, i64> = HashMap::new();
    let mut path = "/log?limit=1000".to_owned();
    loop {
        let page = get(client, &path).await.json();
        let items = page["items"].as_array().unwrap().clone();
        if items.is_empty() {
            return entries;
        }
        for entry in &items {
            let [partition, position] =
                ["partition", "position"].map(|name| entry[name].as_i64().unwrap());
            let before = last.insert(partition, position);
            assert!(before < Some(position), "{before:?} before {position}");
        }
        entries.extend(items);
        path = format!(
            "/log?limit=1000&after={}",
            page["nextCursor"].as_str().unwrap()
        );
    }
}

/// Returns the totals according to exported rows.
fn totals_of(rows: &[Value]) -> (Totals, i64) {
    let mut totals = Totals::new();
    let mut unattributed = 0;
    for row in rows {
        let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        let state = text("state");
        if state == "unattributed" {
            unattributed += 1;
        }
        let account = text("billedAccountId");
        if account.is_empty() {
            continue;
        }
        let day = text("occurredAt")[..10].to_owned();
        let (billable, voided) = totals
            .entry((account, text("billedCustomerId"), day))
            .or_default();
        match &*state {
            "billable" => *billable += 1,
            "voided" => *voided += 1,
            other => panic!("a billable in state {other} is billed: {row}"),
        }
    }
    (totals, unattributed)
}

/// Returns the totals according to `GET /billing`.
async fn totals(client: &Client) -> (Totals, i64) {
    let mut totals = Totals::new();
    let mut unattributed = 0;
    for account in ["a0", "a1", "a2", "decided"] {
        let path = format!(
            "/billing?accountId={account}&startDate=2026-03-01&endDate=2026-03-31&groupBy=day"
        );
        let billing = get(client, &path).await.json();
        unattributed = billing["unattributedCount"].as_i64().unwrap();
        for row in billing["customers"].as_array().unwrap() {
            let text = |name: &str| row[name].as_str().unwrap().to_owned();
            let key = (account.to_owned(), text("customerId"), text("date"));
            let counts = ["billableCount", "voidedCount"].map(|name| row[name].as_i64().unwrap());
            let known = totals.insert(key, (counts[0], counts[1]));
            assert!(known.is_none(), "a row is returned twice: {row}");
        }
    }
    (totals, unattributed)
}

pub(crate) fn lines(reply: &Reply) -> Vec<Value> {
    reply
        .body
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

pub(crate) fn id(value: &Value) -> Uuid {
    value.as_str().unwrap().parse().unwrap()
}
