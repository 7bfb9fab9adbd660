//! What is decided about billables afterwards.

use http::Method;

use super::{BILLABLE_ID, IDEMPOTENT_REPLAYED, READING, SESSION_ID, ok};
use crate::contract::errors::{self, ALWAYS, OF_TEXTS, WITH_BODY, WITH_INPUT, WITH_TOKEN};
use crate::contract::objects;
use crate::contract::types::{Location, Member, MemberKind};
use crate::contract::{Access, Answer, Body, Operation, RequestBody, Section, routes};
use crate::token::Scope;

/// Void a billable: it is not to be billed.
pub(super) static VOID_BILLABLE: Operation = Operation {
    name: "VoidBillable",
    section: Section::Deciding,
    summary: "Void a billable: it is not to be billed",
    notes: &[
        "Of any age, and for ever: again is the same, and the first reason stays. To bill the call again, report it with a new Idempotency-Key.",
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
            text: "Why",
            example: "a test call",
        },
    ],
    body: RequestBody::Json,
    answers: &[Answer {
        status: 200,
        when: "It is voided",
        body: Body::One(&objects::BILLABLE),
        headers: &[IDEMPOTENT_REPLAYED],
    }],
    errors: &[
        ALWAYS,
        WITH_TOKEN,
        WITH_INPUT,
        WITH_BODY,
        OF_TEXTS,
        &[errors::NOT_EMPTY, errors::PREDICATE, errors::NOT_FOUND],
    ],
    ..READING
};

/// Decide whom a session is billed to, once.
pub(super) static ATTRIBUTE_SESSION: Operation = Operation {
    name: "AttributeSession",
    section: Section::Deciding,
    summary: "Decide whom a session is billed to, once",
    notes: &[
        "Its billables that have nobody to bill get the pair, and so do those to come. The same again is 200, another pair 409. A wrong decision is mended by voids and by new reports that name the pair.",
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
            "Decided, and every billable has the pair",
        ),
        Answer {
            status: 202,
            when: "Decided; the billables get the pair, which goes on",
            body: Body::One(&objects::SESSION),
            headers: &[],
        },
    ],
    errors: &[
        ALWAYS,
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
    ..READING
};
