//! The routes, in the spelling that the router has.

/// Reports are posted here.
pub const BILLABLES: &str = "/billables";
/// One billable.
pub const BILLABLE: &str = "/billables/{id}";
/// A billable is voided here.
pub const VOID: &str = "/billables/{id}/void";
/// Which billables are there.
pub const CHECK: &str = "/billables/check";
/// A session.
pub const SESSION: &str = "/sessions/{sessionId}";
/// Totals.
pub const BILLING: &str = "/billing";
/// The feed.
pub const LOG: &str = "/log";

/// One report, by the name of the operation.
pub const NEW_BILLABLE: &str = "/api/NewBillable";
/// Several reports.
pub const NEW_BILLABLES: &str = "/api/NewBillable[]";
/// [`BILLABLE`] by the name of the operation.
pub const GET_BILLABLE: &str = "/api/GetBillable";
/// [`BILLABLES`], read.
pub const LIST_BILLABLES: &str = "/api/ListBillables";
/// [`CHECK`].
pub const CHECK_BILLABLES: &str = "/api/CheckBillables";
/// [`VOID`].
pub const VOID_BILLABLE: &str = "/api/VoidBillable";
/// [`SESSION`], decided.
pub const ATTRIBUTE_SESSION: &str = "/api/AttributeSession";
/// [`SESSION`], read.
pub const GET_SESSION: &str = "/api/GetSession";
/// [`BILLING`].
pub const GET_BILLING: &str = "/api/GetBilling";
/// [`LOG`].
pub const READ_LOG: &str = "/api/ReadLog";

/// Whether the process lives.
pub const LIVEZ: &str = "/livez";
/// Whether it can serve.
pub const READYZ: &str = "/readyz";
/// What it counts.
pub const METRICS: &str = "/metrics";

/// The front page.
pub const FRONT: &str = "/";
/// The operations.
pub const METADATA: &str = "/metadata";
/// One operation, with samples in a format.
pub const OPERATION_METADATA: &str = "/{format}/metadata";
/// DTOs in a language.
pub const TYPES: &str = "/types/{lang}";
/// The description of everything for programs.
pub const OPENAPI: &str = "/openapi.json";
