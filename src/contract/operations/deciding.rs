//! Operations that void billables and attribute sessions.

use http::Method;

use super::{BILLABLE_ID, DEFAULTS, IDEMPOTENT_REPLAYED, SESSION_ID, ok};
use crate::contract::errors::{
    self, ALWAYS, OF_TEXTS, WHEN_WRITING, WITH_BODY, WITH_INPUT, WITH_TOKEN,
};
use crate::contract::objects;
use crate::contract::types::{Location, Member, MemberKind};
use crate::contract::{Access, Answer, Body, Operation, RequestBody, Section, routes};
use crate::token::Scope;

pub(super) static VOID_BILLABLE: Operation = Operation {
    name: "VoidBillable",
    section: Section::Deciding,
    summary: "Void a billable, so that it is not billed",
    notes: &[
        "A billable of any age can be voided, and a void cannot be undone; repeating it changes nothing and keeps the first reason. To bill the call again, report it with a new Idempotency-Key.",
    ],
    access: Access::Scope(Scope::Bill),
    method: Method::POST,
    path: routes::VOID,
    by_name: Some(routes::VOID_BILLABLE),
    members: &[
        BILLABLE_ID,
        Member {
            name: "reason",
            location: Location::Body,
            kind: MemberKind::Text,
            is_required: false,
            text: "Why the billable is voided",
            example: "a test call",
        },
    ],
    body: RequestBody::Json,
    answers: &[Answer {
        status: 200,
        when: "The billable is voided",
        body: Body::One(&objects::BILLABLE),
        headers: &[IDEMPOTENT_REPLAYED],
    }],
    errors: &[
        ALWAYS,
        WHEN_WRITING,
        WITH_TOKEN,
        WITH_INPUT,
        WITH_BODY,
        OF_TEXTS,
        &[errors::NOT_EMPTY, errors::PREDICATE, errors::NOT_FOUND],
    ],
    ..DEFAULTS
};

pub(super) static VOID_BILLABLES: Operation = Operation {
    name: "VoidBillables",
    section: Section::Deciding,
    summary: "Void up to 10,000 billables",
    notes: &[
        "If an id is not a UUID, or a reason cannot be stored, nothing is voided and all such items are listed. Otherwise each item has an outcome: voided, replayed (it was voided before, with its first reason) or missing. After a 503 some may be voided; the same request again voids the others.",
        "The body may also be CSV with the columns id and reason.",
    ],
    access: Access::Scope(Scope::Bill),
    method: Method::POST,
    path: routes::VOIDS,
    by_name: Some(routes::VOID_BILLABLES),
    members: &[
        Member {
            name: "ids",
            location: Location::Body,
            kind: MemberKind::Ids(10_000),
            is_required: true,
            text: "The ids of the billables",
            example: objects::ID,
        },
        Member {
            name: "reason",
            location: Location::Body,
            kind: MemberKind::Text,
            is_required: false,
            text: "Why the billables are voided",
            example: "a test call",
        },
    ],
    body: RequestBody::Rows("id,reason\r\nd1719a49-b256-8620-b8ed-069900bed70a,a test call\r\n"),
    answers: &[ok(
        Body::One(&objects::LIST_OF_DECIDED),
        "The outcome of each item",
    )],
    errors: &[
        ALWAYS,
        WHEN_WRITING,
        WITH_TOKEN,
        WITH_INPUT,
        WITH_BODY,
        OF_TEXTS,
        &[errors::NOT_EMPTY, errors::PREDICATE],
    ],
    ..DEFAULTS
};

pub(super) static ATTRIBUTE_SESSIONS: Operation = Operation {
    name: "AttributeSessions",
    section: Section::Deciding,
    summary: "Attribute up to 10,000 sessions, each to the account and customer that it is billed to",
    notes: &[
        "If an item cannot be read, nothing is decided and all such items are listed. Otherwise each item has an outcome: decided, same (it was decided like this before), conflict (it is billed to another account or customer, and stays so) or pending (it is decided, and its billables are still being attributed). After a 503 some may be decided; the same request again decides the others.",
        "The body may also be the array alone, or CSV with the columns sessionId, accountId and customerId.",
    ],
    access: Access::Unlimited(Scope::Bill),
    method: Method::PUT,
    path: routes::SESSIONS,
    takes_suffix: true,
    by_name: Some(routes::ATTRIBUTE_SESSIONS),
    members: &[Member {
        name: "sessions",
        location: Location::Body,
        kind: MemberKind::List(&objects::SESSION_PAIR),
        is_required: true,
        text: "The sessions",
        example: "",
    }],
    body: RequestBody::Rows("sessionId,accountId,customerId\r\nS1,acc,cus\r\n"),
    answers: &[ok(
        Body::One(&objects::LIST_OF_DECIDED),
        "The outcome of each item",
    )],
    errors: &[
        ALWAYS,
        WHEN_WRITING,
        WITH_TOKEN,
        WITH_INPUT,
        WITH_BODY,
        OF_TEXTS,
        &[errors::NOT_EMPTY, errors::PREDICATE],
    ],
    ..DEFAULTS
};

pub(super) static ATTRIBUTE_SESSION: Operation = Operation {
    name: "AttributeSession",
    section: Section::Deciding,
    summary: "Attribute a session to the account and customer that it is billed to",
    notes: &[
        "The unattributed billables of the session, including future ones, are billed to this account and customer. The attribution is final: repeating it gets 200, another account or customer gets 409. To correct a wrong attribution, void the billables and report the calls again with the right accountId and customerId.",
    ],
    access: Access::Unlimited(Scope::Bill),
    method: Method::PUT,
    path: routes::SESSION,
    by_name: Some(routes::ATTRIBUTE_SESSION),
    members: &[
        SESSION_ID,
        objects::ACCOUNT_ID.required(),
        objects::CUSTOMER_ID.required(),
    ],
    body: RequestBody::Json,
    answers: &[
        ok(
            Body::One(&objects::SESSION),
            "The session and all its billables are attributed",
        ),
        Answer {
            status: 202,
            when: "The session is attributed; its billables are still being attributed",
            body: Body::One(&objects::SESSION),
            headers: &[],
        },
    ],
    errors: &[
        ALWAYS,
        WHEN_WRITING,
        WITH_TOKEN,
        WITH_INPUT,
        WITH_BODY,
        OF_TEXTS,
        &[
            errors::NOT_EMPTY,
            errors::NOT_FOUND,
            errors::ATTRIBUTION_CONFLICT,
            errors::PREDICATE,
        ],
    ],
    ..DEFAULTS
};
