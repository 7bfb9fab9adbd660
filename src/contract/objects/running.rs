//! The objects of probes and refused requests.

use crate::contract::types::{Member, MemberKind, Type, always, maybe};

const STATUS: Member = always("status", MemberKind::Choice(&["ok"]), "ok", "Always ok");

pub static HEALTH: Type = Type {
    name: "Health",
    text: "The health of the process",
    members: &[STATUS],
};

pub static READINESS: Type = Type {
    name: "Readiness",
    text: "Whether reports can be stored",
    members: &[
        STATUS,
        always(
            "writablePartitions",
            MemberKind::Number(1, 256),
            "1",
            "How many partitions of the log can be written",
        ),
        always(
            "partitions",
            MemberKind::Number(1, 256),
            "1",
            "How many partitions the log has",
        ),
    ],
};

pub static REFUSAL: Type = Type {
    name: "Refusal",
    text: "A request that was refused, or that failed",
    members: &[
        always(
            "time",
            MemberKind::Timestamp,
            "2026-11-24T08:15:27.402113Z",
            "When it was answered",
        ),
        maybe(
            "peer",
            MemberKind::String,
            "192.0.2.1",
            "The address that it came from; behind a proxy, the last one in X-Forwarded-For",
        ),
        maybe(
            "client",
            MemberKind::String,
            "pbx",
            "The client; absent if the token was missing or invalid",
        ),
        maybe(
            "sender",
            MemberKind::String,
            "twilio",
            "The sender profile that the report was read with; absent for our own names",
        ),
        always(
            "route",
            MemberKind::String,
            "/billables",
            "The route, or other if no route matched",
        ),
        always(
            "status",
            MemberKind::Number(400, 599),
            "400",
            "The status of the response",
        ),
        always(
            "code",
            MemberKind::String,
            "NotEmpty",
            "The errorCode of the response",
        ),
        maybe(
            "field",
            MemberKind::String,
            "AccountId",
            "The first field that is to blame",
        ),
        always(
            "message",
            MemberKind::String,
            "accountId is required",
            "The message of the response, on one line of at most 300 characters",
        ),
        always(
            "requestId",
            MemberKind::String,
            "0193f5f0-8f5c-7a52-9d5d-3f6d6a0f7a11",
            "The X-Request-Id, which log lines have too",
        ),
    ],
};

pub static LIST_OF_REFUSAL: Type = Type {
    name: "ListOfRefusal",
    text: "The last refused requests",
    members: &[always(
        "items",
        MemberKind::List(&REFUSAL),
        "",
        "The refused requests, newest first",
    )],
};
