//! Operations that read billables, totals, the log and sessions.

use http::Method;

use super::{BILLABLE_ID, DEFAULTS, SESSION_ID, header, ok, query};
use crate::contract::errors::{
    self, ALWAYS, Error, OF_TEXTS, WHEN_READING, WITH_BODY, WITH_INPUT, WITH_TOKEN,
};
use crate::contract::objects;
use crate::contract::types::{Location, Member, MemberKind};
use crate::contract::{Answer, Body, Operation, RequestBody, routes};

pub(super) const LIMIT: Member = query(
    "limit",
    MemberKind::Number(1, 1000),
    "100",
    "The maximum number of items in a page: 1 to 1,000. Defaults to 100",
);
pub(super) const NEXT_CURSOR: Member = header(
    "Next-Cursor",
    MemberKind::String,
    "AQzR7dZ2PZ0",
    "The nextCursor of the page, also in csv and ndjson",
);
const STATED_CUT: Member = header(
    "As-Of",
    MemberKind::String,
    "AQzR7dZ2PZ0",
    "The cut of the log that the response is of",
)
.required();
const AS_OF: Member = query("asOf", MemberKind::String, "", "");
const EXCEL: Member = query(
    "excel",
    MemberKind::Choice(&["true", "false"]),
    "",
    "true: CSV begins with a byte order mark, so that Excel reads it as UTF-8",
);
const OF_CURSORS: &[Error] = &[
    errors::PREDICATE,
    errors::INVALID_CURSOR,
    errors::CURSOR_GONE,
];

pub(super) static LIST_BILLABLES: Operation = Operation {
    name: "ListBillables",
    summary: "List billables, newest first",
    notes: &[
        "The first page fixes a cut of the log, which it states: all pages, and a whole export, show every billable exactly once, as it was at that time, regardless of later writes. A page may have fewer items than limit; a page without nextCursor is the last.",
        "In csv and ndjson the response is an export of all matching billables in one stream. It ends with the trailers Row-Count and Content-SHA256; an export that fails is cut off before the last chunk. Accept-Encoding: gzip and TE: trailers are honoured.",
    ],
    path: routes::BILLABLES,
    takes_suffix: true,
    by_name: Some(routes::LIST_BILLABLES),
    members: &[
        objects::ACCOUNT_ID.within(Location::Query).meaning(
            "Only billables that are billed to this account, or unattributed ones that were reported with it",
        ),
        objects::CUSTOMER_ID
            .within(Location::Query)
            .meaning("Only billables that are billed to this customer, or unattributed ones that were reported with it"),
        objects::SESSION_ID
            .within(Location::Query)
            .meaning("Only billables of this session"),
        objects::CALL_SID
            .within(Location::Query)
            .meaning("Only billables of this call"),
        objects::IN_STATE,
        query(
            "client",
            MemberKind::String,
            "",
            "Only billables that this client reported; only with another filter or a range of at most 366 days, and not for account-limited tokens",
        ),
        query(
            "recordedFrom",
            MemberKind::Timestamp,
            "",
            "Only billables that were stored at this timestamp or later; only with another filter or a range of at most 366 days",
        ),
        query(
            "recordedTo",
            MemberKind::Timestamp,
            "",
            "Only billables that were stored before this timestamp; only with another filter or a range of at most 366 days",
        ),
        query(
            "from",
            MemberKind::Timestamp,
            "2026-03-01T00:00:00Z",
            "Only calls that happened at this timestamp or later",
        ),
        query(
            "to",
            MemberKind::Timestamp,
            "2026-04-01T00:00:00Z",
            "Only calls that happened before this timestamp",
        ),
        query(
            "startDate",
            MemberKind::Date,
            "",
            "Only calls of this day or later, in timeZone; not together with from and to",
        ),
        query(
            "endDate",
            MemberKind::Date,
            "",
            "Only calls of this day or earlier, in timeZone; not together with from and to",
        ),
        query(
            "timeZone",
            MemberKind::String,
            "",
            "The IANA time zone of the days. Defaults to the server's setting, which is UTC unless set",
        ),
        EXCEL,
        AS_OF.meaning(
            "Only what the log had at this cut, which another list, total or page of the log has stated",
        ),
        LIMIT,
        query(
            "cursor",
            MemberKind::String,
            "",
            "The nextCursor of the previous page; the filters must be the same",
        ),
    ],
    answers: &[Answer {
        status: 200,
        when: "A page of billables, or an export",
        body: Body::One(&objects::LIST_OF_BILLABLE),
        headers: &[
            header(
                "Content-Encoding",
                MemberKind::Choice(&["gzip"]),
                "gzip",
                "The compression of an export, if Accept-Encoding allows it",
            ),
            header(
                "Trailer",
                MemberKind::String,
                "row-count, content-sha256",
                "The trailers at the end of an export",
            ),
            STATED_CUT,
        ],
    }],
    errors: &[
        ALWAYS,
        WITH_TOKEN,
        WHEN_READING,
        WITH_INPUT,
        OF_TEXTS,
        OF_CURSORS,
        &[errors::TOO_MUCH, errors::HTTP_VERSION_NOT_SUPPORTED],
    ],
    ..DEFAULTS
};

pub(super) static CHECK_BILLABLES: Operation = Operation {
    name: "CheckBillables",
    summary: "Check which calls or ids are stored",
    notes: &[
        "Compares a carrier's list with the log: each of up to 10,000 inputs is reported as present, voided or missing.",
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
            text: "The callSids to check",
            example: "CA1",
        },
        Member {
            name: "ids",
            location: Location::Body,
            kind: MemberKind::Texts(10_000),
            is_required: false,
            text: "The ids of billables to check; an invalid id is reported as missing",
            example: objects::ID,
        },
    ],
    body: RequestBody::Json,
    answers: &[ok(
        Body::One(&objects::LIST_OF_CHECKED_BILLABLE),
        "The state of each input",
    )],
    errors: &[
        ALWAYS,
        WITH_TOKEN,
        WITH_INPUT,
        WITH_BODY,
        OF_TEXTS,
        &[errors::NOT_EMPTY, errors::TOO_MUCH],
    ],
    ..DEFAULTS
};

pub(super) static GET_BILLABLE: Operation = Operation {
    name: "GetBillable",
    summary: "Get one billable",
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
        WHEN_READING,
        WITH_INPUT,
        &[errors::NOT_EMPTY, errors::NOT_FOUND],
    ],
    ..DEFAULTS
};

pub(super) static GET_BILLABLE_HISTORY: Operation = Operation {
    name: "GetBillableHistory",
    summary: "Get the entries of one billable: its report, attribution and void",
    path: routes::HISTORY,
    by_name: Some(routes::GET_BILLABLE_HISTORY),
    members: &[BILLABLE_ID],
    answers: &[ok(
        Body::One(&objects::LIST_OF_LOG_ENTRY),
        "The entries, in the order of the log",
    )],
    errors: &[
        ALWAYS,
        WITH_TOKEN,
        WHEN_READING,
        WITH_INPUT,
        &[errors::NOT_EMPTY, errors::NOT_FOUND],
    ],
    ..DEFAULTS
};

pub(super) static GET_BILLING: Operation = Operation {
    name: "GetBilling",
    summary: "Get billing totals of whole days, by customer",
    notes: &[
        "A voided billable is subtracted on the day of its call, not on the day of the void. Totals are exact up to the log position in asOf.",
    ],
    path: routes::BILLING,
    takes_suffix: true,
    by_name: Some(routes::GET_BILLING),
    members: &[
        objects::ACCOUNT_ID
            .within(Location::Query)
            .meaning("The account; required for account-limited tokens"),
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
            "day: one total for each customer and day, with the date",
        ),
        EXCEL,
        AS_OF.meaning(
            "The totals at this cut of the log, which another list, total or page of the log has stated",
        ),
    ],
    answers: &[Answer {
        status: 200,
        when: "The totals",
        body: Body::One(&objects::BILLING_INFO),
        headers: &[STATED_CUT],
    }],
    errors: &[
        ALWAYS,
        WITH_TOKEN,
        WHEN_READING,
        WITH_INPUT,
        OF_TEXTS,
        OF_CURSORS,
        &[
            errors::NOT_EMPTY,
            errors::TOO_MUCH,
            errors::HTTP_VERSION_NOT_SUPPORTED,
        ],
    ],
    ..DEFAULTS
};

pub(super) static READ_LOG: Operation = Operation {
    name: "ReadLog",
    summary: "Read the log: all reports, attributions and voids in commit order",
    notes: &[
        "A client can keep a copy of the log: continuing with nextCursor skips and repeats nothing, even if several servers write.",
    ],
    path: routes::LOG,
    by_name: Some(routes::READ_LOG),
    members: &[
        query(
            "after",
            MemberKind::String,
            "",
            "The cursor to continue from, or the asOf of a list or total. Defaults to the beginning of the log",
        ),
        query(
            "accountId",
            MemberKind::Text,
            "",
            "Only entries that bill this account, or name it and bill none",
        ),
        LIMIT,
        query(
            "wait",
            MemberKind::Number(0, 60),
            "0",
            "How many seconds to wait for new entries, if there are none yet",
        ),
    ],
    answers: &[Answer {
        status: 200,
        when: "The entries after the cursor; possibly none yet",
        body: Body::One(&objects::LIST_OF_LOG_ENTRY),
        headers: &[NEXT_CURSOR.required()],
    }],
    errors: &[
        ALWAYS,
        WITH_TOKEN,
        WHEN_READING,
        WITH_INPUT,
        OF_TEXTS,
        OF_CURSORS,
    ],
    ..DEFAULTS
};

pub(super) static GET_SESSION: Operation = Operation {
    name: "GetSession",
    summary: "Get the account and customer that a session is billed to",
    path: routes::SESSION,
    by_name: Some(routes::GET_SESSION),
    members: &[SESSION_ID],
    answers: &[ok(
        Body::One(&objects::SESSION),
        "The account and customer that the session is attributed to",
    )],
    errors: &[
        ALWAYS,
        WITH_TOKEN,
        WHEN_READING,
        WITH_INPUT,
        OF_TEXTS,
        &[errors::NOT_EMPTY, errors::NOT_FOUND],
    ],
    ..DEFAULTS
};
