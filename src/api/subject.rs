//! What a request is about: the parameter of its path or, on a route by the operation's name, the
//! member that stands for it, in the query or in the body.

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;

use super::ApiError;
use super::path::Convention;
use super::query::Query;
use crate::docs::Operation;
use crate::docs::types::Place;

/// What a request is about.
#[derive(Clone, Debug)]
pub(super) struct Subject(
    /// It, if it is not in the body.
    Option<String>,
);

impl Subject {
    /// What it is, which a body may say where neither path nor query does. `name` is the member's,
    /// as .NET writes it.
    ///
    /// # Errors
    /// Nothing says it.
    pub(super) fn or(
        self,
        in_body: Option<String>,
        name: &'static str,
    ) -> Result<String, ApiError> {
        let Self(said) = self;
        let given = in_body.filter(|value| !value.trim().is_empty());
        said.or(given).ok_or_else(|| ApiError::missing(name))
    }
}

impl<S: Sync + Send> FromRequestParts<S> for Subject {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Ok(convention) = Convention::from_request_parts(parts, state).await;
        match convention {
            Convention::Resource { .. } => {
                let path = Path::<String>::from_request_parts(parts, state).await;
                let Path(value) = path.map_err(|_| ApiError::NotFound)?;
                Ok(Self(Some(value)))
            }
            Convention::Operation { .. } => {
                let route = Some(parts.uri.path());
                let name = Operation::messages()
                    .find(|operation| operation.by_name == route)
                    .and_then(|operation| operation.fields().find(|m| m.place == Place::Path))
                    .map(|member| member.name)
                    .ok_or(ApiError::NotFound)?;
                let query = Query::parse(parts.uri.query())?;
                Ok(Self(query.get(name).map(str::to_owned)))
            }
        }
    }
}
