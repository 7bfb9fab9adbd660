//! The parameters and request bodies of an operation's routes.

use serde_json::{Value, json};

use super::super::samples;
use super::schemas::{self, reference, schema};
use crate::contract::routes::{Route, RouteKind, SUFFIXES};
use crate::contract::types::Location;
use crate::contract::{Operation, RequestBody};
use crate::formats::Format;

/// The parameters in the path, the query and the headers.
pub(super) fn parameters(operation: &Operation, route: &Route) -> Value {
    let mut parameters = Vec::new();
    if let Some(formats) = route.formats {
        parameters.push(json!({
            "name": "format",
            "in": "path",
            "required": true,
            "description": "The format",
            "schema": {"type": "string", "enum": formats},
        }));
    }
    if route.path.contains("{action}") {
        parameters.push(json!({
            "name": "action",
            "in": "path",
            "required": true,
            "description": "oneway behaves like reply: a report is stored before the response is sent",
            "schema": {"type": "string", "enum": ["reply", "oneway"]},
        }));
    }
    for member in operation.members {
        let location = match (member.location, route.is_by_name()) {
            (Location::Path, true) => Location::Query,
            // The fields of a single report may be query parameters.
            (Location::Body, _)
                if operation.body == RequestBody::Reports && route.kind != RouteKind::Batch =>
            {
                Location::Query
            }
            (Location::Body, _) => continue,
            (Location::Query, true) if operation.body == RequestBody::Reports => continue,
            (location, _) => location,
        };
        let mut parameter = json!({
            "name": member.name,
            "in": location.as_str(),
            // The parameter may be in the body instead.
            "required": member.is_required && (operation.body == RequestBody::Nothing || location == Location::Path),
            "description": member.text,
            "schema": schema(member.kind),
        });
        if !member.example.is_empty() {
            parameter["example"] = json!(samples::value(member));
        }
        parameters.push(parameter);
    }
    if operation.has_formats() {
        let name = if route.is_by_name() {
            "format_by_name"
        } else {
            "format"
        };
        parameters.push(json!({"$ref": format!("#/components/parameters/{name}")}));
    }
    if operation.body != RequestBody::Nothing {
        parameters.push(json!({"$ref": "#/components/parameters/Content-Encoding"}));
    }
    parameters.push(json!({"$ref": "#/components/parameters/X-Request-Id"}));
    Value::Array(parameters)
}

/// Parameters that most operations share.
pub(super) fn common_parameters() -> Value {
    json!({
        "format": {
            "name": "format",
            "in": "query",
            "required": false,
            "description": "Response format. Takes precedence over Accept; a path suffix takes precedence over this",
            "schema": {"type": "string", "enum": SUFFIXES},
        },
        "format_by_name": {
            "name": "format",
            "in": "query",
            "required": false,
            "description": "Response format. Takes precedence over the route's format; Accept is ignored",
            "schema": {"type": "string", "enum": SUFFIXES},
        },
        "Content-Encoding": {
            "name": "Content-Encoding",
            "in": "header",
            "required": false,
            "description": "How the body is compressed",
            "schema": {"type": "string", "enum": ["identity", "gzip", "deflate"]},
        },
        "X-Request-Id": {
            "name": "X-Request-Id",
            "in": "header",
            "required": false,
            "description": "Identifies this request in the response and in the log. A value that does not consist of 1 to 64 letters, digits, dots, hyphens and underscores is replaced",
            "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
        },
    })
}

/// The request body of a route, if it has one.
pub(super) fn request_body(operation: &Operation, route: &Route) -> Option<Value> {
    let name = operation.name;
    let one = match (operation.body, route.is_by_name()) {
        (RequestBody::Nothing, _) => return None,
        (RequestBody::Json | RequestBody::Rows(_), true) => format!("{name}ByName"),
        (_, _) => name.to_owned(),
    };
    let several = json!({"type": "array", "items": reference(&one), "maxItems": 10_000});
    let of_json = match (operation.body, route.kind) {
        (RequestBody::Reports, RouteKind::Resource) => json!({"oneOf": [reference(&one), several]}),
        (RequestBody::Reports, RouteKind::Batch) => several,
        _ => reference(&one),
    };
    let mut sample = schemas::parsed(&samples::request_body(operation, Format::Json)?);
    if route.is_by_name() {
        let of_path = operation
            .members
            .iter()
            .filter(|member| member.location == Location::Path);
        of_path.for_each(|member| sample[member.name] = json!(samples::value(member)));
    }
    if route.kind == RouteKind::Batch {
        sample = json!([sample]);
    }
    let mut content = json!({"application/json": {"schema": of_json, "example": sample}});
    if operation.body == RequestBody::Reports {
        for format in schemas::FORMATS_WITHOUT_SCHEMA {
            if format != Format::Ndjson || !route.is_by_name() {
                // Of these formats, only XML and CSV have examples, because tools that send the
                // examples re-encode strings in the others.
                let is_sent = matches!(format, Format::Xml | Format::Csv);
                let one = samples::request_body(operation, format);
                let example = one.filter(|_| is_sent && route.kind != RouteKind::Batch);
                content[format.content_type()] = schemas::text(example);
            }
        }
        if route.kind != RouteKind::Batch {
            for form in ["application/x-www-form-urlencoded", "multipart/form-data"] {
                content[form] = json!({"schema": reference(&one)});
            }
        }
    }
    if matches!(operation.body, RequestBody::Rows(_)) {
        let rows = samples::request_body(operation, Format::Csv);
        content[Format::Csv.content_type()] = schemas::text(rows);
    }
    let mut of_body = operation
        .members
        .iter()
        .filter(|member| member.location == Location::Body);
    let is_required = of_body.any(|member| member.is_required);
    Some(json!({"required": is_required, "content": content}))
}
