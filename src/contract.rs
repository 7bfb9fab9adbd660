//! The API as data: operations, what they take and answer, errors, paths.
//!
//! The documentation and OpenAPI are printed from it. `api/path.rs` takes no path that is not here,
//! and the routing table in `api.rs` uses its constants.

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

/// Something that the service does, as it is asked for over HTTP.
#[derive(Debug)]
pub struct Operation {
    /// The name: of its DTO, in `/api/…`, and in the documentation.
    pub name: &'static str,
    /// Under which heading it stands.
    pub section: Section,
    /// What it does, in a line.
    pub summary: &'static str,
    /// What else there is to know, a paragraph each.
    pub notes: &'static [&'static str],
    /// Who may ask for it.
    pub access: Access,
    pub method: Method,
    /// The route, with parameters in braces.
    pub path: &'static str,
    /// Whether the path may end in a format such as `.xml`.
    pub takes_suffix: bool,
    /// The route that has its name, `/api/NAME`, which stands for those of ServiceStack.
    pub by_name: Option<&'static str>,
    /// The same for several at once.
    pub batch_by_name: Option<&'static str>,
    /// What it is given.
    pub members: &'static [Member],
    /// How its body may be written.
    pub body: RequestBody,
    /// What it answers on its path when it succeeds.
    pub answers: &'static [Answer],
    /// What it answers otherwise, in groups.
    pub errors: &'static [&'static [Error]],
}

/// A heading of the documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// What telephony backends send.
    Reporting,
    Reading,
    /// What is decided about billables afterwards.
    Deciding,
    /// For whoever runs the service.
    Running,
    Documentation,
}

impl Section {
    /// Every section, in the order of the documentation.
    pub const ALL: [Self; 5] = [
        Self::Reporting,
        Self::Reading,
        Self::Deciding,
        Self::Running,
        Self::Documentation,
    ];

    pub fn title(self) -> &'static str {
        match self {
            Self::Reporting => "Reporting",
            Self::Reading => "Reading",
            Self::Deciding => "Deciding",
            Self::Running => "Running the service",
            Self::Documentation => "Documentation",
        }
    }
}

/// Who may ask for an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Open,
    /// Who has a token with this scope.
    Scope(Scope),
    /// The same, when the token is not limited to accounts.
    Unlimited(Scope),
}

impl Access {
    /// The scope that it takes.
    pub fn scope(self) -> Option<Scope> {
        match self {
            Self::Open => None,
            Self::Scope(scope) | Self::Unlimited(scope) => Some(scope),
        }
    }
}

/// How the body of a request may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestBody {
    Nothing,
    /// As a JSON object.
    Json,
    /// In every format, and as a form; one report or several.
    Reports,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// When it is given.
    pub when: &'static str,
    pub body: Body,
    /// Headers that it has beside those of every answer. One that is not always there is not required.
    pub headers: &'static [Member],
}

/// What an answer holds.
#[derive(Clone, Copy, Debug)]
pub enum Body {
    /// Nothing.
    Nothing,
    /// An object, in every format.
    One(&'static Type),
    /// An object for one report; for several, an array of such objects, in order.
    OneOrSeveral(&'static Type),
    /// A document of one of these media types.
    Document(&'static [&'static str]),
}

impl Operation {
    /// The operation of that name, in any letter case.
    pub fn find(name: &str) -> Option<&'static Self> {
        OPERATIONS
            .into_iter()
            .find(|operation| operation.name.eq_ignore_ascii_case(name))
    }

    /// Those that have a DTO.
    pub fn messages() -> impl Iterator<Item = &'static Self> {
        OPERATIONS
            .into_iter()
            .filter(|operation| operation.by_name.is_some())
    }

    /// What a client's call by name returns: a DTO, or nothing.
    pub fn returns(&self) -> Option<&'static Type> {
        match self.answers.first()?.body {
            Body::One(of) => Some(of),
            // By its name it answers as it does on ServiceStack.
            Body::OneOrSeveral(_) | Body::Nothing | Body::Document(_) => None,
        }
    }

    /// The members of its DTO: all that it is given but headers.
    pub fn fields(&self) -> impl Iterator<Item = &'static Member> + use<> {
        self.members
            .iter()
            .filter(|member| member.location != types::Location::Header)
    }

    /// Whether answers are in whatever format is asked for.
    pub fn has_formats(&self) -> bool {
        let mut answers = self.answers.iter();
        !answers.any(|answer| matches!(answer.body, Body::Document(_)))
    }

    /// Every error that it may answer.
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
    use crate::formats::record::BILLABLE;

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
    fn reports_and_billables_are_described_with_the_members_that_are_read_and_written() {
        let report = Operation::find("newbillable").expect("an operation");
        let names: Vec<_> = report.fields().map(|member| member.name).collect();
        assert_eq!(names, Field::ALL.map(Field::camel));
        let names: Vec<_> = objects::BILLABLE.members.iter().map(|m| m.name).collect();
        assert_eq!(names[..BILLABLE.len()], BILLABLE);
        assert_eq!(names[BILLABLE.len()..], ["replayed"]);
    }

    #[test]
    fn every_error_is_one_that_an_operation_answers() {
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
