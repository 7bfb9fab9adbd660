//! The responses of an operation's routes.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::super::samples;
use super::schemas::{self, error_examples, reference, schema};
use crate::contract::errors::{self, Error};
use crate::contract::routes::{Route, RouteKind};
use crate::contract::types::{Member, MemberKind, Type};
use crate::contract::{Answer, Body, Operation, RequestBody, objects};
use crate::formats::Format;
use crate::formats::record::write_nulls;

/// The responses of a route by status. Successes are stored in `shared` under the operation's name,
/// because its routes share them; errors are those of [`of_errors`].
pub(super) fn all(operation: &Operation, route: &Route, shared: &mut Map<String, Value>) -> Value {
    let mut responses = json!({});
    for answer in operation.answers {
        let status = answer.status;
        // Only the reporting operation responds differently on ServiceStack routes.
        let kind = match (operation.body, route.kind) {
            (RequestBody::Reports, RouteKind::ByName) => "_by_name",
            (RequestBody::Reports, RouteKind::Batch) => "s_by_name",
            _ => "",
        };
        let name = format!("{}{kind}_{status}", operation.name);
        responses[status.to_string()] = json!({"$ref": format!("#/components/responses/{name}")});
        shared.entry(name).or_insert_with(|| {
            json!({
                "description": when(answer, route.kind),
                "headers": described_headers(answer.headers.iter().copied(), &[]),
                "content": content(operation, answer, route.kind),
            })
        });
    }
    let mut by_status: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    // An unknown format or action in the path gets 404.
    let of_path = route
        .formats
        .map(|_| errors::NOT_FOUND)
        .filter(|error| !operation.errors().any(|known| known == *error));
    for error in operation.errors().chain(of_path) {
        by_status.entry(error.status).or_default().push(error.code);
    }
    for (status, codes) in by_status {
        responses[status.to_string()] = json!({
            "$ref": format!("#/components/responses/{status}"),
            "description": codes.join(", "),
        });
    }
    responses
}

/// The shared error responses, one for each status. Each operation's description of a status names
/// the codes that the operation returns.
pub(super) fn of_errors() -> Map<String, Value> {
    let mut by_status: BTreeMap<u16, Vec<Error>> = BTreeMap::new();
    // Status 405 is left out, because OpenAPI lists responses by operation and an unsupported
    // method is not an operation.
    let described = errors::ALL
        .iter()
        .filter(|error| **error != errors::METHOD_NOT_ALLOWED);
    for error in described {
        by_status.entry(error.status).or_default().push(*error);
    }
    let responses = by_status.into_iter().map(|(status, errors)| {
        let further: &[&str] = match status {
            415 => &["Accept-Encoding"],
            401 => &["WWW-Authenticate"],
            429 | 503 => &["Retry-After"],
            _ => &[],
        };
        let said: Vec<_> = errors
            .iter()
            .map(|error| format!("{}: {}", error.code, error.means))
            .collect();
        let description = said.join("\n\n") + OF_SOME;
        let response = json!({
            "description": description,
            "headers": described_headers(optional_error_headers(), further),
            "content": error_content(&errors),
        });
        (status.to_string(), response)
    });
    responses.collect()
}

/// Notes on codes and headers that only some operations return, although they share the response.
const OF_SOME: &str = "\n\nAn operation returns only the codes that its own description names. \
Only NewBillable returns Billable-Identity and X-AutoBatch-Completed. ServiceStack routes return no \
problem details and no pages; other routes return an HTML page, with the headers of pages, to the GET of \
a browser, which accepts text/html.";

/// Headers of NewBillable's success responses that its error responses may also have.
const OF_REPORTS: [&str; 2] = ["Billable-Identity", "X-AutoBatch-Completed"];

/// Returns the optional headers of error responses: NewBillable's if the report could be parsed,
/// and the page headers if the error is a page.
fn optional_error_headers() -> impl Iterator<Item = Member> {
    let headers = |name| {
        let operation = Operation::find(name).expect("an operation");
        operation.answers[0].headers.iter()
    };
    let of_reports = headers("NewBillable").filter(|header| OF_REPORTS.contains(&header.name));
    let of_pages = headers("GetMetadata");
    of_reports.chain(of_pages).map(|header| Member {
        is_required: false,
        ..*header
    })
}

/// Describes when a success is returned. On ServiceStack routes, NewBillable returns billables only
/// with `Prefer: return=representation`.
fn when(answer: &Answer, kind: RouteKind) -> &'static str {
    match (answer.body, kind, answer.status) {
        (Body::OneOrSeveral(_), RouteKind::Batch, 200) => {
            "All reports are stored. With Prefer: return=representation the response lists the billables"
        }
        (Body::OneOrSeveral(_), RouteKind::ByName | RouteKind::Batch, 201) => {
            "The report, or at least one report of the batch, is new and stored. The request has Prefer: return=representation"
        }
        (Body::OneOrSeveral(_), RouteKind::ByName, _) => {
            "An earlier request stored the report. This request has Prefer: return=representation"
        }
        (Body::Nothing, RouteKind::ByName, _) => "Stored",
        _ => answer.when,
    }
}

fn content(operation: &Operation, answer: &Answer, kind: RouteKind) -> Value {
    let several = |of: &Type| json!({"type": "array", "items": reference(of.name)});
    let (schema, nulls) = match (answer.body, kind) {
        (Body::Nothing, _) => return json!({}),
        (Body::Document(media_types), _) => return documents(media_types),
        (Body::One(of), _) | (Body::OneOrSeveral(of), RouteKind::ByName) => {
            (reference(of.name), false)
        }
        (Body::OneOrSeveral(of), RouteKind::Resource) => {
            // In the place of an event that is not stored is why.
            let items =
                json!({"anyOf": [reference(of.name), reference(objects::IGNORED_EVENT.name)]});
            let several = json!({"type": "array", "items": items});
            (json!({"oneOf": [reference(of.name), several]}), false)
        }
        (Body::OneOrSeveral(of), RouteKind::Batch) if answer.status == 200 => {
            let nulls = json!({"type": "array", "items": {"type": "null"}});
            (json!({"anyOf": [nulls, several(of)]}), true)
        }
        (Body::OneOrSeveral(of), RouteKind::Batch) => (several(of), false),
    };
    let example = |format| match (kind, nulls) {
        (_, true) => Some(write_nulls(1, format)),
        (RouteKind::Batch, false) => None,
        _ => samples::answer(operation, answer, format),
    };
    in_formats(&schema, example)
}

/// A body in every format, with examples.
fn in_formats(schema: &Value, example: impl Fn(Format) -> Option<String>) -> Value {
    let mut content = json!({"application/json": {"schema": schema}});
    if let Some(example) = example(Format::Json) {
        content["application/json"]["example"] = schemas::parsed(&example);
    }
    for format in schemas::FORMATS_WITHOUT_SCHEMA {
        content[format.content_type()] = schemas::text(example(format));
    }
    content
}

fn documents(media_types: &[&str]) -> Value {
    let described = media_types.iter().map(|media_type| {
        let essence = media_type.split(';').next().unwrap_or_default();
        let kind = match essence {
            "application/json" => "object",
            _ => "string",
        };
        (essence.to_owned(), json!({"schema": {"type": kind}}))
    });
    Value::Object(described.collect())
}

fn error_content(errors: &[Error]) -> Value {
    let codes: Vec<_> = errors.iter().map(|error| error.code).collect();
    let coded =
        json!({"properties": {"responseStatus": {"properties": {"errorCode": {"enum": codes}}}}});
    let mut content = json!({
        "application/json": {
            "schema": {"allOf": [reference("ErrorResponse"), coded]},
            "examples": error_examples(errors),
        },
        // ServiceStack routes return no problem details and no pages, because they ignore Accept.
        "application/problem+json": {"schema": {"allOf": [reference("Problem"), coded]}},
    });
    for format in schemas::FORMATS_WITHOUT_SCHEMA {
        content[format.content_type()] = schemas::text(None);
    }
    content["text/html"] = schemas::text(None);
    content
}

fn described_headers(of_answer: impl Iterator<Item = Member>, further: &[&str]) -> Value {
    let mut headers = json!({});
    for name in schemas::ALWAYS.iter().chain(further) {
        headers[*name] = json!({"$ref": format!("#/components/headers/{name}")});
    }
    for header in of_answer {
        headers[header.name] = json!({
            "description": header.text,
            "required": header.is_required,
            "schema": match header.kind {
                MemberKind::Choice(_) => schema(header.kind),
                _ => json!({"type": "string"}),
            },
        });
    }
    headers
}
