//! The routes of an operation, and what each takes.

use serde_json::{Value, json};

use super::super::types::Place;
use super::super::{Answer, Body, Operation, RequestBody};
use super::schemas::{example, reference, schema};
use crate::wire::Format;

/// One of the paths of an operation.
pub(super) struct Route {
    /// The path, with parameters in braces.
    pub(super) path: String,
    /// What its `operationId` ends in.
    pub(super) id: &'static str,
    /// The formats that a parameter of the path may have.
    pub(super) formats: Option<&'static [&'static str]>,
    /// How it is called.
    pub(super) kind: RouteKind,
    /// What is different on this route.
    pub(super) note: Option<&'static str>,
}

/// How a route is called.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum RouteKind {
    /// The operation's path.
    Resource,
    /// `/api/NAME` and its like.
    ByName,
    /// The same for several.
    Batch,
}

const SUFFIXES: &[&str] = &["json", "xml", "jsv", "csv", "ndjson"];
const FORMATS: &[&str] = &["json", "xml", "jsv", "csv"];

const BY_NAME: &str = "As ServiceStack's clients call it: the body is in the route's format whatever its label says, and so is the answer.";
const SINGLE: &str = "As ServiceStack's clients call it: the body is in the route's format whatever its label says, the body wins over the query, and a success has no body unless Prefer asks for it.";
const BATCH: &str =
    "Several at once, as ServiceStack's clients send them: one null for each that is stored.";

impl Route {
    /// The paths that an operation has.
    pub(super) fn all(operation: &Operation) -> Vec<Self> {
        let mut routes = vec![Self {
            path: operation.path.to_owned(),
            id: "",
            formats: None,
            kind: RouteKind::Resource,
            note: None,
        }];
        if operation.takes_suffix {
            routes.push(Self {
                path: format!("{}.{{format}}", operation.path),
                id: "_suffix",
                formats: Some(SUFFIXES),
                kind: RouteKind::Resource,
                note: Some("The suffix is the format of the answer."),
            });
        }
        let note = match operation.body {
            RequestBody::Reports => SINGLE,
            RequestBody::Json | RequestBody::Nothing => BY_NAME,
        };
        if operation.by_name.is_some() {
            let ids = ["_api", "_api_suffix", "_reply"];
            routes.extend(Self::by_name(operation.name, ids, RouteKind::ByName, note));
        }
        if operation.batch_by_name.is_some() {
            let ids = ["s_api", "s_api_suffix", "s_reply"];
            let name = format!("{}%5B%5D", operation.name);
            routes.extend(Self::by_name(&name, ids, RouteKind::Batch, BATCH));
        }
        routes
    }

    fn by_name(
        name: &str,
        ids: [&'static str; 3],
        kind: RouteKind,
        note: &'static str,
    ) -> [Self; 3] {
        let [api, suffix, reply] = ids;
        let route = |path, id, formats| Self {
            path,
            id,
            formats,
            kind,
            note: Some(note),
        };
        [
            route(format!("/api/{name}"), api, None),
            route(format!("/api/{name}.{{format}}"), suffix, Some(FORMATS)),
            route(
                format!("/{{format}}/{{action}}/{name}"),
                reply,
                Some(FORMATS),
            ),
        ]
    }

    fn is_by_name(&self) -> bool {
        self.kind != RouteKind::Resource
    }
}

/// What stands in the path, the query and the headers.
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
            "description": "oneway is as reply: stored before the answer",
            "schema": {"type": "string", "enum": ["reply", "oneway"]},
        }));
    }
    for member in operation.members {
        let place = match (member.place, route.is_by_name()) {
            (Place::Path, true) if operation.body == RequestBody::Json => continue,
            (Place::Path, true) => Place::Query,
            // Fields of a single report may stand in the query.
            (Place::Body, _)
                if operation.body == RequestBody::Reports && route.kind != RouteKind::Batch =>
            {
                Place::Query
            }
            (Place::Body, _) => continue,
            (place, _) => place,
        };
        let mut parameter = json!({
            "name": member.name,
            "in": place.as_str(),
            "required": member.is_required,
            "description": member.text,
            "schema": schema(member.kind),
        });
        if !member.example.is_empty() {
            parameter["example"] = example(member.kind, member.example);
        }
        parameters.push(parameter);
    }
    if has_formats(operation) {
        parameters.push(json!({"$ref": "#/components/parameters/format"}));
    }
    parameters.push(json!({"$ref": "#/components/parameters/X-Request-Id"}));
    Value::Array(parameters)
}

/// Parameters of most operations.
pub(super) fn common_parameters() -> Value {
    json!({
        "format": {
            "name": "format",
            "in": "query",
            "required": false,
            "description": "The format of the answer, which a suffix of the path outweighs and Accept does not",
            "schema": {"type": "string", "enum": SUFFIXES},
        },
        "X-Request-Id": {
            "name": "X-Request-Id",
            "in": "header",
            "required": false,
            "description": "What the answer and the log call this request; anything else than 1 to 64 letters, digits, dots, hyphens and underscores is replaced",
            "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
        },
    })
}

/// Whether answers are in whatever format is asked for.
fn has_formats(operation: &Operation) -> bool {
    !matches!(
        operation.answers,
        [Answer {
            body: Body::Document(_),
            ..
        }]
    )
}

/// The body of requests.
pub(super) fn request_body(operation: &Operation, route: &Route) -> Option<Value> {
    let name = operation.name;
    let one = match (operation.body, route.is_by_name()) {
        (RequestBody::Nothing, _) => return None,
        (RequestBody::Json, true) => format!("{name}ByName"),
        (RequestBody::Json | RequestBody::Reports, _) => name.to_owned(),
    };
    let several = json!({"type": "array", "items": reference(&one), "maxItems": 10_000});
    let of_json = match (operation.body, route.kind) {
        (RequestBody::Reports, RouteKind::Resource) => json!({"oneOf": [reference(&one), several]}),
        (RequestBody::Reports, RouteKind::Batch) => several,
        _ => reference(&one),
    };
    let mut content = json!({"application/json": {"schema": of_json}});
    if operation.body == RequestBody::Reports {
        let fields = operation.fields();
        let sample: serde_json::Map<_, _> = fields
            .map(|field| (field.name.to_owned(), example(field.kind, field.example)))
            .collect();
        content["application/json"]["example"] = match route.kind {
            RouteKind::Batch => json!([sample]),
            RouteKind::Resource | RouteKind::ByName => json!(sample),
        };
        for format in [Format::Xml, Format::Jsv, Format::Csv, Format::Ndjson] {
            if format != Format::Ndjson || !route.is_by_name() {
                content[format.content_type()] = json!({"schema": {"type": "string"}});
            }
        }
        if route.kind != RouteKind::Batch {
            for form in ["application/x-www-form-urlencoded", "multipart/form-data"] {
                content[form] = json!({"schema": reference(&one)});
            }
        }
    }
    Some(json!({"required": false, "content": content}))
}
