//! The list of all operations, and the defaults that they share.

mod deciding;
mod documentation;
mod listing;
mod reading;
mod reporting;
mod running;
mod tokens;

use http::Method;

use super::errors::{ALWAYS, WITH_TOKEN};
use super::objects;
use super::types::{Location, Member, MemberKind, maybe};
use super::{Access, Answer, Body, Operation, RequestBody, Section};
use crate::token::Scope;

/// An optional query parameter.
const fn query(
    name: &'static str,
    kind: MemberKind,
    example: &'static str,
    text: &'static str,
) -> Member {
    maybe(name, kind, example, text).within(Location::Query)
}

/// An optional header.
const fn header(
    name: &'static str,
    kind: MemberKind,
    example: &'static str,
    text: &'static str,
) -> Member {
    query(name, kind, example, text).within(Location::Header)
}

const BILLABLE_ID: Member = objects::BILLABLE_ID
    .within(Location::Path)
    .meaning("The billable's id");
const SESSION_ID: Member = objects::SESSION_ID
    .within(Location::Path)
    .required()
    .meaning("The session");

const IDEMPOTENT_REPLAYED: Member = header(
    "Idempotent-Replayed",
    MemberKind::Choice(&["true"]),
    "true",
    "Present if an earlier request already stored the report or the void",
);

/// A 200 response without additional headers.
const fn ok(body: Body, when: &'static str) -> Answer {
    Answer {
        status: 200,
        when,
        body,
        headers: &[],
    }
}

/// The defaults of most operations.
const DEFAULTS: Operation = Operation {
    name: "",
    section: Section::Reading,
    summary: "",
    notes: &[],
    access: Access::Scope(Scope::Read),
    method: Method::GET,
    path: "",
    takes_suffix: false,
    by_name: None,
    batch_by_name: None,
    members: &[],
    body: RequestBody::Nothing,
    answers: &[],
    errors: &[ALWAYS, WITH_TOKEN],
};

/// The defaults of operations that need no token.
const OPEN_DEFAULTS: Operation = Operation {
    access: Access::Open,
    errors: &[ALWAYS],
    ..DEFAULTS
};

/// Every operation in the order of the documentation, with more specific routes before others.
pub static OPERATIONS: [&Operation; 33] = [
    &reporting::NEW_BILLABLE,
    &reporting::REPORT_TO_HOOK,
    &reporting::REPORT_TO_HOOK_BY_QUERY,
    &reading::LIST_BILLABLES,
    &reading::CHECK_BILLABLES,
    &reading::GET_BILLABLE,
    &reading::GET_BILLABLE_HISTORY,
    &reading::GET_BILLING,
    &listing::LIST_ACCOUNTS,
    &reading::READ_LOG,
    &deciding::VOID_BILLABLES,
    &deciding::VOID_BILLABLE,
    &deciding::ATTRIBUTE_SESSIONS,
    &deciding::ATTRIBUTE_SESSION,
    &listing::LIST_SESSIONS,
    &reading::GET_SESSION,
    &tokens::GET_TOKEN,
    &tokens::LIST_TOKENS,
    &tokens::CREATE_TOKEN,
    &tokens::ROTATE_TOKEN,
    &tokens::REVOKE_TOKEN,
    &running::GET_LIVEZ,
    &running::GET_READYZ,
    &running::GET_METRICS,
    &running::LIST_REFUSALS,
    &documentation::GET_FRONT_PAGE,
    &documentation::GET_MANUAL,
    &documentation::GET_MANUAL_PAGE,
    &documentation::GET_MANUAL_SUBPAGE,
    &documentation::GET_METADATA,
    &documentation::GET_TYPES,
    &documentation::GET_OPERATION_METADATA,
    &documentation::GET_OPEN_API,
];

/// The names of the senders' profiles, in alphabetical order.
pub const SENDERS: &[&str] = &[
    "3cx",
    "africastalking",
    "asterisk-csv",
    "bandwidth",
    "cgrates",
    "cloudevents",
    "cucm",
    "exotel",
    "freeswitch",
    "freeswitch-csv",
    "freeswitch-xml",
    "jambonz",
    "kamailio",
    "opensips",
    "plivo",
    "signalwire",
    "sipgate",
    "telnyx",
    "telnyx-texml",
    "twilio",
    "twilio-api",
    "vonage",
];

/// The media type of pages.
pub const HTML: &str = "text/html; charset=utf-8";

/// The media type of metrics.
pub const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The languages of DTOs, in the order of `docs::dto::Language::ALL`.
pub const LANGUAGES: &[&str] = &[
    "typescript",
    "mjs",
    "csharp",
    "python",
    "java",
    "kotlin",
    "curl",
];
