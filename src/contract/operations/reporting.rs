//! What telephony backends send.

use http::Method;

use super::{IDEMPOTENT_REPLAYED, header};
use crate::contract::errors::{self, ALWAYS, Error, OF_TEXTS, WITH_BODY, WITH_INPUT, WITH_TOKEN};
use crate::contract::objects;
use crate::contract::types::{Member, MemberKind};
use crate::contract::{Access, Answer, Body, Operation, RequestBody, Section, routes};
use crate::token::Scope;

const IDEMPOTENCY_KEY: Member = header(
    "Idempotency-Key",
    MemberKind::String,
    "order-1",
    "What the report is recognised by, for ever: 1 to 255 visible ASCII characters. Of several reports each is recognised by key and index",
);
const PREFER: Member = header(
    "Prefer",
    MemberKind::String,
    "return=minimal",
    "return=minimal: a success has no body. return=representation: it shows what is stored, by the operation's name too",
);
const LOCATION: Member = header(
    "Location",
    MemberKind::String,
    "/billables/4a9f3520-2c9d-8620-b8ed-069900bed70a",
    "The path of the billable",
);
const BILLABLE_IDENTITY: Member = header(
    "Billable-Identity",
    MemberKind::String,
    "call",
    "What is recognised when it is sent again: key, call, or none; of several reports each kind once",
);
const PREFERENCE_APPLIED: Member = header(
    "Preference-Applied",
    MemberKind::String,
    "return=minimal",
    "The preference that was heeded",
);
const X_AUTOBATCH_COMPLETED: Member = header(
    "X-AutoBatch-Completed",
    MemberKind::Number(0, 10_000),
    "1",
    "By the operation's name, of several reports: how many are stored, from the first one on",
);
const REPORTED: &[Member] = &[
    LOCATION,
    IDEMPOTENT_REPLAYED,
    BILLABLE_IDENTITY,
    PREFERENCE_APPLIED,
    X_AUTOBATCH_COMPLETED,
];

const OF_REPORTS: &[Error] = &[
    errors::NOT_EMPTY,
    errors::NOT_A_TEXT,
    errors::PREDICATE,
    errors::INVALID_INSTANT,
    errors::INCLUSIVE_BETWEEN,
    errors::INVALID_IDEMPOTENCY_KEY,
    errors::IDEMPOTENCY_CONFLICT,
];

/// Report/create a new billable.
pub(super) static NEW_BILLABLE: Operation = Operation {
    name: "NewBillable",
    section: Section::Reporting,
    summary: "Report/create a new billable",
    notes: &[
        "2xx means stored: the answer is written after the transaction is on disk. A report with a callSid or an Idempotency-Key makes one billable, however often, whenever and wherever it is sent: the same again is answered 200 with the same billable and Idempotent-Replayed.",
        "An array, JSON lines or an XML ArrayOfNewBillable is a batch of up to 10,000 reports: 2xx means that every one is stored. When any is invalid nothing is stored and each is listed, with its index in meta.AutoBatchIndex.",
        "Fields may be query parameters too, of a single report. Unknown fields are ignored.",
        "What FreeSWITCH and Twilio send by themselves is read as it is: a call detail record's uuid and a callback's CallSid are the callSid.",
    ],
    access: Access::Scope(Scope::Report),
    method: Method::POST,
    path: routes::BILLABLES,
    takes_suffix: true,
    by_name: Some(routes::NEW_BILLABLE),
    batch_by_name: Some(routes::NEW_BILLABLES),
    members: &[
        objects::ACCOUNT_ID,
        objects::CUSTOMER_ID,
        objects::SESSION_ID,
        objects::CALL_SID,
        objects::OCCURRED_AT,
        IDEMPOTENCY_KEY,
        PREFER,
    ],
    body: RequestBody::Reports,
    answers: &[
        Answer {
            status: 201,
            when: "Stored; of several reports, when any is new",
            body: Body::OneOrSeveral(&objects::BILLABLE),
            headers: REPORTED,
        },
        Answer {
            status: 200,
            when: "It was stored before",
            body: Body::OneOrSeveral(&objects::BILLABLE),
            headers: REPORTED,
        },
        Answer {
            status: 204,
            when: "Stored, with Prefer: return=minimal",
            body: Body::Nothing,
            headers: REPORTED,
        },
    ],
    errors: &[
        ALWAYS, WITH_TOKEN, WITH_INPUT, WITH_BODY, OF_TEXTS, OF_REPORTS,
    ],
};
