//! The API as data: operations with their requests, responses, errors and paths.
//!
//! The documentation and the OpenAPI document are generated from it. `api/path.rs` accepts only
//! paths that are listed here, and the routing table in `api.rs` uses its constants.

pub mod errors;
pub mod objects;
pub mod operations;
pub mod routes;
pub mod types;

use http::Method;

use crate::token::Scope;
use errors::Error;
pub use operations::OPERATIONS;
use types::{Member, Type};

/// An operation of the HTTP API.
#[derive(Debug)]
pub struct Operation {
    /// The name of its DTO, which is also used in `/api/…` and in the documentation.
    pub name: &'static str,
    /// The heading that it is listed under.
    pub section: Section,
    /// A one-line description.
    pub summary: &'static str,
    /// Further paragraphs of the description.
    pub notes: &'static [&'static str],
    /// Who may call it.
    pub access: Access,
    pub method: Method,
    /// The route, with parameters in braces.
    pub path: &'static str,
    /// Whether the path may end in a format such as `.xml`.
    pub takes_suffix: bool,
    /// The canonical ServiceStack route, `/api/NAME`, to which the operation's other ServiceStack
    /// routes are mapped.
    pub by_name: Option<&'static str>,
    /// The canonical ServiceStack route for a batch.
    pub batch_by_name: Option<&'static str>,
    /// The members of its request.
    pub members: &'static [Member],
    /// The kinds of request body that it accepts.
    pub body: RequestBody,
    /// The successful responses on its resource path.
    pub answers: &'static [Answer],
    /// The errors that it may return, in groups.
    pub errors: &'static [&'static [Error]],
}

/// A heading of the documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// What telephony backends send.
    Reporting,
    Reading,
    /// Voiding billables and attributing sessions.
    Deciding,
    Tokens,
    /// Probes, metrics and refused requests, for operators of the service.
    Running,
    Documentation,
}

impl Section {
    /// Every section, in the order of the documentation.
    pub const ALL: [Self; 6] = [
        Self::Reporting,
        Self::Reading,
        Self::Deciding,
        Self::Tokens,
        Self::Running,
        Self::Documentation,
    ];

    pub fn title(self) -> &'static str {
        match self {
            Self::Reporting => "Reporting",
            Self::Reading => "Reading",
            Self::Deciding => "Voiding and attribution",
            Self::Tokens => "Tokens",
            Self::Running => "Operation",
            Self::Documentation => "Documentation",
        }
    }
}

/// Who may call an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Open,
    /// Clients that have a token, whatever its scopes.
    Any,
    /// Clients that have a token with this scope.
    Scope(Scope),
    /// Clients that have a token with this scope and without an account limit.
    Unlimited(Scope),
}

impl Access {
    /// The scope that it requires, if any.
    pub fn scope(self) -> Option<Scope> {
        match self {
            Self::Open | Self::Any => None,
            Self::Scope(scope) | Self::Unlimited(scope) => Some(scope),
        }
    }
}

/// The kinds of request body that an operation accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestBody {
    Nothing,
    /// A JSON object.
    Json,
    /// A JSON object, or CSV with an item in each row, such as this.
    Rows(&'static str),
    /// One report or a batch, in every format or as a form.
    Reports,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// When it is returned.
    pub when: &'static str,
    pub body: Body,
    /// The headers beyond those of every response; a header that may be absent is not marked as
    /// required.
    pub headers: &'static [Member],
}

/// The body of a response.
#[derive(Clone, Copy, Debug)]
pub enum Body {
    Nothing,
    /// An object, in every format.
    One(&'static Type),
    /// An object for a single report, or an array of objects, in order, for a batch.
    OneOrSeveral(&'static Type),
    /// A document of one of these media types.
    Document(&'static [&'static str]),
}

impl Operation {
    /// Finds an operation by its name, ignoring case.
    pub fn find(name: &str) -> Option<&'static Self> {
        OPERATIONS
            .into_iter()
            .find(|operation| operation.name.eq_ignore_ascii_case(name))
    }

    /// The operations that have a DTO.
    pub fn messages() -> impl Iterator<Item = &'static Self> {
        OPERATIONS
            .into_iter()
            .filter(|operation| operation.by_name.is_some())
    }

    /// The DTO that its ServiceStack route returns, if any.
    pub fn returns(&self) -> Option<&'static Type> {
        match self.answers.first()?.body {
            Body::One(of) => Some(of),
            // A report sent to a ServiceStack route gets no body, as in ServiceStack.
            Body::OneOrSeveral(_) | Body::Nothing | Body::Document(_) => None,
        }
    }

    /// The members of its DTO: all request members except headers, and except what only a URL says
    /// about reports.
    pub fn fields(&self) -> impl Iterator<Item = &'static Member> + use<> {
        let is_of_reports = self.body == RequestBody::Reports;
        self.members
            .iter()
            .filter(move |member| match member.location {
                types::Location::Header => false,
                types::Location::Query => !is_of_reports,
                types::Location::Path | types::Location::Body => true,
            })
    }

    /// Whether the client can choose the response format.
    pub fn has_formats(&self) -> bool {
        let mut answers = self.answers.iter();
        !answers.any(|answer| matches!(answer.body, Body::Document(_)))
    }

    /// Every error that it may return.
    pub fn errors(&self) -> impl Iterator<Item = Error> + use<> {
        self.errors.iter().flat_map(|errors| errors.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::types::Location;
    use super::*;
    use crate::billable::Field;
    use crate::formats::record::{BILLABLE, PROVENANCE};

    #[test]
    fn the_description_is_consistent() {
        let names: BTreeSet<_> = OPERATIONS.iter().map(|operation| operation.name).collect();
        assert_eq!(names.len(), OPERATIONS.len());
        for operation in OPERATIONS {
            let Operation { name, path, .. } = operation;
            if let Some(by_name) = operation.by_name {
                assert_eq!(by_name, format!("/api/{name}"));
            }
            if let Some(batch) = operation.batch_by_name {
                assert_eq!(batch, format!("/api/{name}[]"));
            }
            let in_path: Vec<_> = path
                .split('/')
                .filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
                .collect();
            let described: Vec<_> = operation
                .members
                .iter()
                .filter(|member| member.location == Location::Path)
                .map(|member| member.name)
                .collect();
            assert_eq!(in_path, described, "{name}");
            let has_body = operation
                .members
                .iter()
                .any(|member| member.location == Location::Body);
            assert_eq!(has_body, operation.body != RequestBody::Nothing, "{name}");
            assert!(!operation.answers.is_empty(), "{name}");
            let errors: BTreeSet<_> = operation
                .errors()
                .map(|error| (error.status, error.code))
                .collect();
            assert_eq!(errors.len(), operation.errors().count(), "{name}");
            let needs_token = errors.contains(&(401, "Unauthorized"));
            assert_eq!(needs_token, operation.access != Access::Open, "{name}");
        }
    }

    #[test]
    fn the_contract_lists_the_members_that_the_code_parses_and_writes() {
        let report = Operation::find("newbillable").expect("an operation");
        let names: Vec<_> = report.fields().map(|member| member.name).collect();
        assert_eq!(names, Field::ALL.map(Field::camel));
        let names: Vec<_> = objects::BILLABLE.members.iter().map(|m| m.name).collect();
        assert_eq!(names[..BILLABLE.len()], BILLABLE);
        assert_eq!(names[BILLABLE.len()], "replayed");
        assert_eq!(names[BILLABLE.len() + 1..], PROVENANCE);
    }

    #[test]
    fn every_error_is_returned_by_an_operation() {
        let answered: BTreeSet<_> = OPERATIONS
            .into_iter()
            .flat_map(Operation::errors)
            .chain([errors::METHOD_NOT_ALLOWED])
            .map(|error| (error.status, error.code))
            .collect();
        let known: BTreeSet<_> = errors::ALL
            .iter()
            .map(|error| (error.status, error.code))
            .collect();
        assert_eq!(answered, known);
    }
}
