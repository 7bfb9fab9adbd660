//! The whole service against a small in-memory model.
//!
//! After random reports, voids and attributions, alone and many at once, in any order and across
//! restarts, the lists, the exports, the feed, the checks, the totals, the accounts and the undecided
//! sessions agree with the model, for tokens with and without an account limit. Earlier cuts agree
//! with the model of their time.

use std::collections::{BTreeMap, HashMap};

use billables::store::{LogInfo, Store};
use billables::token::Scope;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::client::send;
use crate::support::{Client, Database, Server};

const ACCOUNTS: [&str; 3] = ["acc-1", "acc-2", "=acc,3"];
const CUSTOMERS: [&str; 2] = ["cus-1", "'cus\"2"];
const SESSIONS: [&str; 3] = ["S1", "S2", "S3"];
const CALLS: [&str; 4] = ["CA1", "CA2", "CA3", "CA4"];
const ZONES: [&str; 5] = [
    "UTC",
    "Europe/Rome",
    "Asia/Kathmandu",
    "America/St_Johns",
    "Australia/Lord_Howe",
];
/// Times near a 23-hour day, near a 25-hour day, and at the end of a year.
const TIMES: [&str; 3] = [
    "2026-03-28T21:07:30Z",
    "2025-10-25T20:37:30Z",
    "2025-12-31T09:52:30Z",
];

#[derive(Clone, Debug)]
enum Step {
    /// Sends reports as a batch.
    Report(Vec<Report>),
    /// Sends a report with this idempotency key.
    Keyed(usize, Report),
    Void(prop::sample::Index, bool),
    Attribute(usize, usize, usize),
    /// Voids several billables in one request, one of them twice.
    VoidMany(Vec<prop::sample::Index>),
    /// Attributes several sessions in one request.
    AttributeMany(Vec<(usize, usize, usize)>),
    /// Starts another server, then kills the old one.
    Restart,
    /// Adds up to this many positions to the totals, without the server.
    Roll(i64),
    /// Clears the totals without the server, so that they are rebuilt.
    ClearTotals,
    /// Reads the first page of a list; the other pages, and everything at its cut, are read at the end
    /// of the run.
    BeginList,
}

#[derive(Clone, Debug)]
struct Report {
    account: Option<usize>,
    customer: Option<usize>,
    session: Option<usize>,
    call: Option<usize>,
    time: usize,
    quarters: i64,
}

impl Report {
    fn fields(&self) -> [Option<&'static str>; 4] {
        [
            self.account.map(|at| ACCOUNTS[at]),
            self.customer.map(|at| CUSTOMERS[at]),
            self.session.map(|at| SESSIONS[at]),
            self.call.map(|at| CALLS[at]),
        ]
    }

    fn occurred_at(&self) -> Timestamp {
        let start: Timestamp = TIMES[self.time].parse().unwrap();
        start + jiff::SignedDuration::from_mins(15 * self.quarters)
    }

    fn json(&self) -> Value {
        let [account, customer, session, call] = self.fields();
        json!({
            "accountId": account, "customerId": customer, "sessionId": session, "callSid": call,
            "occurredAt": self.occurred_at().to_string(),
        })
    }
}

fn reports() -> impl Strategy<Value = Report> {
    let at = |count: usize| prop::option::of(0..count);
    let fields = (at(3), at(2), at(3), at(4), 0..3_usize, 0..24_i64);
    let reports = fields.prop_map(|(account, customer, session, call, time, quarters)| {
        // Either a session, or both an account and a customer, is required.
        let has_pair = account.is_some() && customer.is_some();
        Report {
            account,
            customer,
            session: session.or((!has_pair).then_some(0)),
            call,
            time,
            quarters,
        }
    });
    reports.boxed()
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => prop::collection::vec(reports(), 1..6).prop_map(Step::Report),
        3 => (0..6_usize, reports()).prop_map(|(key, report)| Step::Keyed(key, report)),
        4 => (any::<prop::sample::Index>(), any::<bool>()).prop_map(|(at, has_reason)| Step::Void(at, has_reason)),
        3 => (0..3_usize, 0..3_usize, 0..2_usize).prop_map(|(session, account, customer)| Step::Attribute(session, account, customer)),
        1 => prop::collection::vec(any::<prop::sample::Index>(), 1..5).prop_map(Step::VoidMany),
        2 => prop::collection::vec((0..3_usize, 0..3_usize, 0..2_usize), 1..4).prop_map(Step::AttributeMany),
        1 => Just(Step::Restart),
        2 => (1..6_i64).prop_map(Step::Roll),
        1 => Just(Step::ClearTotals),
        2 => Just(Step::BeginList),
    ];
    prop::collection::vec(step, 4..16)
}

#[derive(Clone, Debug)]
struct ModelBillable {
    id: String,
    key: Option<usize>,
    fields: [Option<&'static str>; 4],
    occurred_at: Timestamp,
    recorded_at: String,
    pair: Option<(&'static str, &'static str)>,
    voided: Option<Option<String>>,
}

impl ModelBillable {
    fn state(&self) -> &'static str {
        match (&self.voided, self.pair) {
            (Some(_), _) => "voided",
            (None, Some(_)) => "billable",
            (None, None) => "unattributed",
        }
    }

    fn account(&self) -> Option<&'static str> {
        self.pair.map(|pair| pair.0).or(self.fields[0])
    }

    fn is_seen(&self, limited_to: Option<&[&str]>) -> bool {
        limited_to.is_none_or(|own| self.account().is_some_and(|account| own.contains(&account)))
    }

    /// Bills the session's pair, unless the report names another account or customer.
    fn attribute(&mut self, pair: (&'static str, &'static str)) {
        let [account, customer, ..] = self.fields;
        let accepts = account.is_none_or(|account| account == pair.0)
            && customer.is_none_or(|customer| customer == pair.1);
        if accepts && self.pair.is_none() && self.voided.is_none() {
            self.pair = Some(pair);
        }
    }

    /// Returns the billable as the API shows it, without `recordedAt`.
    fn shown(&self) -> Value {
        let [account, customer, session, call] = self.fields;
        let reason = self.voided.clone().flatten();
        let all = json!({
            "id": self.id, "accountId": account, "customerId": customer, "sessionId": session, "callSid": call,
            "state": self.state(),
            "billedAccountId": self.pair.map(|pair| pair.0), "billedCustomerId": self.pair.map(|pair| pair.1),
            "occurredAt": format!("{:.6}", self.occurred_at), "voidReason": reason,
        });
        let given = all.as_object().unwrap().clone().into_iter();
        Value::Object(given.filter(|(_, value)| !value.is_null()).collect())
    }
}

#[derive(Clone, Debug, Default)]
struct Model {
    known: Vec<ModelBillable>,
    sessions: HashMap<&'static str, (&'static str, &'static str)>,
}

impl Model {
    /// Returns what a report with this key repeats.
    fn existing(&self, report: &Report, key: Option<usize>) -> Option<&ModelBillable> {
        let fields = report.fields();
        self.known.iter().find(|known| match key {
            Some(_) => known.key == key,
            None => known.key.is_none() && fields[3].is_some() && known.fields == fields,
        })
    }

    fn report(&mut self, report: &Report, key: Option<usize>, answer: &Value) {
        let fields = report.fields();
        let id = answer["id"].as_str().unwrap();
        if let Some(existing) = self.existing(report, key) {
            assert_eq!(existing.id, id);
            return;
        }
        let mut new = ModelBillable {
            id: id.to_owned(),
            key,
            fields,
            occurred_at: report.occurred_at(),
            recorded_at: answer["recordedAt"].as_str().unwrap().to_owned(),
            pair: fields[0].zip(fields[1]),
            voided: None,
        };
        let decided = fields[2].and_then(|session| self.sessions.get(session));
        if let Some(pair) = decided {
            new.attribute(*pair);
        }
        self.known.push(new);
    }

    /// Returns the pair that a session is billed to after it was asked to be billed to `pair`.
    fn attribute(
        &mut self,
        session: &'static str,
        pair: (&'static str, &'static str),
    ) -> (&'static str, &'static str) {
        let decided = *self.sessions.entry(session).or_insert(pair);
        for known in &mut self.known {
            if known.fields[2] == Some(session) {
                known.attribute(decided);
            }
        }
        decided
    }

    /// Returns the billables that a list shows, newest first.
    fn list(&self, filter: impl Fn(&ModelBillable) -> bool) -> Vec<Value> {
        let mut found: Vec<_> = self.known.iter().filter(|known| filter(known)).collect();
        found.sort_by(|one, other| (other.occurred_at, &other.id).cmp(&(one.occurred_at, &one.id)));
        found.into_iter().map(ModelBillable::shown).collect()
    }
}

/// The service and two tokens: one without an account limit, one limited to two accounts.
struct Service {
    database: Database,
    server: Server,
    secrets: [String; 2],
}

const OWN: [&str; 2] = [ACCOUNTS[0], ACCOUNTS[2]];

impl Service {
    fn clients(&self) -> [(Client, Option<&'static [&'static str]>); 2] {
        let client = |at: usize| self.server.client_of(&self.secrets[at]);
        [(client(0), None), (client(1), Some(&OWN[..]))]
    }
}

fn without_recorded_at(mut row: Value) -> Value {
    assert!(row.as_object_mut().unwrap().remove("recordedAt").is_some());
    row
}

/// Reads all pages of a list of billables. Returns their rows. `first` is the rest of the first page's
/// query: its cut or its cursor, if it has one.
async fn pages(client: &Client, path: &str, first: &str) -> Vec<Value> {
    let rows = items(client, path, first).await.into_iter();
    rows.map(without_recorded_at).collect()
}

/// Reads the items of all pages of a list.
async fn items(client: &Client, path: &str, first: &str) -> Vec<Value> {
    let mut rows = Vec::new();
    let mut next = first.to_owned();
    loop {
        let page = client.get(&format!("{path}{next}")).await;
        assert_eq!(page.status, 200, "{page:?}");
        let page = page.json();
        rows.extend(page["items"].as_array().unwrap().iter().cloned());
        match page["nextCursor"].as_str() {
            Some(cursor) => next = format!("&cursor={cursor}"),
            None => return rows,
        }
    }
}

/// Whether a billable matches a parameter of a list.
type Condition = Box<dyn Fn(&ModelBillable) -> bool>;

/// Checks lists and exports, at a cut if `at` names one.
async fn check_lists(client: &Client, own: Option<&[&str]>, model: &Model, at: &str) {
    let seen = |known: &ModelBillable| known.is_seen(own);
    assert_eq!(
        pages(client, "/billables?limit=3", at).await,
        model.list(seen)
    );
    let export = client.get(&format!("/billables?format=ndjson{at}")).await;
    let rows: Vec<_> = export
        .body
        .lines()
        .map(|line| without_recorded_at(serde_json::from_str(line).unwrap()))
        .collect();
    assert_eq!(rows, model.list(seen));
    let csv = client.get(&format!("/billables.csv?{at}")).await;
    assert_eq!(csv.body.matches("\r\n").count(), rows.len() + 1);
    for state in ["billable", "unattributed", "voided"] {
        let path = format!("/billables?limit=2&state={state}");
        let expected = model.list(|known| seen(known) && known.state() == state);
        assert_eq!(pages(client, &path, at).await, expected, "{state}");
    }
    for (number, session) in SESSIONS.into_iter().enumerate() {
        let (account, customer) = (OWN[number % 2], CUSTOMERS[number % 2]);
        let conditions: [(String, Condition); 5] = [
            (
                format!("sessionId={session}"),
                Box::new(move |known| known.fields[2] == Some(session)),
            ),
            (
                format!("callSid={}", CALLS[number]),
                Box::new(move |known| known.fields[3] == Some(CALLS[number])),
            ),
            (
                format!("accountId={}", encoded(account)),
                Box::new(move |known| known.account() == Some(account)),
            ),
            (
                format!("customerId={}", encoded(customer)),
                Box::new(move |known| {
                    known.pair.map(|pair| pair.1).or(known.fields[1]) == Some(customer)
                }),
            ),
            (
                format!("from={}&to=2026-03-29T00:52:30Z", TIMES[2]),
                Box::new(move |known| {
                    let (from, to): (Timestamp, Timestamp) = (
                        TIMES[2].parse().unwrap(),
                        "2026-03-29T00:52:30Z".parse().unwrap(),
                    );
                    (from..to).contains(&known.occurred_at)
                }),
            ),
        ];
        for mask in 1..32_usize {
            // Each condition alone, and some combinations.
            if mask.count_ones() > 1 && mask % 3 != number {
                continue;
            }
            let chosen = || {
                conditions
                    .iter()
                    .enumerate()
                    .filter(|(index, _)| mask & (1 << index) != 0)
            };
            let query: Vec<_> = chosen().map(|(_, (query, _))| &**query).collect();
            let path = format!("/billables?limit=2&{}", query.join("&"));
            let expected =
                model.list(|known| seen(known) && chosen().all(|(_, (_, holds))| holds(known)));
            assert_eq!(pages(client, &path, at).await, expected, "{path}");
        }
    }
    if let Some(known) = model.known.get(model.known.len() / 2) {
        let time = &known.recorded_at;
        for session in SESSIONS {
            let path = format!("/billables?limit=2&sessionId={session}&recordedFrom={time}");
            let of_session =
                |known: &ModelBillable| seen(known) && known.fields[2] == Some(session);
            let expected = model.list(|known| of_session(known) && known.recorded_at >= *time);
            assert_eq!(pages(client, &path, at).await, expected, "{path}");
            let path = format!("/billables?limit=2&sessionId={session}&recordedTo={time}");
            let expected = model.list(|known| of_session(known) && known.recorded_at < *time);
            assert_eq!(pages(client, &path, at).await, expected, "{path}");
            if own.is_none() {
                for (name, is_reporter) in [("default", true), ("own", false)] {
                    let path = format!("/billables?limit=2&sessionId={session}&client={name}");
                    let expected = model.list(|known| of_session(known) && is_reporter);
                    assert_eq!(pages(client, &path, at).await, expected, "{path}");
                }
            }
        }
    }
}

async fn check_accounts(client: &Client, own: Option<&[&str]>, model: &Model, zone: &str) {
    let tz = TimeZone::get(zone).unwrap();
    let mut expected: BTreeMap<&str, (Timestamp, Timestamp, i64, i64)> = BTreeMap::new();
    for known in &model.known {
        let Some((account, _)) = known.pair else {
            continue;
        };
        if own.is_none_or(|own| own.contains(&account)) {
            let at = known.occurred_at;
            let row = expected.entry(account).or_insert((at, at, 0, 0));
            *row = (row.0.min(at), row.1.max(at), row.2, row.3);
            match known.voided {
                None => row.2 += 1,
                Some(_) => row.3 += 1,
            }
        }
    }
    let day = |at: Timestamp| at.to_zoned_datetime(tz.clone()).date().to_string();
    let expected: Vec<_> = expected
        .into_iter()
        .map(|(account, (first, last, billable, voided))| {
            json!({
                "accountId": account, "firstDay": day(first), "lastDay": day(last),
                "billableCount": billable, "voidedCount": voided,
            })
        })
        .collect();
    let path = format!("/accounts?limit=2&timeZone={zone}");
    assert_eq!(items(client, &path, "").await, expected);
}

async fn check_undecided(client: &Client, own: Option<&[&str]>, model: &Model) {
    let mut expected: BTreeMap<&str, (i64, Timestamp)> = BTreeMap::new();
    let mut first_of: BTreeMap<&str, Timestamp> = BTreeMap::new();
    for known in &model.known {
        let (Some(session), at) = (known.fields[2], known.occurred_at) else {
            continue;
        };
        let first = first_of.entry(session).or_insert(at);
        *first = at.min(*first);
        if known.state() == "unattributed" && known.is_seen(own) {
            let row = expected.entry(session).or_insert((0, at));
            *row = (row.0 + 1, row.1.min(at));
        }
    }
    let found = items(client, "/sessions?state=undecided&limit=2", "").await;
    let shown: Vec<_> = found
        .iter()
        .map(|row| {
            let session = row["sessionId"].as_str().unwrap();
            let first: Timestamp = row["first"].as_str().unwrap().parse().unwrap();
            // It may be that of a call that was voided or attributed since.
            assert!(first <= expected[session].1 && first >= first_of[session]);
            (
                session,
                row["count"].as_i64().unwrap(),
                row["reason"].as_str().unwrap(),
            )
        })
        .collect();
    let expected: Vec<_> = expected
        .into_iter()
        .map(|(session, (count, _))| {
            let decided = model.sessions.get(session);
            let is_told =
                decided.is_some_and(|(account, _)| own.is_none_or(|own| own.contains(account)));
            (
                session,
                count,
                if is_told {
                    "contradicted"
                } else {
                    "notDecided"
                },
            )
        })
        .collect();
    assert_eq!(shown, expected);
}

fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// Reads the feed from a cursor to its end. Returns the entries and the last cursor.
async fn feed(client: &Client, after: Option<String>) -> (Vec<Value>, String) {
    let mut entries = Vec::new();
    let mut after = after
        .map(|after| format!("&after={after}"))
        .unwrap_or_default();
    loop {
        let page = client.get(&format!("/log?limit=2{after}")).await.json();
        let items = page["items"].as_array().unwrap();
        let next = page["nextCursor"].as_str().unwrap().to_owned();
        if items.is_empty() {
            return (entries, next);
        }
        entries.extend(items.iter().cloned());
        after = format!("&after={next}");
    }
}

/// Folds the entries of a feed into billables, by id.
///
/// A limited token may miss the entry that records a billable, and see only a later one that
/// attributes it to an account of the token.
fn folded(entries: &[Value], is_limited: bool) -> BTreeMap<String, Value> {
    let mut billables: BTreeMap<String, Value> = BTreeMap::new();
    for entry in entries {
        let id = entry["billableId"].as_str().unwrap().to_owned();
        let mut entry = entry.as_object().unwrap().clone();
        assert_eq!(entry.contains_key("client"), !is_limited);
        let not_of_state = ["client", "idempotencyKey"];
        let of_entry = ["partition", "position", "recordedAt", "billableId"];
        for name in of_entry.into_iter().chain(not_of_state) {
            entry.remove(name);
        }
        let kind = entry.remove("kind").unwrap();
        let has_pair = entry.contains_key("billedAccountId");
        let state = match (kind.as_str().unwrap(), has_pair) {
            ("voided", _) => "voided",
            (_, true) => "billable",
            (_, false) => "unattributed",
        };
        if let Some(reason) = entry.remove("reason") {
            entry.insert("voidReason".to_owned(), reason);
        }
        entry.insert("id".to_owned(), json!(id));
        entry.insert("state".to_owned(), json!(state));
        let before = billables.insert(id, Value::Object(entry));
        let is_first = before.is_none();
        assert!(
            is_first == (kind == "recorded") || (is_limited && kind != "recorded"),
            "each billable is recorded once, before its other entries"
        );
    }
    billables
}

/// Checks totals, at a cut if `at` names one.
async fn check_totals(client: &Client, own: Option<&[&str]>, model: &Model, zone: &str, at: &str) {
    let tz = TimeZone::get(zone).unwrap();
    let range = "startDate=2025-10-25&endDate=2026-03-29";
    let date = |known: &ModelBillable| {
        known
            .occurred_at
            .to_zoned_datetime(tz.clone())
            .date()
            .to_string()
    };
    let in_range = |known: &&ModelBillable| ("2025-10-25".."2026-03-30").contains(&&*date(known));
    for account in ACCOUNTS {
        if own.is_some_and(|own| !own.contains(&account)) {
            let refused = client
                .get(&format!("/billing?{range}&accountId={}", encoded(account)))
                .await;
            assert_eq!((refused.status, &*refused.error_code()), (403, "Forbidden"));
            continue;
        }
        for by_day in [false, true] {
            let mut expected: BTreeMap<(String, &str), (i64, i64)> = BTreeMap::new();
            for known in model.known.iter().filter(in_range) {
                if let Some((_, customer)) = known.pair.filter(|pair| pair.0 == account) {
                    let day = if by_day { date(known) } else { String::new() };
                    let total = expected.entry((day, customer)).or_default();
                    match known.voided {
                        None => total.0 += 1,
                        Some(_) => total.1 += 1,
                    }
                }
            }
            let group = if by_day { "&groupBy=day" } else { "" };
            let path = format!(
                "/billing?{range}&accountId={}&timeZone={zone}{group}{at}",
                encoded(account)
            );
            let billing = client.get(&path).await.json();
            let rows = billing["customers"].as_array().unwrap().iter().map(|row| {
                let text = |name: &str| row[name].as_str().unwrap_or_default();
                let count = |name: &str| row[name].as_i64().unwrap();
                (
                    (text("date").to_owned(), text("customerId")),
                    (count("billableCount"), count("voidedCount")),
                )
            });
            assert_eq!(rows.collect::<BTreeMap<_, _>>(), expected, "{path}");
            let unattributed = model
                .known
                .iter()
                .filter(in_range)
                .filter(|known| known.state() == "unattributed")
                .count();
            let is_shown = own.is_none() && at.is_empty();
            let shown = is_shown.then(|| json!(unattributed));
            assert_eq!(billing.get("unattributedCount").cloned(), shown, "{path}");
        }
    }
}

async fn check_presence(client: &Client, own: Option<&[&str]>, model: &Model) {
    let ids: Vec<_> = model.known.iter().map(|known| known.id.clone()).collect();
    let body = json!({"callSids": CALLS, "ids": ids});
    let checked = send(client.post("/billables/check").json(&body))
        .await
        .json();
    let items = checked["items"].as_array().unwrap();
    let inputs = CALLS.iter().map(|call| (*call).to_owned()).chain(ids);
    for (input, item) in inputs.zip(items) {
        let is_meant =
            |known: &&ModelBillable| known.id == input || known.fields[3] == Some(&input);
        let found: Vec<_> = model
            .known
            .iter()
            .filter(is_meant)
            .filter(|known| known.is_seen(own))
            .collect();
        let state = match &*found {
            [] => "missing",
            some if some.iter().all(|known| known.voided.is_some()) => "voided",
            _ => "present",
        };
        let mut ids: Vec<_> = found.iter().map(|known| known.id.clone()).collect();
        ids.sort();
        assert_eq!(*item, json!({"input": input, "state": state, "ids": ids}));
    }
}

async fn run(database: Database, steps: Vec<Step>) {
    let server = Server::start(&database).await;
    let limited = crate::support::server::token(&database, "own", &Scope::ALL, Some(&OWN)).await;
    let secrets = [server.secret().to_owned(), limited];
    // A server rereads the tokens every two seconds; a restart reads them immediately.
    drop(server);
    let server = Server::start(&database).await;
    let mut service = Service {
        database,
        server,
        secrets,
    };
    let store = Store::open(service.database.url(), 2).await.unwrap();
    let (log, _) = store.log_find().await.unwrap().unwrap();
    let mut model = Model::default();
    let mut consumed: [(Vec<Value>, Option<String>); 2] = Default::default();
    let mut begun = Vec::new();
    for (number, step) in steps.into_iter().enumerate() {
        apply(&mut service, (&store, log), &mut model, &mut begun, step).await;
        for ((client, own), (entries, cursor)) in service.clients().into_iter().zip(&mut consumed) {
            let (news, next) = feed(&client, cursor.take()).await;
            entries.extend(news);
            *cursor = Some(next);
            let expected = model.list(|known| known.is_seen(own)).into_iter();
            let expected: BTreeMap<_, _> = expected
                .map(|row| (row["id"].as_str().unwrap().to_owned(), row))
                .collect();
            assert_eq!(folded(entries, own.is_some()), expected);
            let zone = ZONES[number % ZONES.len()];
            check_totals(&client, own, &model, zone, "").await;
            check_accounts(&client, own, &model, zone).await;
            check_undecided(&client, own, &model).await;
            check_presence(&client, own, &model).await;
            check_lists(&client, own, &model, "").await;
        }
    }
    for (number, Begun { page, model }) in begun.into_iter().enumerate() {
        for (client, own) in service.clients() {
            let at = format!("&asOf={}", page["asOf"].as_str().unwrap());
            check_lists(&client, own, &model, &at).await;
            check_totals(&client, own, &model, ZONES[number % ZONES.len()], &at).await;
        }
        // The other pages of a list show the state as of its first page.
        let [(client, _), _] = service.clients();
        if let Some(cursor) = page["nextCursor"].as_str() {
            let rest = pages(&client, "/billables?limit=2", &format!("&cursor={cursor}")).await;
            assert_eq!(rest, model.list(|_| true).split_off(2));
        }
    }
    store.close().await;
}

/// The first page of a list, and the model at its cut.
struct Begun {
    page: Value,
    model: Model,
}

async fn apply(
    service: &mut Service,
    (store, log): (&Store, LogInfo),
    model: &mut Model,
    begun: &mut Vec<Begun>,
    step: Step,
) {
    let [(client, _), _] = service.clients();
    match step {
        Step::Report(reports) => {
            let body: Vec<_> = reports.iter().map(Report::json).collect();
            let answer = send(client.post("/billables").json(&body)).await;
            assert!([200, 201].contains(&answer.status), "{answer:?}");
            for (report, shown) in reports.iter().zip(answer.json().as_array().unwrap()) {
                let is_known = model.existing(report, None).is_some();
                assert_eq!(shown["replayed"], json!(is_known), "{report:?}");
                model.report(report, None, shown);
                let known = model
                    .known
                    .iter()
                    .find(|known| shown["id"] == *known.id)
                    .unwrap();
                assert_eq!(shown["state"], known.state());
            }
        }
        Step::Keyed(key, report) => {
            let existing = model.existing(&report, Some(key));
            let expected = match existing {
                None => 201,
                Some(existing) if existing.fields == report.fields() => 200,
                Some(_) => 422,
            };
            let answer = client
                .report_keyed(&format!("key-{key}"), &report.json())
                .await;
            assert_eq!(answer.status, expected, "{answer:?}");
            if expected != 422 {
                model.report(&report, Some(key), &answer.json());
            }
        }
        Step::Void(at, has_reason) if !model.known.is_empty() => {
            let index = at.index(model.known.len());
            let known = &mut model.known[index];
            let reason = has_reason.then(|| format!("reason {}", known.id));
            let path = format!("/billables/{}/void", known.id);
            let answer = send(client.post(&path).json(&json!({"reason": reason}))).await;
            let is_replayed = answer.header("idempotent-replayed") == Some("true");
            assert_eq!((answer.status, is_replayed), (200, known.voided.is_some()));
            known.voided.get_or_insert(reason);
            assert_eq!(without_recorded_at(answer.json()), known.shown());
        }
        Step::Attribute(session, account, customer) => {
            let (session, pair) = (SESSIONS[session], (ACCOUNTS[account], CUSTOMERS[customer]));
            let body = json!({"accountId": pair.0, "customerId": pair.1});
            let path = format!("/sessions/{session}");
            let answer = send(client.request(Method::PUT, &path).json(&body)).await;
            let decided = model.attribute(session, pair);
            assert_eq!(answer.status, if decided == pair { 200 } else { 409 });
        }
        Step::VoidMany(at) if !model.known.is_empty() => void_many(&client, model, &at).await,
        Step::AttributeMany(wanted) => attribute_many(&client, model, wanted).await,
        Step::Restart => {
            let database = service.database.clone();
            let started = Server::start(&database).await;
            std::mem::replace(&mut service.server, started).kill();
        }
        Step::Roll(positions) => {
            for partition in 0..log.partitions {
                store.totals_roll(partition, positions).await.unwrap();
            }
        }
        Step::ClearTotals => {
            for partition in 0..log.partitions {
                store.totals_clear(partition).await.unwrap();
            }
        }
        Step::BeginList => {
            let page = client.get("/billables?limit=2").await.json();
            let model = model.clone();
            begun.push(Begun { page, model });
        }
        Step::Void(..) | Step::VoidMany(..) => {}
    }
}

/// Voids several billables in one request, the first of them twice.
async fn void_many(client: &Client, model: &mut Model, at: &[prop::sample::Index]) {
    let mut indexes: Vec<_> = at.iter().map(|at| at.index(model.known.len())).collect();
    indexes.push(indexes[0]);
    let mut expected = Vec::new();
    for index in &indexes {
        let known = &mut model.known[*index];
        let outcome = if known.voided.is_some() {
            "replayed"
        } else {
            "voided"
        };
        known.voided.get_or_insert(Some("many".to_owned()));
        expected.push(json!({"input": known.id, "outcome": outcome}));
    }
    let ids: Vec<_> = indexes
        .iter()
        .map(|index| &model.known[*index].id)
        .collect();
    let body = json!({"ids": ids, "reason": "many"});
    let answer = send(client.post("/billables/void").json(&body)).await;
    assert_eq!(answer.json()["items"], json!(expected));
}

/// Attributes several sessions in one request.
async fn attribute_many(client: &Client, model: &mut Model, wanted: Vec<(usize, usize, usize)>) {
    let mut body = Vec::new();
    let mut expected = Vec::new();
    for (session, account, customer) in wanted {
        let (session, pair) = (SESSIONS[session], (ACCOUNTS[account], CUSTOMERS[customer]));
        let is_new = !model.sessions.contains_key(session);
        let outcome = match (is_new, model.attribute(session, pair) == pair) {
            (true, _) => "decided",
            (false, true) => "same",
            (false, false) => "conflict",
        };
        body.push(json!({"sessionId": session, "accountId": pair.0, "customerId": pair.1}));
        expected.push(json!({"input": session, "outcome": outcome}));
    }
    let answer = send(client.request(Method::PUT, "/sessions").json(&body)).await;
    assert_eq!(answer.json()["items"], json!(expected), "{answer:?}");
}

/// Runs random steps on new databases, and shrinks a failing case.
fn check(cases: u32, database: impl AsyncFn() -> Database) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // PROPTEST_CASES sets the number of cases, as in proptest itself.
    let cases = std::env::var("PROPTEST_CASES").map_or(cases, |cases| cases.parse().unwrap());
    let config = Config {
        cases,
        max_shrink_iters: 20,
        failure_persistence: None,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(&steps(), |steps| {
        let checked = std::panic::AssertUnwindSafe(|| {
            runtime.block_on(async { run(database().await, steps).await });
        });
        std::panic::catch_unwind(checked).map_err(|_| TestCaseError::fail("see the panic"))
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

#[test]
fn all_reads_agree_with_the_model_on_sqlite() {
    check(6, async || Database::sqlite());
}

#[test]
fn all_reads_agree_with_the_model_on_postgres() {
    check(6, Database::postgres);
}

#[test]
fn all_reads_agree_with_the_model_on_four_partitions() {
    check(2, async || {
        let database = Database::postgres().await;
        database.store_with(4).await.0.close().await;
        database
    });
}
