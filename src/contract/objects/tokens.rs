//! The objects of tokens, and the members of the requests that create and rotate them.

use crate::contract::types::{Location, Member, MemberKind, Type, always, maybe};

const ID: &str = "019ab7f2-6d1c-7a52-9d5d-3f6d6a0f7a11";
const SCOPES: MemberKind = MemberKind::Texts(4);
const RULES: MemberKind = MemberKind::Texts(100);

const TOKEN_ID: Member = always(
    "id",
    MemberKind::Id,
    ID,
    "The token's id, which is not secret",
);

/// The token that a path names.
pub const TOKEN_OF_PATH: Member = TOKEN_ID
    .within(Location::Path)
    .meaning("The token's id, as listed");

const CLIENT: Member = always(
    "client",
    MemberKind::String,
    "exchange",
    "The client that the token belongs to",
);
const HELD_SCOPES: Member = always(
    "scopes",
    SCOPES,
    "report",
    "What the token may do: report, read, bill, admin",
);
const ACCOUNTS: Member = maybe(
    "accounts",
    MemberKind::Texts(usize::MAX),
    "acc",
    "The accounts that the client is limited to; absent if it is not limited",
);
const RATE: Member = maybe(
    "rate",
    MemberKind::String,
    "100/s",
    "The maximum rate of requests to each server; absent if there is none",
);
const EXPIRES: Member = maybe(
    "expires",
    MemberKind::Timestamp,
    "2027-03-01T08:30:00.000000Z",
    "When the token expires; absent for never",
);

pub static CURRENT_TOKEN: Type = Type {
    name: "CurrentToken",
    text: "The token of the request",
    members: &[
        CLIENT,
        HELD_SCOPES,
        ACCOUNTS,
        RATE,
        EXPIRES,
        always(
            "epoch",
            MemberKind::Id,
            "5b0a2f0e-6f5d-8a3e-9c1b-7d2e4f6a8b90",
            "Identifies the log; a restored backup has another one",
        ),
    ],
};

const SENDER: Member = maybe(
    "sender",
    MemberKind::String,
    "",
    "The sender whose profile reads the reports",
);
const MAP: Member = maybe("map", RULES, "", "Where fields are, as FIELD=AT");
const ONLY: Member = maybe(
    "only",
    RULES,
    "",
    "Which events are stored, as AT=VALUE[,VALUE]",
);
const ANSWERED: Member = maybe(
    "answered",
    MemberKind::Bool,
    "",
    "Whether calls that were not answered are ignored",
);
const TIME_FORMAT: Member = maybe(
    "timeFormat",
    MemberKind::String,
    "",
    "The pattern of a mapped occurredAt",
);
const TIME_ZONE: Member = maybe(
    "timeZone",
    MemberKind::String,
    "",
    "The IANA time zone of an occurredAt without an offset",
);
const CUSTOMER: Member = maybe(
    "customer",
    MemberKind::Text,
    "",
    "The customer of every report",
);
const REQUIRE_IDENTITY: Member = maybe(
    "requireIdentity",
    MemberKind::Bool,
    "",
    "Whether reports without callSid and Idempotency-Key are refused",
);
const HOOK: Member = maybe(
    "hook",
    MemberKind::Bool,
    "",
    "Whether the secret is a part of a URL, for a sender that can set no header",
);

pub static TOKEN: Type = Type {
    name: "Token",
    text: "A token that is not revoked, without its secret",
    members: &[
        TOKEN_ID,
        CLIENT,
        HELD_SCOPES,
        ACCOUNTS,
        RATE,
        EXPIRES,
        always(
            "created",
            MemberKind::Timestamp,
            "2026-03-01T08:30:00.000000Z",
            "When the token was created",
        ),
        maybe(
            "lastUsed",
            MemberKind::Timestamp,
            "2026-03-01T08:30:00.000000Z",
            "When the token was last used, to the minute; absent for never",
        ),
        SENDER,
        MAP,
        ONLY,
        ANSWERED,
        TIME_FORMAT,
        TIME_ZONE,
        CUSTOMER
            .renamed("account")
            .meaning("The account of every report"),
        CUSTOMER,
        REQUIRE_IDENTITY,
        HOOK,
    ],
};

pub static LIST_OF_TOKEN: Type = Type {
    name: "ListOfToken",
    text: "The tokens that are not revoked",
    members: &[always(
        "items",
        MemberKind::List(&TOKEN),
        "",
        "The tokens, oldest first",
    )],
};

pub static ISSUED_TOKEN: Type = Type {
    name: "IssuedToken",
    text: "A new token, whose secret is shown only here",
    members: &[
        TOKEN_ID,
        CLIENT,
        HELD_SCOPES,
        ACCOUNTS,
        RATE,
        EXPIRES,
        maybe(
            "secret",
            MemberKind::String,
            "bil_…",
            "The secret, to send as a bearer token; absent for a hook",
        ),
        maybe(
            "hookPath",
            MemberKind::String,
            "",
            "The path of the hook's URL, which has the secret; absent for other tokens",
        ),
    ],
};

/// The members of a request for a token.
pub static NEW_TOKEN: [Member; 14] = [
    CLIENT.meaning("The client that the token belongs to: 1 to 64 of the characters A-Z a-z 0-9 . _ -"),
    HELD_SCOPES.optional().meaning("What the token may do: report, read, bill, admin. Defaults to report"),
    ACCOUNTS.meaning("The accounts that the client is limited to, for a client's first token; no limit if absent"),
    NEW_EXPIRES,
    RATE.meaning("The maximum rate of requests to each server, such as 100/s, 6000/m or 1000/h; no limit if absent"),
    SENDER.meaning("The sender whose profile reads the reports, such as twilio"),
    MAP,
    ONLY,
    ANSWERED,
    TIME_FORMAT,
    TIME_ZONE,
    CUSTOMER.meaning("The customer of every report, whose account is the client's only one; with a sender or a mapping"),
    REQUIRE_IDENTITY,
    HOOK,
];

const NEW_EXPIRES: Member = maybe(
    "expires",
    MemberKind::String,
    "90d",
    "The time from now until the token expires, such as 90d; never if absent",
);

/// The members of a request to rotate a token.
pub static NEW_SECRET: [Member; 3] = [
    TOKEN_OF_PATH,
    maybe(
        "overlap",
        MemberKind::String,
        "7d",
        "How long the old token keeps working, unless it expires earlier; 0s ends it immediately. Defaults to 7d",
    ),
    NEW_EXPIRES.meaning(
        "The time from now until the new token expires, such as 90d; required if the old one expires",
    ),
];
