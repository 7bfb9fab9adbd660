//! The documentation itself.

use super::{HTML, LANGUAGES, OPEN, header, ok, query};
use crate::contract::errors::{self, ALWAYS};
use crate::contract::routes::FORMATS;
use crate::contract::types::{Location, MemberKind};
use crate::contract::{Answer, Body, Operation, Section, routes};

/// A page may load nothing, and tells nobody where its reader was.
const PAGE: Answer = Answer {
    status: 200,
    when: "The page",
    body: Body::Document(&[HTML]),
    headers: &[
        header(
            "Content-Security-Policy",
            MemberKind::String,
            "default-src 'none'",
            "What the page may load and do: nothing from elsewhere",
        )
        .required(),
        header(
            "Referrer-Policy",
            MemberKind::Choice(&["no-referrer"]),
            "no-referrer",
            "Nobody is told where the reader was",
        )
        .required(),
        header(
            "Cross-Origin-Opener-Policy",
            MemberKind::Choice(&["same-origin"]),
            "same-origin",
            "Pages from elsewhere have no hold on it",
        )
        .required(),
    ],
};

/// What this is, and where to begin.
pub(super) static GET_FRONT_PAGE: Operation = Operation {
    name: "GetFrontPage",
    section: Section::Documentation,
    summary: "What this is, and where to begin",
    path: routes::FRONT,
    answers: &[PAGE],
    ..OPEN
};

/// The operations, as a page.
pub(super) static GET_METADATA: Operation = Operation {
    name: "GetMetadata",
    section: Section::Documentation,
    summary: "The operations, as a page",
    path: routes::METADATA,
    answers: &[PAGE],
    ..OPEN
};

/// One operation, with samples in a format, as a page.
pub(super) static GET_OPERATION_METADATA: Operation = Operation {
    name: "GetOperationMetadata",
    section: Section::Documentation,
    summary: "One operation, with samples in a format, as a page",
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
    ..OPEN
};

/// The DTOs in a language.
pub(super) static GET_TYPES: Operation = Operation {
    name: "GetTypes",
    section: Section::Documentation,
    summary: "The DTOs in a language",
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
            "Only these operations, with commas between them",
        ),
    ],
    answers: &[ok(
        Body::Document(&[
            "text/plain; charset=utf-8",
            "text/javascript; charset=utf-8",
        ]),
        "The source",
    )],
    errors: &[ALWAYS, &[errors::MALFORMED, errors::NOT_FOUND]],
    ..OPEN
};

/// This description for programs, as OpenAPI 3.1.
pub(super) static GET_OPEN_API: Operation = Operation {
    name: "GetOpenApi",
    section: Section::Documentation,
    summary: "This description for programs, as OpenAPI 3.1",
    path: routes::OPENAPI,
    answers: &[ok(
        Body::Document(&["application/json; charset=utf-8"]),
        "The document",
    )],
    ..OPEN
};
