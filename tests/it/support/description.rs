//! Checks every reply against the OpenAPI document that the service serves. The document must
//! describe the reply's status, headers, members and error code.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};

use jsonschema::Validator;
use reqwest::Method;
use serde_json::{Value, json};

use super::client::Reply;

/// The OpenAPI document.
pub(crate) static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(billables::docs::openapi::text()).unwrap());

static VALIDATORS: LazyLock<Mutex<HashMap<String, &'static Validator>>> =
    LazyLock::new(Mutex::default);

/// Headers of HTTP itself, which the document does not describe.
const OF_HTTP: [&str; 5] = [
    "connection",
    "content-length",
    "content-type",
    "date",
    "transfer-encoding",
];

/// Checks a reply against the document.
pub(crate) fn check(method: &Method, path: &str, reply: &Reply) {
    let status = reply.status.to_string();
    let described = template_of(path).filter(|_| reply.status != 405);
    let Some(template) = described else {
        assert!(
            matches!(reply.status, 404 | 405),
            "{path} is not described: {reply:?}"
        );
        return;
    };
    if *method == Method::HEAD {
        return;
    }
    let operation = &DOCUMENT["paths"][template][method.as_str().to_ascii_lowercase()];
    let response = resolved(&operation["responses"][&status]);
    assert!(
        response.is_object(),
        "{method} {template} does not describe {status}: {reply:?}"
    );
    for (name, _) in &reply.headers {
        let name = name.as_str();
        let described = response["headers"].as_object().unwrap();
        let is_described = described
            .keys()
            .any(|known| known.eq_ignore_ascii_case(name));
        assert!(
            is_described || OF_HTTP.contains(&name),
            "{method} {template} {status} does not describe {name}"
        );
    }
    for (name, header) in response["headers"].as_object().unwrap() {
        let header = resolved(header);
        if header["required"] == true {
            assert!(
                reply.header(&name.to_ascii_lowercase()).is_some(),
                "{template} {status}: {name} is missing"
            );
        }
    }
    if reply.status >= 400 {
        check_error(template, operation, reply);
    }
    let Some(content_type) = reply.header("content-type") else {
        assert_eq!(
            (&*reply.body, &response["content"]),
            ("", &json!({})),
            "{method} {template}"
        );
        return;
    };
    let media_type = content_type.split(';').next().unwrap();
    let schema = &response["content"][media_type]["schema"];
    assert!(
        schema.is_object(),
        "{method} {template} {status} does not describe {media_type}"
    );
    if media_type.ends_with("json") && media_type != "application/x-ndjson" {
        let key = format!("{method} {template} {status} {media_type}");
        let validator = validator(&key, schema);
        let body = serde_json::from_str(&reply.body).unwrap();
        let errors: Vec<_> = validator
            .iter_errors(&body)
            .map(|error| format!("{error} at {}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{key}: {errors:?}: {}", reply.body);
    }
}

/// Checks what the shared description of an error does not cover. The operation must list the code
/// for this status. The reply must have no header or media type that belongs only to other
/// operations.
fn check_error(template: &str, operation: &'static Value, reply: &Reply) {
    let id = operation["operationId"].as_str().unwrap();
    let response = &operation["responses"][&reply.status.to_string()];
    let mut codes = response["description"].as_str().unwrap().split(", ");
    let media_type = reply.header("content-type").unwrap_or_default();
    if !media_type.is_empty() {
        let code = reply.error_code();
        assert!(
            codes.any(|known| known == code),
            "{id} does not describe {code}"
        );
    }
    let is_by_name = template.starts_with("/api/") || template.contains("{action}");
    let is_page = media_type.starts_with("text/html");
    assert!(
        !(is_by_name && (is_page || media_type == "application/problem+json")),
        "{id} must not return problem details or pages"
    );
    let of_pages = [
        "content-security-policy",
        "cross-origin-opener-policy",
        "referrer-policy",
    ];
    assert!(
        of_pages
            .iter()
            .all(|name| reply.header(name).is_some() == is_page),
        "{id} must return the headers of pages with pages only"
    );
    let is_report = id.starts_with("NewBillable");
    for name in ["billable-identity", "x-autobatch-completed"] {
        assert!(
            is_report || reply.header(name).is_none(),
            "{id} must not return {name}"
        );
    }
}

/// Resolves a `$ref`.
fn resolved(value: &'static Value) -> &'static Value {
    match value["$ref"].as_str() {
        Some(reference) => DOCUMENT.pointer(&reference[1..]).unwrap(),
        None => value,
    }
}

fn validator(key: &str, schema: &Value) -> &'static Validator {
    let mut validators = VALIDATORS
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    validators.entry(key.to_owned()).or_insert_with(|| {
        let whole = json!({"allOf": [schema], "components": DOCUMENT["components"]});
        Box::leak(Box::new(jsonschema::draft202012::new(&whole).unwrap()))
    })
}

/// The path template that matches a request's path; of several, the one with the most literals.
fn template_of(path: &str) -> Option<&'static str> {
    let paths = DOCUMENT["paths"].as_object().unwrap();
    let matching = paths
        .iter()
        .filter_map(|(template, item)| Some((literals(template, item, path)?, template)));
    matching.max().map(|(_, template)| &**template)
}

/// The number of literal segments that match; `None` if the path does not match the template.
fn literals(template: &str, item: &Value, path: &str) -> Option<usize> {
    let formats = item
        .as_object()?
        .values()
        .flat_map(|operation| operation["parameters"].as_array().unwrap())
        .find(|parameter| parameter["name"] == "format" && parameter["in"] == "path");
    let is_format = |word: &str| {
        formats.is_some_and(|format| {
            format["schema"]["enum"]
                .as_array()
                .unwrap()
                .contains(&word.into())
        })
    };
    // No trailing slash is allowed after an operation's name or a format suffix.
    if path.ends_with('/') && (template.starts_with("/api/") || template.ends_with(".{format}")) {
        return None;
    }
    let segments = |path: &str| -> Vec<String> {
        let path = path.replace("[]", "%5B%5D").replace("%5b%5d", "%5B%5D");
        path.split('/')
            .filter(|segment| !segment.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let (expected, found) = (segments(template), segments(path));
    if expected.len() != found.len() {
        return None;
    }
    let mut literals = 0;
    for (expected, found) in expected.iter().zip(&found) {
        if expected == "{format}" {
            is_format(&found.to_ascii_lowercase()).then_some(())?;
        } else if let Some(stem) = expected.strip_suffix("{format}") {
            let (name, format) = found.split_at_checked(stem.len())?;
            (name.eq_ignore_ascii_case(stem) && is_format(format)).then_some(())?;
            literals += 1;
        } else if !expected.starts_with('{') {
            found.eq_ignore_ascii_case(expected).then_some(())?;
            literals += 1;
        }
    }
    Some(literals)
}
