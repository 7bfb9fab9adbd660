//! The OpenAPI document: the command and the server give the same one, and it matches a snapshot.

use std::collections::BTreeSet;

use billables::contract::{OPERATIONS, errors};
use billables::docs::openapi;
use serde_json::Value;

use crate::support::server::{command, run};
use crate::support::{Database, Server, description};

const SNAPSHOT: &str = "tests/openapi.json";

/// After an intended change: `cargo run -- openapi > tests/openapi.json`.
#[test]
fn the_openapi_document_matches_the_snapshot() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(SNAPSHOT);
    let snapshot = std::fs::read_to_string(path).unwrap();
    let first = snapshot
        .lines()
        .zip(openapi::text().lines())
        .find(|(was, is)| was != is);
    assert!(
        first.is_none() && snapshot.len() == openapi::text().len(),
        "{SNAPSHOT} differs, first in {first:?}; if this is intended: cargo run -- openapi > {SNAPSHOT}"
    );
}

#[tokio::test]
async fn the_openapi_command_prints_the_served_document() {
    let database = Database::sqlite();
    let (code, printed, errors) = run(&mut command(&database, &["openapi"]));
    assert_eq!((code, &*errors), (0, ""));
    let server = Server::start(&database).await;
    let served = server.client_of("").get("/openapi.json").await;
    assert_eq!(
        (served.status, served.header("content-type")),
        (200, Some("application/json; charset=utf-8"))
    );
    assert!(served.body == printed);
}

#[test]
fn the_document_has_every_operation_and_every_error_code() {
    let document = &*description::DOCUMENT;
    let mut codes = BTreeSet::new();
    for response in document["components"]["responses"]
        .as_object()
        .unwrap()
        .values()
    {
        let examples = response["content"]["application/json"]["examples"].as_object();
        codes.extend(examples.into_iter().flatten().map(|(code, _)| code.clone()));
    }
    let known: BTreeSet<_> = errors::ALL
        .iter()
        .filter(|error| error.status != 405)
        .map(|error| error.code.to_owned())
        .collect();
    assert_eq!(codes, known);
    let mut ids = BTreeSet::new();
    for item in document["paths"].as_object().unwrap().values() {
        for operation in item.as_object().unwrap().values() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id), "the operationId {id} is used twice");
            let parameters = operation["parameters"].as_array().unwrap();
            assert!(
                parameters
                    .contains(&serde_json::json!({"$ref": "#/components/parameters/X-Request-Id"}))
            );
        }
    }
    for operation in OPERATIONS {
        assert!(ids.contains(operation.name), "{}", operation.name);
        for member in operation.members {
            let described = serde_json::to_string(&document["paths"][operation.path]).unwrap()
                + &serde_json::to_string(&document["components"]["schemas"][operation.name])
                    .unwrap();
            assert!(
                described.contains(&format!("\"{}\"", member.name)),
                "{} of {}",
                member.name,
                operation.name
            );
        }
    }
    assert!(document["paths"]["/livez"]["get"]["security"] == Value::Array(vec![]));
}
