//! The paths, in the spelling of the routing table in `api.rs`; and all paths of an operation: its
//! own, and those that have its name.

use super::{Operation, RequestBody};

/// Reports are posted here.
pub const BILLABLES: &str = "/billables";
pub const BILLABLE: &str = "/billables/{id}";
/// A billable is voided here.
pub const VOID: &str = "/billables/{id}/void";
/// Which billables are there.
pub const CHECK: &str = "/billables/check";
pub const SESSION: &str = "/sessions/{sessionId}";
pub const BILLING: &str = "/billing";
pub const LOG: &str = "/log";

/// One report, by the name of the operation.
pub const NEW_BILLABLE: &str = "/api/NewBillable";
pub const NEW_BILLABLES: &str = "/api/NewBillable[]";
/// [`BILLABLE`] by the name of the operation.
pub const GET_BILLABLE: &str = "/api/GetBillable";
pub const LIST_BILLABLES: &str = "/api/ListBillables";
pub const CHECK_BILLABLES: &str = "/api/CheckBillables";
pub const VOID_BILLABLE: &str = "/api/VoidBillable";
pub const ATTRIBUTE_SESSION: &str = "/api/AttributeSession";
pub const GET_SESSION: &str = "/api/GetSession";
pub const GET_BILLING: &str = "/api/GetBilling";
pub const READ_LOG: &str = "/api/ReadLog";

/// Whether the process lives.
pub const LIVEZ: &str = "/livez";
/// Whether it can serve.
pub const READYZ: &str = "/readyz";
pub const METRICS: &str = "/metrics";

pub const FRONT: &str = "/";
pub const METADATA: &str = "/metadata";
/// One operation, with samples in a format.
pub const OPERATION_METADATA: &str = "/{format}/metadata";
/// DTOs in a language.
pub const TYPES: &str = "/types/{lang}";
/// The description of everything for programs.
pub const OPENAPI: &str = "/openapi.json";

/// One of the paths of an operation.
#[derive(Clone, Debug)]
pub struct Route {
    /// The path, with parameters in braces.
    pub path: String,
    /// What its `operationId` ends in.
    pub id: &'static str,
    /// The formats that a parameter of the path may have.
    pub formats: Option<&'static [&'static str]>,
    /// How it is called.
    pub kind: RouteKind,
    /// What is different on this route.
    pub note: Option<&'static str>,
}

/// How a route is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteKind {
    Resource,
    /// `/api/NAME` and its like.
    ByName,
    /// The same for several.
    Batch,
}

/// The formats that a path may end in.
pub const SUFFIXES: &[&str] = &["json", "xml", "jsv", "csv", "ndjson"];
/// The formats of routes by name.
pub const FORMATS: &[&str] = &["json", "xml", "jsv", "csv"];

const READ: &str = "By its name: the answer is in the route's format, or as format in the query says; Accept does not count";
const JSON: &str = "By its name: the body is JSON, on routes of JSON whatever its label says; the answer is in the route's format, or as format in the query says";
const SINGLE: &str = "By its name: the body is in the route's format whatever its label says, forms apart, and wins over the query; a success has no body unless Prefer asks for it";
const BATCH: &str = "Several at once: a null for each that is stored";

impl Route {
    /// The paths that an operation has.
    pub fn all(operation: &Operation) -> Vec<Self> {
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
                note: Some("The suffix is the format of the answer"),
            });
        }
        let note = match operation.body {
            RequestBody::Reports => SINGLE,
            RequestBody::Json => JSON,
            RequestBody::Nothing => READ,
        };
        if operation.by_name.is_some() {
            let ids = ["_api", "_api_suffix", "_reply"];
            routes.extend(Self::by_name(operation.name, ids, RouteKind::ByName, note));
        }
        if operation.batch_by_name.is_some() {
            let ids = ["s_api", "s_api_suffix", "s_reply"];
            let name = format!("{}[]", operation.name);
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

    /// Whether it has the operation's name.
    pub fn is_by_name(&self) -> bool {
        self.kind != RouteKind::Resource
    }
}
