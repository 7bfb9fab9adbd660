//! Accounts and undecided sessions.

use super::{ACCOUNT_ID, NEXT_CURSOR, SESSION_ID};
use crate::contract::types::{MemberKind, Type, always};

pub static ACCOUNT: Type = Type {
    name: "Account",
    text: "What an account has been billed",
    members: &[
        ACCOUNT_ID.required().meaning("The account"),
        always(
            "firstDay",
            MemberKind::Date,
            "2026-03-01",
            "The day of its first call, voided ones included",
        ),
        always(
            "lastDay",
            MemberKind::Date,
            "2026-03-31",
            "The day of its last call, voided ones included",
        ),
        always(
            "billableCount",
            MemberKind::Number(0, i64::MAX),
            "1",
            "The number of billables that are not voided",
        ),
        always(
            "voidedCount",
            MemberKind::Number(0, i64::MAX),
            "0",
            "The number of voided billables",
        ),
    ],
};

pub static LIST_OF_ACCOUNT: Type = Type {
    name: "ListOfAccount",
    text: "A page of accounts. In csv and ndjson, the accounts as rows",
    members: &[
        always(
            "items",
            MemberKind::List(&ACCOUNT),
            "",
            "The accounts, by their ids",
        ),
        NEXT_CURSOR,
    ],
};

pub static UNDECIDED_SESSION: Type = Type {
    name: "UndecidedSession",
    text: "A session with billables that bill nobody",
    members: &[
        SESSION_ID.required().meaning("The session"),
        always(
            "count",
            MemberKind::Number(1, i64::MAX),
            "2",
            "The number of unattributed billables",
        ),
        always(
            "first",
            MemberKind::Timestamp,
            "2026-03-01T08:30:00.000000Z",
            "When its first unattributed call happened, or an earlier one that was attributed or voided since",
        ),
        always(
            "reason",
            MemberKind::Choice(&["notDecided", "contradicted"]),
            "notDecided",
            "notDecided: attribute the session; contradicted: the reports name another account or customer than the session is billed to, so void these billables and report the calls again",
        ),
    ],
};

pub static LIST_OF_UNDECIDED_SESSION: Type = Type {
    name: "ListOfUndecidedSession",
    text: "A page of undecided sessions. In csv and ndjson, the sessions as rows",
    members: &[
        always(
            "items",
            MemberKind::List(&UNDECIDED_SESSION),
            "",
            "The sessions, by their ids",
        ),
        NEXT_CURSOR,
    ],
};
