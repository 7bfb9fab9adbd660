//! For whoever runs the service.

use super::{METRICS_TYPE, OPEN, READING, ok};
use crate::contract::errors::{self, ALWAYS, Error, WITH_TOKEN};
use crate::contract::objects;
use crate::contract::{Access, Body, Operation, Section, routes};
use crate::token::Scope;

/// What is answered where probes and metrics have an address of their own.
const ELSEWHERE: &[Error] = &[errors::NOT_FOUND];

/// See that the process lives.
pub(super) static GET_LIVEZ: Operation = Operation {
    name: "GetLivez",
    section: Section::Running,
    summary: "See that the process lives",
    path: routes::LIVEZ,
    answers: &[ok(Body::One(&objects::HEALTH), "It does")],
    errors: &[ALWAYS, ELSEWHERE],
    ..OPEN
};

/// See that the service can store.
pub(super) static GET_READYZ: Operation = Operation {
    name: "GetReadyz",
    section: Section::Running,
    summary: "See that the service can store",
    path: routes::READYZ,
    answers: &[ok(Body::One(&objects::HEALTH), "It can")],
    errors: &[
        ALWAYS,
        ELSEWHERE,
        &[errors::STORE_UNAVAILABLE, errors::STOPPING],
    ],
    ..OPEN
};

/// See what the process counts, for Prometheus.
pub(super) static GET_METRICS: Operation = Operation {
    name: "GetMetrics",
    section: Section::Running,
    summary: "See what the process counts, for Prometheus",
    notes: &["Where probes have an address of their own it is there, and needs no token."],
    access: Access::Unlimited(Scope::Read),
    path: routes::METRICS,
    answers: &[ok(
        Body::Document(&[METRICS_TYPE]),
        "Every metric, with what it means",
    )],
    errors: &[ALWAYS, WITH_TOKEN, ELSEWHERE],
    ..READING
};
