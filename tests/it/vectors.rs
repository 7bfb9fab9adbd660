//! The HTTP exchanges that existing clients rely on: `tests/wire-vectors.jsonl`, one per line.
//!
//! `basis` says where a rule comes from: `servicestack` (ServiceStack does the same) or
//! `recommendation` (our own rule; `servicestack` then says what ServiceStack does instead).
//! Numbers in `why` refer to the notes that the vectors were written from, which are not in the
//! repository.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use billables::billable::{ClientName, Field, Identity, RawReport, RawValue, Report, Timestamp};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use crate::support::raw::Raw;
use crate::support::{Database, Server, on_both_databases};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "some members are only for readers")]
struct Vector {
    name: String,
    why: String,
    basis: String,
    servicestack: Option<String>,
    method: String,
    path: String,
    headers: BTreeMap<String, String>,
    body: Option<String>,
    body_base64: Option<String>,
    auth: Option<String>,
    expect: Expect,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
struct Expect {
    status: Option<u16>,
    status_any: Option<Vec<u16>>,
    media_type: Option<String>,
    media_type_any: Option<Vec<String>>,
    bound: Option<Value>,
    bound_batch: Option<Vec<Value>>,
    #[serde(rename = "errorCode")]
    error_code: Option<String>,
    #[serde(rename = "errorCode_not")]
    error_code_not: Option<String>,
    headers: Option<BTreeMap<String, String>>,
    headers_present: Option<Vec<String>>,
    headers_absent: Option<Vec<String>>,
    body_empty: Option<bool>,
    body_json: Option<Value>,
    body_json_equals_at: Option<BTreeMap<String, Value>>,
    body_contains: Option<Vec<String>>,
}

struct Reply {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Vector {
    /// Whether the exchange must leave the database unchanged.
    fn stores_nothing(&self) -> bool {
        let is_empty_batch = self.expect.bound_batch.as_ref().is_some_and(Vec::is_empty);
        self.expect.bound.is_none() && (is_empty_batch || self.expect.bound_batch.is_none())
    }

    async fn send(&self, server: &Server) -> Reply {
        let body = match (&self.body, &self.body_base64) {
            (Some(text), None) => text.clone().into_bytes(),
            (None, Some(bytes)) => STANDARD.decode(bytes).unwrap(),
            other => panic!("{}: one body, not {other:?}", self.name),
        };
        let mut head = format!(
            "{} {} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n",
            self.method, self.path
        );
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if self.auth.as_deref() != Some("none") {
            head.push_str(&format!("Authorization: Bearer {}\r\n", server.secret()));
        }
        let is_chunked = self.headers.contains_key("Transfer-Encoding");
        let body = if is_chunked {
            [
                format!("{:x}\r\n", body.len()).into_bytes(),
                body,
                b"\r\n0\r\n\r\n".to_vec(),
            ]
            .concat()
        } else {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
            body
        };
        let mut connection = Raw::connect(server.address()).await;
        connection
            .send([head.as_bytes(), b"\r\n", &body].concat())
            .await;
        Reply::parse(&connection.rest().await)
    }

    fn check(&self, reply: &Reply) {
        let Expect {
            status,
            status_any,
            media_type,
            media_type_any,
            bound: _,
            bound_batch: _,
            error_code,
            error_code_not,
            headers,
            headers_present,
            headers_absent,
            body_empty,
            body_json,
            body_json_equals_at,
            body_contains,
        } = &self.expect;
        let context = format!(
            "{}: {} {:?} {}",
            self.name, reply.status, reply.headers, reply.body
        );
        let allowed = status_any
            .clone()
            .or(status.map(|status| vec![status]))
            .expect("a status is expected");
        assert!(allowed.contains(&reply.status), "{context}");
        let types = media_type_any
            .clone()
            .or(media_type.clone().map(|media_type| vec![media_type]));
        if let Some(types) = types {
            let essence = reply.headers["content-type"]
                .split(';')
                .next()
                .unwrap()
                .to_owned();
            assert!(types.contains(&essence), "{context}");
        }
        if let Some(code) = error_code {
            assert!(reply.body.contains(code.as_str()), "{context}");
        }
        if let Some(code) = error_code_not {
            assert!(!reply.body.contains(code.as_str()), "{context}");
        }
        if reply.status >= 400 {
            assert!(
                reply.body.to_ascii_lowercase().contains("responsestatus"),
                "{context}"
            );
        }
        for (name, value) in headers.iter().flatten() {
            assert_eq!(
                reply.headers.get(&name.to_ascii_lowercase()),
                Some(value),
                "{context}"
            );
        }
        for name in headers_present.iter().flatten() {
            assert!(
                reply.headers.contains_key(&name.to_ascii_lowercase()),
                "{context}"
            );
        }
        for name in headers_absent.iter().flatten() {
            assert!(
                !reply.headers.contains_key(&name.to_ascii_lowercase()),
                "{context}"
            );
        }
        if *body_empty == Some(true) {
            assert!(reply.body.is_empty(), "{context}");
        }
        if let Some(expected) = body_json {
            assert_eq!(
                serde_json::from_str::<Value>(&reply.body).unwrap(),
                *expected,
                "{context}"
            );
        }
        for (path, expected) in body_json_equals_at.iter().flatten() {
            let body: Value = serde_json::from_str(&reply.body).unwrap();
            let pointer = format!("/{}", path.replace('.', "/"));
            assert_eq!(body.pointer(&pointer), Some(expected), "{context}");
        }
        for text in body_contains.iter().flatten() {
            assert!(reply.body.contains(text.as_str()), "{context}");
        }
    }

    /// Checks that the billables stored by the exchange have the expected fields.
    async fn check_bound(&self, server: &Server, database: &Database, reply: &Reply) {
        if let Some(bound) = &self.expect.bound {
            let shown = server.client().get(&reply.headers["location"]).await.json();
            let Value::Object(bound) = bound else {
                panic!("{}: {bound}", self.name)
            };
            for (field, value) in bound {
                assert_eq!(
                    shown.get(field).unwrap_or(&Value::Null),
                    value,
                    "{}",
                    self.name
                );
            }
        }
        let stored = database.ids().await;
        for bound in self.expect.bound_batch.iter().flatten() {
            assert!(
                stored.contains(&id(bound)),
                "{}: {bound} is not stored",
                self.name
            );
        }
    }
}

impl Reply {
    fn parse(text: &str) -> Self {
        let (head, body) = text
            .split_once("\r\n\r\n")
            .unwrap_or_else(|| panic!("no reply: {text}"));
        let mut lines = head.lines();
        let status = lines
            .next()
            .unwrap()
            .split(' ')
            .nth(1)
            .unwrap()
            .parse()
            .unwrap();
        let headers = lines.map(|line| line.split_once(": ").unwrap());
        Self {
            status,
            headers: headers
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect(),
            body: body.to_owned(),
        }
    }
}

/// Returns the id of a call with the given fields.
fn id(bound: &Value) -> Uuid {
    let mut raw = RawReport::default();
    for field in Field::ALL {
        let value = bound.get(field.camel()).and_then(Value::as_str);
        raw.set(field, value.map(|text| RawValue::Text(text.to_owned())));
    }
    let reported = Report::parse(raw, Timestamp::now()).unwrap().reported;
    let client = ClientName::parse("default").unwrap();
    Identity::of(None, None, &reported).id(&client, &reported, || panic!("a call is expected"))
}

on_both_databases!(every_vector_holds, async |database: Database| {
    let text = include_str!("../wire-vectors.jsonl");
    let vectors: Vec<Vector> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let (refused, accepted): (Vec<_>, Vec<_>) =
        vectors.iter().partition(|vector| vector.stores_nothing());
    assert_eq!((refused.len(), accepted.len()), (40, 30));
    let server = Server::start(&database).await;
    for vector in refused {
        vector.check(&vector.send(&server).await);
        assert!(
            database.ids().await.is_empty(),
            "{} stored something",
            vector.name
        );
    }
    for vector in accepted {
        let reply = vector.send(&server).await;
        vector.check(&reply);
        vector.check_bound(&server, &database, &reply).await;
    }
});
