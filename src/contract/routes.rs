//! The path constants, in the syntax of the routing table in `api.rs`, and all routes of an
//! operation: its resource path and its ServiceStack routes.

use super::{Operation, RequestBody};

pub const BILLABLES: &str = "/billables";
pub const BILLABLE: &str = "/billables/{id}";
/// The entries of a billable.
pub const HISTORY: &str = "/billables/{id}/history";
/// Voids many billables.
pub const VOIDS: &str = "/billables/void";
pub const VOID: &str = "/billables/{id}/void";
/// Checks which billables exist.
pub const CHECK: &str = "/billables/check";
/// The path of hooks, without their secret.
pub const HOOKS: &str = "/billables/in";
/// A hook: where a sender reports that can set no header.
pub const HOOK: &str = "/billables/in/{secret}";
pub const ACCOUNTS: &str = "/accounts";
pub const SESSIONS: &str = "/sessions";
pub const SESSION: &str = "/sessions/{sessionId}";
pub const BILLING: &str = "/billing";
pub const LOG: &str = "/log";
/// The caller's token.
pub const TOKEN: &str = "/token";
pub const TOKENS: &str = "/tokens";
pub const REVOCATION: &str = "/tokens/{id}";
pub const ROTATION: &str = "/tokens/{id}/rotate";

/// The ServiceStack route for one report.
pub const NEW_BILLABLE: &str = "/api/NewBillable";
pub const NEW_BILLABLES: &str = "/api/NewBillable[]";
pub const GET_BILLABLE: &str = "/api/GetBillable";
pub const GET_BILLABLE_HISTORY: &str = "/api/GetBillableHistory";
pub const LIST_BILLABLES: &str = "/api/ListBillables";
pub const CHECK_BILLABLES: &str = "/api/CheckBillables";
pub const VOID_BILLABLES: &str = "/api/VoidBillables";
pub const VOID_BILLABLE: &str = "/api/VoidBillable";
pub const ATTRIBUTE_SESSIONS: &str = "/api/AttributeSessions";
pub const ATTRIBUTE_SESSION: &str = "/api/AttributeSession";
pub const LIST_ACCOUNTS: &str = "/api/ListAccounts";
pub const LIST_SESSIONS: &str = "/api/ListSessions";
pub const GET_SESSION: &str = "/api/GetSession";
pub const GET_BILLING: &str = "/api/GetBilling";
pub const READ_LOG: &str = "/api/ReadLog";
pub const LIST_REFUSALS: &str = "/api/ListRefusals";
pub const GET_TOKEN: &str = "/api/GetToken";
pub const LIST_TOKENS: &str = "/api/ListTokens";
pub const CREATE_TOKEN: &str = "/api/CreateToken";
pub const ROTATE_TOKEN: &str = "/api/RotateToken";
pub const REVOKE_TOKEN: &str = "/api/RevokeToken";

/// Where users of ServiceStack and of other APIs look for the documentation.
pub const MANUAL_ALIASES: [&str; 3] = ["/ui", "/swagger", "/swagger-ui"];

/// The last refused requests.
pub const REFUSALS: &str = "/refusals";

/// Whether the process is alive.
pub const LIVEZ: &str = "/livez";
/// Whether the service can store reports.
pub const READYZ: &str = "/readyz";
pub const METRICS: &str = "/metrics";

pub const FRONT: &str = "/";
pub const METADATA: &str = "/metadata";
/// The manual.
pub const MANUAL: &str = "/docs";
pub const MANUAL_PAGE: &str = "/docs/{page}";
pub const MANUAL_SUBPAGE: &str = "/docs/{section}/{page}";
/// The page of one operation, with samples in a format.
pub const OPERATION_METADATA: &str = "/{format}/metadata";
/// The DTOs in a language.
pub const TYPES: &str = "/types/{lang}";
/// The OpenAPI document.
pub const OPENAPI: &str = "/openapi.json";

/// One of the paths of an operation.
#[derive(Clone, Debug)]
pub struct Route {
    /// The path, with parameters in braces.
    pub path: String,
    /// The suffix of the route's `operationId` in OpenAPI.
    pub id: &'static str,
    /// The allowed values of the path parameter `format`, if the path has one.
    pub formats: Option<&'static [&'static str]>,
    pub kind: RouteKind,
    /// How this route differs from the operation's description.
    pub note: Option<&'static str>,
}

/// How a route is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteKind {
    Resource,
    /// `/api/NAME` and the other ServiceStack routes.
    ByName,
    /// The ServiceStack routes for a batch.
    Batch,
}

/// The formats that a path may end in.
pub const SUFFIXES: &[&str] = &["json", "xml", "jsv", "csv", "ndjson"];
/// The formats of ServiceStack routes.
pub const FORMATS: &[&str] = &["json", "xml", "jsv", "csv"];

const READ: &str = "ServiceStack route: the response is in the route's format, unless the query parameter format names another; Accept is ignored";
const JSON: &str = "ServiceStack route: the body must be JSON, and a route with the format json ignores Content-Type. The response is in the route's format, unless the query parameter format names another";
const SINGLE: &str = "ServiceStack route: a body that is not a form is parsed in the route's format, whatever Content-Type says. Body fields take precedence over query parameters. A success has no body unless Prefer asks for one";
const BATCH: &str = "Batch: the response has a null for each stored report";

impl Route {
    /// Returns all routes of an operation.
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
                note: Some("The suffix selects the response format"),
            });
        }
        let note = match operation.body {
            RequestBody::Reports => SINGLE,
            RequestBody::Json | RequestBody::Rows(_) => JSON,
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

    /// Whether this is a ServiceStack route.
    pub fn is_by_name(&self) -> bool {
        self.kind != RouteKind::Resource
    }
}
