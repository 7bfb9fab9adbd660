//! The OpenAPI 3.1 document: every route with its parameters, bodies, responses and errors.

mod paths;
mod responses;
mod schemas;

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use crate::contract::routes::Route;
use crate::contract::{Access, OPERATIONS, Operation, Section};

static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    let text = serde_json::to_string_pretty(&document()).expect("texts serialise");
    text + "\n"
});

/// The document as the service returns it and `billables openapi` prints it.
pub fn text() -> &'static str {
    &DOCUMENT
}

fn document() -> Value {
    let (mut paths, mut responses) = (Map::new(), responses::of_errors());
    for operation in OPERATIONS {
        for route in Route::all(operation) {
            let path = route.path.replace("[]", "%5B%5D");
            let item = paths.entry(path).or_insert_with(|| json!({}));
            let method = operation.method.as_str().to_ascii_lowercase();
            item[method] = described(operation, &route, &mut responses);
        }
    }
    let tags = Section::ALL.map(|section| json!({"name": section.title()}));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Billables",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": env!("CARGO_PKG_DESCRIPTION"),
            "description": INFO,
            "license": {"name": "MIT or Apache 2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "The server that returned this document"}],
        "tags": tags,
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "A token"},
                "basic": {"type": "http", "scheme": "basic", "description": "A token as the password, with any user name"},
            },
            "headers": schemas::common_headers(),
            "parameters": paths::common_parameters(),
            "responses": responses,
            "schemas": schemas::all(),
        },
    })
}

const INFO: &str = "Records billable telephony events. A 2xx response to a report means that the report \
is stored. A report with a callSid or an Idempotency-Key creates one billable, no matter how often it is \
sent. The response format is taken from the first of these that is present: the path suffix, the query \
parameter `format`, `Accept`, the request body. The default is JSON. On ServiceStack routes, only the \
query parameter `format` and then the route's own format count. Paths are case-insensitive, except for \
ids and suffixes. A method that a path does not support gets 405 with `Allow`. Every error has a \
`responseStatus`, except that malformed HTTP gets 400 or 431 without a body. HEAD is answered like GET, \
without the body.";

fn described(operation: &Operation, route: &Route, shared: &mut Map<String, Value>) -> Value {
    let mut described = json!({
        "operationId": format!("{}{}", operation.name, route.id),
        "tags": [operation.section.title()],
        "summary": operation.summary,
        "parameters": paths::parameters(operation, route),
        "responses": responses::all(operation, route, shared),
    });
    let mut notes: Vec<_> = operation
        .notes
        .iter()
        .map(|note| (*note).to_owned())
        .collect();
    described["security"] = match operation.access {
        Access::Open => json!([]),
        _ => json!([{"bearer": []}, {"basic": []}]),
    };
    if operation.access == Access::Any {
        notes.push("Requires a token, whatever its scopes.".to_owned());
    }
    if let Some(scope) = operation.access.scope() {
        let limit = match operation.access {
            Access::Unlimited(_) => " and access to all accounts",
            Access::Open | Access::Any | Access::Scope(_) => "",
        };
        notes.push(format!(
            "Requires a token with the scope {}{limit}.",
            scope.as_str()
        ));
    }
    notes.extend(route.note.map(|note| format!("{note}.")));
    if !notes.is_empty() {
        described["description"] = notes.join("\n\n").into();
    }
    if let Some(body) = paths::request_body(operation, route) {
        described["requestBody"] = body;
    }
    described
}
