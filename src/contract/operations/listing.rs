//! Operations that list accounts and undecided sessions.

use super::reading::{LIMIT, NEXT_CURSOR};
use super::{DEFAULTS, query};
use crate::contract::errors::{self, ALWAYS, WHEN_READING, WITH_INPUT, WITH_TOKEN};
use crate::contract::objects;
use crate::contract::types::{Location, Member, MemberKind};
use crate::contract::{Answer, Body, Operation, routes};

const CURSOR: Member = query(
    "cursor",
    MemberKind::String,
    "",
    "The nextCursor of the previous page",
);

pub(super) static LIST_ACCOUNTS: Operation = Operation {
    name: "ListAccounts",
    summary: "List accounts with what they have been billed",
    notes: &[
        "Account-limited tokens get their own accounts. A page may have fewer items than limit; a page without nextCursor is the last.",
    ],
    path: routes::ACCOUNTS,
    takes_suffix: true,
    by_name: Some(routes::LIST_ACCOUNTS),
    members: &[objects::TIME_ZONE.within(Location::Query), LIMIT, CURSOR],
    answers: &[Answer {
        status: 200,
        when: "A page of accounts",
        body: Body::One(&objects::LIST_OF_ACCOUNT),
        headers: &[NEXT_CURSOR],
    }],
    errors: &[
        ALWAYS,
        WITH_TOKEN,
        WHEN_READING,
        WITH_INPUT,
        &[
            errors::PREDICATE,
            errors::INVALID_CURSOR,
            errors::CURSOR_GONE,
        ],
    ],
    ..DEFAULTS
};

pub(super) static LIST_SESSIONS: Operation = Operation {
    name: "ListSessions",
    summary: "List the sessions that have billables which bill nobody",
    notes: &[
        "Account-limited tokens get the sessions of reports that name one of their accounts, and count only those. A page may have fewer items than limit; a page without nextCursor is the last.",
    ],
    path: routes::SESSIONS,
    takes_suffix: true,
    by_name: Some(routes::LIST_SESSIONS),
    members: &[
        query(
            "state",
            MemberKind::Choice(&["undecided"]),
            "undecided",
            "undecided: the only sessions that are listed",
        )
        .required(),
        LIMIT,
        CURSOR,
    ],
    answers: &[Answer {
        status: 200,
        when: "A page of sessions",
        body: Body::One(&objects::LIST_OF_UNDECIDED_SESSION),
        headers: &[NEXT_CURSOR],
    }],
    errors: &[
        ALWAYS,
        WITH_TOKEN,
        WHEN_READING,
        WITH_INPUT,
        &[
            errors::PREDICATE,
            errors::INVALID_CURSOR,
            errors::CURSOR_GONE,
        ],
    ],
    ..DEFAULTS
};
