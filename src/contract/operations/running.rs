//! Probes, metrics and refused requests, for operators of the service.

use super::{DEFAULTS, METRICS_TYPE, OPEN_DEFAULTS, ok};
use crate::contract::errors::{self, ALWAYS, Error, WHEN_READING, WHEN_WRITING, WITH_TOKEN};
use crate::contract::objects;
use crate::contract::{Access, Body, Operation, Section, routes};
use crate::token::Scope;

/// Returned if probes and metrics are served on a separate address.
const ELSEWHERE: &[Error] = &[errors::NOT_FOUND];

pub(super) static GET_LIVEZ: Operation = Operation {
    name: "GetLivez",
    section: Section::Running,
    summary: "Check that the process is alive",
    path: routes::LIVEZ,
    answers: &[ok(Body::One(&objects::HEALTH), "The process is alive")],
    errors: &[ALWAYS, ELSEWHERE],
    ..OPEN_DEFAULTS
};

pub(super) static GET_READYZ: Operation = Operation {
    name: "GetReadyz",
    section: Section::Running,
    summary: "Check that the service can store reports",
    path: routes::READYZ,
    answers: &[ok(
        Body::One(&objects::READINESS),
        "The service can store reports",
    )],
    errors: &[
        ALWAYS,
        ELSEWHERE,
        WHEN_WRITING,
        &[errors::STORE_UNAVAILABLE, errors::STOPPING],
    ],
    ..OPEN_DEFAULTS
};

pub(super) static GET_METRICS: Operation = Operation {
    name: "GetMetrics",
    section: Section::Running,
    summary: "Get the metrics of the process, for Prometheus",
    notes: &["If probes have a separate address, the metrics are served there and need no token."],
    access: Access::Unlimited(Scope::Read),
    path: routes::METRICS,
    answers: &[ok(
        Body::Document(&[METRICS_TYPE]),
        "All metrics, with their descriptions",
    )],
    errors: &[ALWAYS, WITH_TOKEN, WHEN_READING, ELSEWHERE],
    ..DEFAULTS
};

pub(super) static LIST_REFUSALS: Operation = Operation {
    name: "ListRefusals",
    section: Section::Running,
    summary: "List the last refused requests, newest first",
    notes: &[
        "The last 100 of each client, the last 100 without a valid token, and 1,000 in all. They are in the memory of the server that refused them.",
    ],
    access: Access::Scope(Scope::Admin),
    path: routes::REFUSALS,
    takes_suffix: true,
    by_name: Some(routes::LIST_REFUSALS),
    answers: &[ok(
        Body::One(&objects::LIST_OF_REFUSAL),
        "The refused requests",
    )],
    errors: &[ALWAYS, WITH_TOKEN, WHEN_READING],
    ..DEFAULTS
};
