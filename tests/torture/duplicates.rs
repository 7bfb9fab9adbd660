//! Case 6: concurrent copies of a report, in every format, by every route and through several
//! processes; voids and attributions of sessions that race with reports.

use std::collections::{BTreeMap, HashMap, HashSet};

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::Torture;
use crate::check::{check, get, id, lines};
use crate::random::Random;
use crate::support::client::{Reply, send};
use crate::support::{Client, client, start};

const COPIES: usize = 50;

const AT: &str = "2026-03-05T10:00:00Z";

pub(crate) async fn run(torture: &Torture) {
    let rounds = torture.rounds(12, 200);
    for (name, database) in torture.both().await {
        let partitions = if database.is_postgres() { 4 } else { 1 };
        database.store_with(partitions).await.0.close().await;
        let servers = [start(&database), start(&database), start(&database)];
        let clients: Vec<_> = servers.iter().map(client).collect();
        let mut random = torture.random(name);
        let mut known = HashMap::new();
        let mut forms = BTreeMap::new();
        for round in 0..rounds {
            let id = copies(&clients, round, &mut random, &mut forms).await;
            known.insert(known.len(), id);
        }
        let mut voided = HashSet::new();
        for round in 0..rounds {
            let (ids, gone) = race(&clients, round, &mut random).await;
            for id in ids {
                known.insert(known.len(), id);
            }
            voided.extend(gone);
        }
        let export = get(&clients[0], "/billables?format=ndjson").await;
        for row in lines(&export) {
            let is_voided = voided.contains(&id(&row["id"]));
            let expected = if is_voided { "voided" } else { "billable" };
            assert_eq!(row["state"], expected, "{row}");
        }
        let found = check(&database, &clients[0], &known).await;
        torture.say(&format!(
            "{name}: {rounds} reports in {COPIES} copies at once through 3 processes, {} ways to send one, {rounds} sessions attributed and {} billables voided meanwhile, {found}",
            forms.len(),
            voided.len()
        ));
        found.hold();
    }
}

/// Sends copies of a report. Returns its id.
async fn copies(
    clients: &[Client],
    round: usize,
    random: &mut Random,
    forms: &mut BTreeMap<usize, ()>,
) -> Uuid {
    let call = format!("copy-{round}");
    let is_keyed = round % 3 == 2;
    let mut sent = JoinSet::new();
    for _ in 0..COPIES {
        // In a batch, the key is combined with an index, so a keyed copy is never in a batch.
        let form = random.below(if is_keyed { SINGLE } else { SINGLE + BATCHES });
        forms.insert(form, ());
        let mut request = copy(random.of(clients), form, &call);
        if is_keyed {
            request = request.header("Idempotency-Key", &call);
        }
        sent.spawn(async move { (form, send(request).await) });
    }
    let mut ids = HashSet::new();
    let mut stored = 0;
    for (form, reply) in sent.join_all().await {
        let (new, told) = told(form, &reply);
        stored += new;
        ids.extend(told);
    }
    assert_eq!(stored, 1, "one copy of {call} is new");
    assert_eq!(ids.len(), 1, "all copies of {call} have one id");
    ids.into_iter().next().unwrap()
}

/// The number of ways to send a report alone, and in a batch.
const SINGLE: usize = 12;
const BATCHES: usize = 2;

/// Returns the request for a copy in one of these ways.
fn copy(client: &Client, form: usize, call: &str) -> RequestBuilder {
    let json = json!({"accountId": "a0", "customerId": "c 1", "callSid": call, "occurredAt": AT});
    let xml = format!(
        "<NewBillable><AccountId>a0</AccountId><CallSid>{call}</CallSid><CustomerId>c 1</CustomerId><OccurredAt>{AT}</OccurredAt></NewBillable>"
    );
    let jsv = format!("{{accountId:a0,customerId:c 1,callSid:{call},occurredAt:{AT}}}");
    let csv = format!("AccountId,CustomerId,CallSid,OccurredAt\na0,c 1,{call},{AT}\n");
    let query = format!("accountId=a0&customerId=c+1&callSid={call}&occurredAt={AT}");
    let post = |path: &str, format: &str, body: String| {
        client.post(path).header("Content-Type", format).body(body)
    };
    match form {
        0 => post("/billables", "application/json", json.to_string()),
        1 => post("/billables", "application/xml", xml).header("Accept", "application/json"),
        2 => post("/billables", "application/jsv", jsv).header("Accept", "application/json"),
        3 => post("/billables", "text/csv", csv).header("Accept", "application/json"),
        4 => post("/billables", "application/x-www-form-urlencoded", query),
        5 => client.post(&format!("/billables?{query}")),
        6 => post("/api/NewBillable", "application/json", json.to_string()),
        7 => post("/xml/reply/NewBillable", "application/xml", xml),
        8 => post("/jsv/oneway/NewBillable", "application/jsv", jsv),
        9 => post("/csv/reply/NewBillable", "text/csv", csv),
        10 => post(
            "/json/oneway/NewBillable",
            "application/json",
            json.to_string(),
        ),
        11 => post("/billables", "application/json", json.to_string())
            .header("Prefer", "return=minimal"),
        12 => post(
            "/billables",
            "application/json",
            json!([json, json]).to_string(),
        ),
        _ => post(
            "/billables",
            "application/x-ndjson",
            format!("{json}\n{json}\n"),
        )
        .header("Accept", "application/json"),
    }
}

/// Returns how many billables are new according to a reply, and the ids in it.
fn told(form: usize, reply: &Reply) -> (usize, Vec<Uuid>) {
    assert!(reply.status < 300, "{form}: {reply:?}");
    if form >= SINGLE {
        let items = reply.json();
        let items = items.as_array().unwrap();
        let new = items
            .iter()
            .filter(|item| item["replayed"] == false)
            .count();
        return (new, items.iter().map(|item| id(&item["id"])).collect());
    }
    let location = reply.header("location").unwrap();
    let id = location.rsplit('/').next().unwrap().parse().unwrap();
    let new = reply.header("idempotent-replayed").is_none();
    (usize::from(new), vec![id])
}

/// Sends reports of a session while the session is attributed and some of them are voided. Returns
/// all ids, and those that were voided.
async fn race(clients: &[Client], round: usize, random: &mut Random) -> (Vec<Uuid>, Vec<Uuid>) {
    let session = format!("race-{round}");
    let mut reports = JoinSet::new();
    let decided_after = random.below(30);
    for number in 0..30 {
        let (reporter, voider) = (random.of(clients).clone(), random.of(clients).clone());
        let is_voided = random.once_in(3);
        let body = json!({"sessionId": session, "callSid": format!("{session}-{number}"), "occurredAt": AT});
        if number == decided_after {
            for decider in clients {
                let (decider, session) = (decider.clone(), session.clone());
                reports.spawn(async move {
                    let pair = json!({"accountId": "decided", "customerId": "c"});
                    let put = decider.request(Method::PUT, &format!("/sessions/{session}"));
                    let reply = send(put.json(&pair)).await;
                    assert!(matches!(reply.status, 200 | 202), "{reply:?}");
                    None
                });
            }
        }
        reports.spawn(async move {
            let id = reporter.report(&body).await.id();
            if is_voided {
                let void = voider.post(&format!("/billables/{id}/void"));
                let reply = send(void.json(&json!({"reason": "a race"}))).await;
                assert_eq!(reply.status, 200, "{reply:?}");
            }
            Some((id, is_voided))
        });
    }
    let done: Vec<_> = reports.join_all().await.into_iter().flatten().collect();
    // After a 202, the server continues to attribute the session.
    let path = format!("/sessions/{session}");
    let complete =
        async { while get(&clients[0], &path).await.json()["isComplete"] != Value::Bool(true) {} };
    tokio::time::timeout(crate::TIMEOUT, complete)
        .await
        .expect("the session is attributed");
    let voided = done.iter().filter(|(_, is_voided)| *is_voided);
    let voided = voided.map(|(id, _)| *id).collect();
    (done.into_iter().map(|(id, _)| id).collect(), voided)
}
