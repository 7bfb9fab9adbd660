//! Operations on tokens.

use http::Method;

use super::{DEFAULTS, ok};
use crate::contract::errors::{
    self, ALWAYS, Error, OF_TEXTS, WHEN_READING, WHEN_WRITING, WITH_BODY, WITH_INPUT, WITH_TOKEN,
};
use crate::contract::objects;
use crate::contract::{Access, Answer, Body, Operation, RequestBody, Section, routes};
use crate::token::Scope;

/// Errors of the members of a request.
const OF_MEMBERS: &[Error] = &[errors::NOT_EMPTY, errors::PREDICATE];

/// The defaults of operations of administrators.
const ADMIN_DEFAULTS: Operation = Operation {
    section: Section::Tokens,
    access: Access::Scope(Scope::Admin),
    ..DEFAULTS
};

pub(super) static GET_TOKEN: Operation = Operation {
    name: "GetToken",
    summary: "Get what the token of the request may do",
    access: Access::Any,
    path: routes::TOKEN,
    takes_suffix: true,
    by_name: Some(routes::GET_TOKEN),
    answers: &[ok(Body::One(&objects::CURRENT_TOKEN), "The token is valid")],
    errors: &[ALWAYS, WITH_TOKEN, WITH_INPUT, WHEN_READING],
    ..ADMIN_DEFAULTS
};

pub(super) static LIST_TOKENS: Operation = Operation {
    name: "ListTokens",
    summary: "List the tokens that are not revoked, oldest first",
    path: routes::TOKENS,
    takes_suffix: true,
    by_name: Some(routes::LIST_TOKENS),
    answers: &[ok(
        Body::One(&objects::LIST_OF_TOKEN),
        "All tokens, without their secrets",
    )],
    errors: &[ALWAYS, WITH_TOKEN, WITH_INPUT, WHEN_READING],
    ..ADMIN_DEFAULTS
};

pub(super) static CREATE_TOKEN: Operation = Operation {
    name: "CreateToken",
    summary: "Create a token, and its client unless there is one",
    notes: &[
        "The secret is in this response only, and a repeated request creates another token. The new token gets no scope that the token of the request does not have, and it must not expire later. The client names admin and import are reserved.",
        "A member that is not known is refused: a misspelt limit would not limit. The body must not be larger than 64 KiB.",
    ],
    method: Method::POST,
    path: routes::TOKENS,
    takes_suffix: true,
    by_name: Some(routes::CREATE_TOKEN),
    members: &objects::NEW_TOKEN,
    body: RequestBody::Json,
    answers: &[Answer {
        status: 201,
        when: "The token is created",
        body: Body::One(&objects::ISSUED_TOKEN),
        headers: &[],
    }],
    errors: &[
        ALWAYS,
        WHEN_WRITING,
        WITH_TOKEN,
        WITH_INPUT,
        WITH_BODY,
        OF_TEXTS,
        OF_MEMBERS,
    ],
    ..ADMIN_DEFAULTS
};

pub(super) static ROTATE_TOKEN: Operation = Operation {
    name: "RotateToken",
    summary: "Create a token with the rights and the rate of another one, which then ends",
    notes: &[
        "The secret is in this response only. The old token works until the overlap ends. The new token gets no scope that the token of the request does not have, and it must not expire later.",
    ],
    method: Method::POST,
    path: routes::ROTATION,
    by_name: Some(routes::ROTATE_TOKEN),
    members: &objects::NEW_SECRET,
    body: RequestBody::Json,
    answers: &[Answer {
        status: 201,
        when: "The new token is created",
        body: Body::One(&objects::ISSUED_TOKEN),
        headers: &[],
    }],
    errors: &[
        ALWAYS,
        WHEN_WRITING,
        WITH_TOKEN,
        WITH_INPUT,
        WITH_BODY,
        OF_MEMBERS,
        &[errors::NOT_FOUND],
    ],
    ..ADMIN_DEFAULTS
};

pub(super) static REVOKE_TOKEN: Operation = Operation {
    name: "RevokeToken",
    summary: "Revoke a token, which every server then refuses within 5 seconds",
    notes: &["The tokens that it created stay valid."],
    method: Method::DELETE,
    path: routes::REVOCATION,
    by_name: Some(routes::REVOKE_TOKEN),
    members: &[objects::TOKEN_OF_PATH],
    answers: &[Answer {
        status: 204,
        when: "The token is revoked",
        body: Body::Nothing,
        headers: &[],
    }],
    errors: &[
        ALWAYS,
        WITH_TOKEN,
        WITH_INPUT,
        &[errors::NOT_EMPTY, errors::PREDICATE, errors::NOT_FOUND],
    ],
    ..ADMIN_DEFAULTS
};
