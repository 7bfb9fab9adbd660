//! The operation that telephony backends call.

use http::Method;

use super::{IDEMPOTENT_REPLAYED, SENDERS, header, query};
use crate::contract::errors::{
    self, ALWAYS, Error, OF_TEXTS, WHEN_WRITING, WITH_BODY, WITH_INPUT, WITH_TOKEN,
};
use crate::contract::objects;
use crate::contract::types::{Location, Member, MemberKind};
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
const SENDER: Member = query(
    "sender",
    MemberKind::Choice(SENDERS),
    "",
    "The sender's profile. With a token that has a sender, it must be that one or absent",
);
const ANSWERED: Member = query(
    "answered",
    MemberKind::Bool,
    "",
    "true: calls that were not answered are ignored; only with a sender that says so",
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
    "occurredAt: a report that is already stored gave another occurredAt than the stored one, which is kept. callSid: the call's id cannot be stored, so its hash is",
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
const BILLABLE_IGNORED: Member = header(
    "Billable-Ignored",
    MemberKind::String,
    "only",
    "The sender's profile says that this event is not billed, so nothing is stored; a batch lists each reason once. only: it is none that bills a call; answered: the call was not answered",
);
const REPORTED: &[Member] = &[
    LOCATION,
    IDEMPOTENT_REPLAYED,
    BILLABLE_IDENTITY,
    BILLABLE_DIFFERS,
    BILLABLE_IGNORED,
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
    errors::UNKNOWN_PARAMETER,
    errors::INVALID_IDEMPOTENCY_KEY,
    errors::IDEMPOTENCY_CONFLICT,
];

pub(super) static NEW_BILLABLE: Operation = REPORT;

const REPORT: Operation = Operation {
    name: "NewBillable",
    section: Section::Reporting,
    summary: "Report/create a new billable",
    notes: &[
        "2xx means stored: the response is sent after the transaction is on disk. A report with a callSid or an Idempotency-Key creates one billable, even if it is sent repeatedly, at any time and to any server: a repeat gets 200 with the same billable and Idempotent-Replayed.",
        "An array, JSON lines or an XML ArrayOfNewBillable is a batch of up to 10,000 reports: 2xx means that all of them are stored. If any report is invalid, nothing is stored, and every error is listed with the index of its report in meta.AutoBatchIndex.",
        "The fields of a single report may also be query parameters. Unknown fields are ignored.",
        "FreeSWITCH call detail records and Twilio callbacks are accepted as they are: the record's uuid or the callback's CallSid becomes the callSid.",
        "With sender, the request is read with that sender's profile alone; `billables senders list` shows the profiles. Events that are not billed are ignored: 204 with Billable-Ignored, and in a batch {\"ignored\": \"only\"} in their place.",
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
        SENDER,
        ANSWERED,
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
            when: "Stored, with Prefer: return=minimal; or ignored",
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

const SECRET: Member = query(
    "secret",
    MemberKind::String,
    "bil_…",
    "The secret of the hook's token",
)
.within(Location::Path)
.required();

pub(super) static REPORT_TO_HOOK: Operation = HOOK;

const HOOK: Operation = Operation {
    name: "ReportToHook",
    summary: "Report to a sender's own URL",
    notes: &[
        "For senders that can set no header, or put something of their own into Authorization, which is not read here. `billables token create --hook` makes the URL: its secret, one sender's profile and one account and customer.",
        "The body is whatever the sender sends. The responses are those of NewBillable, unless the sender needs a certain one.",
    ],
    path: routes::HOOK,
    takes_suffix: false,
    by_name: None,
    batch_by_name: None,
    members: &[SECRET, PREFER],
    body: RequestBody::Nothing,
    ..REPORT
};

pub(super) static REPORT_TO_HOOK_BY_QUERY: Operation = Operation {
    name: "ReportToHookByQuery",
    summary: "Report to a sender's own URL, with the event in the query",
    notes: &["For senders whose profile reads the query."],
    method: Method::GET,
    ..HOOK
};
