//! Operations that return the documentation.

use super::{HTML, LANGUAGES, OPEN_DEFAULTS, header, ok, query};
use crate::contract::errors::{self, ALWAYS};
use crate::contract::routes::FORMATS;
use crate::contract::types::{Location, Member, MemberKind};
use crate::contract::{Answer, Body, Operation, Section, routes};

/// A page. It may load nothing from elsewhere, and its links send no referrer.
const PAGE: Answer = Answer {
    status: 200,
    when: "The page",
    body: Body::Document(&[HTML]),
    headers: &[
        header(
            "Content-Security-Policy",
            MemberKind::String,
            "default-src 'none'",
            "What the page may load and do: nothing from other servers",
        )
        .required(),
        header(
            "Referrer-Policy",
            MemberKind::Choice(&["no-referrer"]),
            "no-referrer",
            "The browser sends no Referer from this page",
        )
        .required(),
        header(
            "Cross-Origin-Opener-Policy",
            MemberKind::Choice(&["same-origin"]),
            "same-origin",
            "Pages of other origins cannot access this page's window",
        )
        .required(),
    ],
};

pub(super) static GET_FRONT_PAGE: Operation = Operation {
    name: "GetFrontPage",
    section: Section::Documentation,
    summary: "Get the front page: an introduction and the first steps",
    path: routes::FRONT,
    answers: &[PAGE],
    ..OPEN_DEFAULTS
};

pub(super) static GET_MANUAL: Operation = Operation {
    name: "GetManual",
    section: Section::Documentation,
    summary: "Get the first page of the manual",
    path: routes::MANUAL,
    answers: &[PAGE],
    ..OPEN_DEFAULTS
};

const PAGE_NAME: Member = query("page", MemberKind::String, "reporting", "The page's name")
    .within(Location::Path)
    .required();

pub(super) static GET_MANUAL_PAGE: Operation = Operation {
    name: "GetManualPage",
    section: Section::Documentation,
    summary: "Get a page of the manual",
    path: routes::MANUAL_PAGE,
    members: &[PAGE_NAME],
    answers: &[PAGE],
    errors: &[ALWAYS, &[errors::NOT_FOUND]],
    ..OPEN_DEFAULTS
};

pub(super) static GET_MANUAL_SUBPAGE: Operation = Operation {
    name: "GetManualSubpage",
    section: Section::Documentation,
    summary: "Get a page of a section of the manual",
    path: routes::MANUAL_SUBPAGE,
    members: &[
        query(
            "section",
            MemberKind::String,
            "senders",
            "The section's name",
        )
        .within(Location::Path)
        .required(),
        Member {
            example: "twilio",
            ..PAGE_NAME
        },
    ],
    answers: &[PAGE],
    errors: &[ALWAYS, &[errors::NOT_FOUND]],
    ..OPEN_DEFAULTS
};

pub(super) static GET_METADATA: Operation = Operation {
    name: "GetMetadata",
    section: Section::Documentation,
    summary: "List all operations, as a page",
    path: routes::METADATA,
    answers: &[PAGE],
    ..OPEN_DEFAULTS
};

pub(super) static GET_OPERATION_METADATA: Operation = Operation {
    name: "GetOperationMetadata",
    section: Section::Documentation,
    summary: "Describe one operation with samples in a format, as a page",
    path: routes::OPERATION_METADATA,
    members: &[
        query(
            "format",
            MemberKind::Choice(FORMATS),
            "xml",
            "The format of the samples",
        )
        .within(Location::Path)
        .required(),
        query("op", MemberKind::String, "NewBillable", "The operation").required(),
        query(
            "lang",
            MemberKind::Choice(LANGUAGES),
            "typescript",
            "Show its DTO in this language",
        ),
    ],
    answers: &[PAGE],
    errors: &[ALWAYS, &[errors::MALFORMED, errors::NOT_FOUND]],
    ..OPEN_DEFAULTS
};

pub(super) static GET_TYPES: Operation = Operation {
    name: "GetTypes",
    section: Section::Documentation,
    summary: "Get the DTOs in a programming language",
    path: routes::TYPES,
    members: &[
        query(
            "lang",
            MemberKind::Choice(LANGUAGES),
            "typescript",
            "The language",
        )
        .within(Location::Path)
        .required(),
        query(
            "IncludeTypes",
            MemberKind::String,
            "NewBillable",
            "Only these operations, separated by commas",
        ),
    ],
    answers: &[ok(
        Body::Document(&[
            "text/plain; charset=utf-8",
            "text/javascript; charset=utf-8",
        ]),
        "The source code",
    )],
    errors: &[ALWAYS, &[errors::MALFORMED, errors::NOT_FOUND]],
    ..OPEN_DEFAULTS
};

pub(super) static GET_OPEN_API: Operation = Operation {
    name: "GetOpenApi",
    section: Section::Documentation,
    summary: "Get the description of this API as OpenAPI 3.1",
    path: routes::OPENAPI,
    answers: &[ok(
        Body::Document(&["application/json; charset=utf-8"]),
        "The document",
    )],
    ..OPEN_DEFAULTS
};
