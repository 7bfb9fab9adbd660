//! JSON schemas of objects and values, with examples.

use serde_json::{Map, Value, json};

use crate::billable::report::MAX_TEXT;
use crate::contract::errors::Error;
use crate::contract::objects;
use crate::contract::types::{Location, Member, MemberKind, Type};
use crate::contract::{Operation, RequestBody};
use crate::formats::Format;

/// The body formats that schemas do not describe.
pub(super) const FORMATS_WITHOUT_SCHEMA: [Format; 4] =
    [Format::Xml, Format::Jsv, Format::Csv, Format::Ndjson];

/// Headers that every response may have.
pub(super) const ALWAYS: [&str; 5] = [
    "Content-Disposition",
    "X-Request-Id",
    "Cache-Control",
    "Vary",
    "X-Content-Type-Options",
];

/// Matches texts without control characters (Cc), U+FFFE and U+FFFF.
const TEXT_PATTERN: &str = "^[^\\u0000-\\u001F\\u007F-\\u009F\\uFFFE\\uFFFF]*$";

/// Every object that has a schema.
static OBJECTS: [&Type; 25] = [
    &objects::BILLABLE,
    &objects::LIST_OF_BILLABLE,
    &objects::CHECKED_BILLABLE,
    &objects::LIST_OF_CHECKED_BILLABLE,
    &objects::DECIDED,
    &objects::LIST_OF_DECIDED,
    &objects::LOG_ENTRY,
    &objects::LIST_OF_LOG_ENTRY,
    &objects::SESSION,
    &objects::SESSION_PAIR,
    &objects::UNDECIDED_SESSION,
    &objects::LIST_OF_UNDECIDED_SESSION,
    &objects::ACCOUNT,
    &objects::LIST_OF_ACCOUNT,
    &objects::BILLING_CUSTOMER_INFO,
    &objects::BILLING_INFO,
    &objects::HEALTH,
    &objects::IGNORED_EVENT,
    &objects::READINESS,
    &objects::REFUSAL,
    &objects::LIST_OF_REFUSAL,
    &objects::CURRENT_TOKEN,
    &objects::TOKEN,
    &objects::LIST_OF_TOKEN,
    &objects::ISSUED_TOKEN,
];

/// The schemas of all objects, of requests and of errors.
pub(super) fn all() -> Value {
    let mut schemas = Map::new();
    for of in OBJECTS {
        let members = of.members.iter().copied();
        let mut schema = object(of.text, members);
        // Clients may rely on the rule that every member is described.
        schema["additionalProperties"] = false.into();
        schemas.insert(of.name.to_owned(), schema);
    }
    for operation in Operation::messages() {
        let in_body = |member: &Member| member.location == Location::Body;
        let members = operation.members.iter().copied();
        if operation.body != RequestBody::Nothing {
            let schema = object(operation.summary, members.clone().filter(in_body));
            schemas.insert(operation.name.to_owned(), schema);
        }
        if matches!(operation.body, RequestBody::Json | RequestBody::Rows(_)) {
            // Path parameters may be in the query instead, so the body need not have them.
            let members = members.map(|member| Member {
                is_required: member.is_required && in_body(&member),
                ..member
            });
            let schema = object(operation.summary, members);
            schemas.insert(format!("{}ByName", operation.name), schema);
        }
    }
    schemas.insert("ErrorResponse".to_owned(), error_response());
    schemas.insert("ResponseStatus".to_owned(), response_status());
    schemas.insert("Problem".to_owned(), problem());
    Value::Object(schemas)
}

fn object(text: &str, members: impl Iterator<Item = Member> + Clone) -> Value {
    let required: Vec<_> = members
        .clone()
        .filter(|member| member.is_required)
        .map(|member| member.name)
        .collect();
    let properties: Map<_, _> = members
        .map(|member| {
            let mut property = schema(member.kind);
            property["description"] = member.text.into();
            (member.name.to_owned(), property)
        })
        .collect();
    let mut object = json!({"type": "object", "description": text, "properties": properties});
    if !required.is_empty() {
        object["required"] = json!(required);
    }
    object
}

/// The schema of a value.
pub(super) fn schema(kind: MemberKind) -> Value {
    let texts = |most: usize, items: Value| match most {
        usize::MAX => json!({"type": "array", "items": items}),
        most => json!({"type": "array", "items": items, "maxItems": most}),
    };
    match kind {
        MemberKind::Text => {
            json!({"type": "string", "maxLength": MAX_TEXT, "pattern": TEXT_PATTERN})
        }
        MemberKind::String => json!({"type": "string"}),
        MemberKind::Id => json!({"type": "string", "format": "uuid"}),
        MemberKind::Timestamp => json!({"type": "string", "format": "date-time"}),
        MemberKind::Date => json!({"type": "string", "format": "date"}),
        MemberKind::Choice(words) => json!({"type": "string", "enum": words}),
        MemberKind::Number(least, i64::MAX) => {
            json!({"type": "integer", "format": "int64", "minimum": least})
        }
        MemberKind::Number(least, most) => {
            json!({"type": "integer", "minimum": least, "maximum": most})
        }
        MemberKind::Bool => json!({"type": "boolean"}),
        MemberKind::Texts(most) => texts(most, json!({"type": "string"})),
        MemberKind::Ids(most) => texts(most, json!({"type": "string", "format": "uuid"})),
        MemberKind::List(of) => json!({"type": "array", "items": reference(of.name)}),
    }
}

/// A reference to an object's schema.
pub(super) fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// JSON as a value of the document.
pub(super) fn parsed(json: &str) -> Value {
    serde_json::from_str(json).expect("JSON that this service wrote")
}

/// A body in a format that schemas do not describe, with an example.
pub(super) fn text(example: Option<String>) -> Value {
    let mut text = json!({"schema": {"type": "string"}});
    if let Some(example) = example {
        text["example"] = example.into();
    }
    text
}

/// An example of each error.
pub(super) fn error_examples(errors: &[Error]) -> Value {
    let examples: Map<_, _> = errors
        .iter()
        .map(|error| {
            let value = json!({"responseStatus": {"errorCode": error.code, "message": error.means, "errors": []}});
            (error.code.to_owned(), json!({"summary": error.means, "value": value}))
        })
        .collect();
    Value::Object(examples)
}

/// The headers that responses of different operations share.
pub(super) fn common_headers() -> Value {
    let header = |text: &str, schema: Value| json!({"description": text, "required": true, "schema": schema});
    json!({
        "X-Request-Id": header("The id of this request, which is also in the log", json!({"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"})),
        "Cache-Control": header("Caches must not store the response", json!({"type": "string", "enum": ["no-store"]})),
        "Vary": header("The request headers that the response depends on", json!({"type": "string", "enum": ["Accept", "Accept, Accept-Encoding"]})),
        "X-Content-Type-Options": header("The content type must not be guessed", json!({"type": "string", "enum": ["nosniff"]})),
        "Content-Disposition": {"description": "A file name, if the response is csv or ndjson", "schema": {"type": "string"}},
        "Accept-Encoding": {"description": "The supported content codings of request bodies", "schema": {"type": "string"}},
        "WWW-Authenticate": header("How to authenticate: Bearer and Basic", json!({"type": "string"})),
        "Retry-After": header("How many seconds to wait before a retry", json!({"type": "string", "pattern": "^[0-9]+$"})),
    })
}

fn error_response() -> Value {
    json!({
        "type": "object",
        "description": "An error",
        "properties": {"responseStatus": reference("ResponseStatus")},
        "required": ["responseStatus"],
    })
}

fn response_status() -> Value {
    let meta = json!({
        "type": "object",
        "description": "The index of the failed item in a batch, from 0",
        "properties": {"AutoBatchIndex": {"type": "string", "pattern": "^[0-9]+$"}},
        "additionalProperties": false,
    });
    json!({
        "type": "object",
        "description": "The details of an error",
        "properties": {
            "errorCode": {"type": "string", "description": "A stable code"},
            "message": {"type": "string", "description": "A human-readable message"},
            "errors": {
                "type": "array",
                "description": "The errors of individual fields",
                "items": {
                    "type": "object",
                    "properties": {
                        "errorCode": {"type": "string", "description": "A stable code"},
                        "fieldName": {"type": "string", "description": "The field in .NET spelling, such as CallSid"},
                        "message": {"type": "string", "description": "A human-readable message"},
                        "meta": meta,
                    },
                    "required": ["errorCode", "fieldName", "message"],
                    "additionalProperties": false,
                },
            },
            "meta": meta,
        },
        "required": ["errorCode", "message", "errors"],
        "additionalProperties": false,
    })
}

fn problem() -> Value {
    json!({
        "type": "object",
        "description": "An error as problem details (RFC 9457)",
        "properties": {
            "type": {"type": "string", "enum": ["about:blank"]},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "responseStatus": reference("ResponseStatus"),
        },
        "required": ["type", "title", "status", "detail", "responseStatus"],
        "additionalProperties": false,
    })
}
