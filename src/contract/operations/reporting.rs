//! The operation that telephony backends call.

use http::Method;

use super::{IDEMPOTENT_REPLAYED, header};
use crate::contract::errors::{
    self, ALWAYS, Error, OF_TEXTS, WHEN_WRITING, WITH_BODY, WITH_INPUT, WITH_TOKEN,
};
use crate::contract::objects;
use crate::contract::types::{Member, MemberKind};
use crate::contract::{Access, Answer, Body, Operation, RequestBody, Section, routes};
use crate::token::Scope;

const IDEMPOTENCY_KEY: Member = header(
    "Idempotency-Key",
    MemberKind::String,
    "order-1",
    "Identifies the report permanently, so that repeats are detected: 1 to 255 visible ASCII characters. In a batch, each report is identified by the key and its index",
);
const PREFER: Member = header(
    "Prefer",
    MemberKind::String,
    "return=minimal",
    "return=minimal: a success has no body. return=representation: a success shows what is stored, also on ServiceStack routes",
);
const LOCATION: Member = header(
    "Location",
    MemberKind::String,
    "/billables/d1719a49-b256-8620-b8ed-069900bed70a",
    "The path of the billable",
);
const BILLABLE_IDENTITY: Member = header(
    "Billable-Identity",
    MemberKind::String,
    "call",
    "How repeats are detected: key, call or none; a batch lists each kind once",
);
const BILLABLE_DIFFERS: Member = header(
    "Billable-Differs",
    MemberKind::String,
    "occurredAt",
    "occurredAt: a report that is already stored gave another occurredAt than the stored one, which is kept",
);
const PREFERENCE_APPLIED: Member = header(
    "Preference-Applied",
    MemberKind::String,
    "return=minimal",
    "The preference that was applied",
);
const X_AUTOBATCH_COMPLETED: Member = header(
    "X-AutoBatch-Completed",
    MemberKind::Number(0, 10_000),
    "1",
    "On ServiceStack batch routes: the number of stored reports before the first one that is not stored",
);
const REPORTED: &[Member] = &[
    LOCATION,
    IDEMPOTENT_REPLAYED,
    BILLABLE_IDENTITY,
    BILLABLE_DIFFERS,
    PREFERENCE_APPLIED,
    X_AUTOBATCH_COMPLETED,
];

const OF_REPORTS: &[Error] = &[
    errors::NOT_EMPTY,
    errors::NOT_A_TEXT,
    errors::PREDICATE,
    errors::INVALID_INSTANT,
    errors::INCLUSIVE_BETWEEN,
    errors::NOTHING_RECOGNISED,
    errors::INVALID_IDEMPOTENCY_KEY,
    errors::IDEMPOTENCY_CONFLICT,
];

pub(super) static NEW_BILLABLE: Operation = Operation {
    name: "NewBillable",
    section: Section::Reporting,
    summary: "Report/create a new billable",
    notes: &[
        "2xx means stored: the response is sent after the transaction is on disk. A report with a callSid or an Idempotency-Key creates one billable, even if it is sent repeatedly, at any time and to any server: a repeat gets 200 with the same billable and Idempotent-Replayed.",
        "An array, JSON lines or an XML ArrayOfNewBillable is a batch of up to 10,000 reports: 2xx means that all of them are stored. If any report is invalid, nothing is stored, and every error is listed with the index of its report in meta.AutoBatchIndex.",
        "The fields of a single report may also be query parameters. Unknown fields are ignored.",
        "FreeSWITCH call detail records and Twilio callbacks are accepted as they are: the record's uuid or the callback's CallSid becomes the callSid.",
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
            when: "Stored; in a batch, at least one report is new",
            body: Body::OneOrSeveral(&objects::BILLABLE),
            headers: REPORTED,
        },
        Answer {
            status: 200,
            when: "Already stored by an earlier request",
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
        ALWAYS,
        WHEN_WRITING,
        WITH_TOKEN,
        WITH_INPUT,
        WITH_BODY,
        OF_TEXTS,
        OF_REPORTS,
    ],
};
