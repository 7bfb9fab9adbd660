//! Getting everything out.

use http::Method;

use super::{BILLABLE_ID, READING, SESSION_ID, header, ok, query};
use crate::contract::errors::{self, ALWAYS, Error, OF_TEXTS, WITH_BODY, WITH_INPUT, WITH_TOKEN};
use crate::contract::objects;
use crate::contract::types::{Location, Member, MemberKind};
use crate::contract::{Answer, Body, Operation, RequestBody, routes};

const LIMIT: Member = query(
    "limit",
    MemberKind::Number(1, 1000),
    "100",
    "The most items of a page: 1 to 1,000. 100, when it is not given",
);
const NEXT_CURSOR: Member = header(
    "Next-Cursor",
    MemberKind::String,
    "AQzR7dZ2PZ0",
    "Where to go on, for formats of rows too",
)
.required();
const OF_CURSORS: &[Error] = &[
    errors::PREDICATE,
    errors::INVALID_CURSOR,
    errors::CURSOR_GONE,
];

/// List billables, newest first.
pub(super) static LIST_BILLABLES: Operation = Operation {
    name: "ListBillables",
    summary: "List billables, newest first",
    notes: &[
        "The first page fixes how much of the log counts: all pages, and a whole export, show every billable once, as it was then, whatever comes meanwhile. A page may have fewer items than asked for; the list ends where there is no nextCursor.",
        "As csv and ndjson it is an export of everything that matches, in one stream. It ends with the trailers Row-Count and Content-SHA256; one that cannot be finished breaks off without the last chunk. Accept-Encoding: gzip and TE: trailers are heeded.",
    ],
    path: routes::BILLABLES,
    takes_suffix: true,
    by_name: Some(routes::LIST_BILLABLES),
    members: &[
        objects::ACCOUNT_ID.within(Location::Query).meaning(
            "Only what is billed to this account or, while nobody is billed, what names it",
        ),
        objects::CUSTOMER_ID
            .within(Location::Query)
            .meaning("The same for the customer"),
        objects::SESSION_ID
            .within(Location::Query)
            .meaning("Only this session"),
        objects::CALL_SID
            .within(Location::Query)
            .meaning("Only this call"),
        objects::IN_STATE,
        query(
            "from",
            MemberKind::Timestamp,
            "2026-03-01T00:00:00Z",
            "Only what occurred at this timestamp or later",
        ),
        query(
            "to",
            MemberKind::Timestamp,
            "2026-04-01T00:00:00Z",
            "Only what occurred before this timestamp",
        ),
        LIMIT,
        query(
            "cursor",
            MemberKind::String,
            "",
            "The nextCursor of the page before, with the same filters",
        ),
    ],
    answers: &[Answer {
        status: 200,
        when: "A page, or an export",
        body: Body::One(&objects::LIST_OF_BILLABLE),
        headers: &[
            header(
                "Content-Encoding",
                MemberKind::Choice(&["gzip"]),
                "gzip",
                "How an export is compressed, when Accept-Encoding takes it",
            ),
            header(
                "Trailer",
                MemberKind::String,
                "row-count, content-sha256",
                "What an export ends with",
            ),
        ],
    }],
    errors: &[
        ALWAYS,
        WITH_TOKEN,
        WITH_INPUT,
        OF_TEXTS,
        OF_CURSORS,
        &[errors::HTTP_VERSION_NOT_SUPPORTED],
    ],
    ..READING
};

/// See which calls or ids are there.
pub(super) static CHECK_BILLABLES: Operation = Operation {
    name: "CheckBillables",
    summary: "See which calls or ids are there",
    notes: &[
        "For whoever has a carrier's list: up to 10,000 inputs, each of them present, voided or missing.",
    ],
    method: Method::POST,
    path: routes::CHECK,
    by_name: Some(routes::CHECK_BILLABLES),
    members: &[
        Member {
            name: "callSids",
            location: Location::Body,
            kind: MemberKind::Texts(10_000),
            is_required: false,
            text: "Calls",
            example: "CA1",
        },
        Member {
            name: "ids",
            location: Location::Body,
            kind: MemberKind::Texts(10_000),
            is_required: false,
            text: "Ids of billables; what is none is missing",
            example: objects::ID,
        },
    ],
    body: RequestBody::Json,
    answers: &[ok(
        Body::One(&objects::LIST_OF_CHECKED_BILLABLE),
        "What there is",
    )],
    errors: &[
        ALWAYS,
        WITH_TOKEN,
        WITH_INPUT,
        WITH_BODY,
        OF_TEXTS,
        &[errors::NOT_EMPTY, errors::TOO_MUCH],
    ],
    ..READING
};

pub(super) static GET_BILLABLE: Operation = Operation {
    name: "GetBillable",
    summary: "See one billable",
    path: routes::BILLABLE,
    by_name: Some(routes::GET_BILLABLE),
    members: &[BILLABLE_ID],
    answers: &[ok(
        Body::One(&objects::BILLABLE),
        "The billable, with its state",
    )],
    errors: &[
        ALWAYS,
        WITH_TOKEN,
        WITH_INPUT,
        &[errors::NOT_EMPTY, errors::NOT_FOUND],
    ],
    ..READING
};

/// See what to bill: totals of whole days, by customer.
pub(super) static GET_BILLING: Operation = Operation {
    name: "GetBilling",
    summary: "See what to bill: totals of whole days, by customer",
    notes: &[
        "Voided billables are taken off on their own day. Totals are exact at asOf, a position in the log.",
    ],
    path: routes::BILLING,
    takes_suffix: true,
    by_name: Some(routes::GET_BILLING),
    members: &[
        objects::ACCOUNT_ID
            .within(Location::Query)
            .meaning("The account; tokens that are limited to accounts must name it"),
        objects::START_DATE.within(Location::Query),
        objects::END_DATE.within(Location::Query),
        objects::CUSTOMER_ID
            .within(Location::Query)
            .meaning("Only this customer"),
        objects::TIME_ZONE.within(Location::Query),
        query(
            "groupBy",
            MemberKind::Choice(&["day"]),
            "day",
            "day: totals of each day, with its date",
        ),
    ],
    answers: &[ok(Body::One(&objects::BILLING_INFO), "The totals")],
    errors: &[
        ALWAYS,
        WITH_TOKEN,
        WITH_INPUT,
        OF_TEXTS,
        &[errors::PREDICATE, errors::NOT_EMPTY, errors::TOO_MUCH],
    ],
    ..READING
};

/// Follow the log: everything that happens, in the order of commits.
pub(super) static READ_LOG: Operation = Operation {
    name: "ReadLog",
    summary: "Follow the log: everything that happens, in the order of commits",
    notes: &[
        "For whoever keeps a copy. Going on behind nextCursor skips nothing and repeats nothing, whichever servers write.",
    ],
    path: routes::LOG,
    by_name: Some(routes::READ_LOG),
    members: &[
        query(
            "after",
            MemberKind::String,
            "",
            "The cursor to go on behind; from the beginning, when it is not given",
        ),
        LIMIT,
        query(
            "wait",
            MemberKind::Number(0, 60),
            "0",
            "How many seconds to wait for news, when there is none",
        ),
    ],
    answers: &[Answer {
        status: 200,
        when: "What follows, which may be nothing yet",
        body: Body::One(&objects::LIST_OF_LOG_ENTRY),
        headers: &[NEXT_CURSOR],
    }],
    errors: &[ALWAYS, WITH_TOKEN, WITH_INPUT, OF_CURSORS],
    ..READING
};

/// See whom a session is billed to.
pub(super) static GET_SESSION: Operation = Operation {
    name: "GetSession",
    summary: "See whom a session is billed to",
    path: routes::SESSION,
    by_name: Some(routes::GET_SESSION),
    members: &[SESSION_ID],
    answers: &[ok(Body::One(&objects::SESSION), "What was decided")],
    errors: &[
        ALWAYS,
        WITH_TOKEN,
        WITH_INPUT,
        OF_TEXTS,
        &[errors::NOT_EMPTY, errors::NOT_FOUND],
    ],
    ..READING
};
