//! The id of the resource that a request names. It is a parameter of the path or, on ServiceStack
//! routes, a member of the query or the body.

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;

use crate::api::ApiError;
use crate::api::path::RouteStyle;
use crate::api::query::Query;
use crate::contract::Operation;
use crate::contract::types::Location;

/// The id of the resource that a request names.
#[derive(Clone, Debug)]
pub(super) enum ResourceId {
    /// From the path's parameter.
    OfPath(String),
    /// From the query, if it has one, on a ServiceStack route.
    ByName(Option<String>),
}

impl ResourceId {
    /// Returns the id. If the path has none, the body may have it. `name` is the member's name in
    /// PascalCase.
    ///
    /// # Errors
    /// The id is missing, or the query and the body have different ids. The latter is refused
    /// because a void or an attribution is permanent.
    pub(super) fn or(
        self,
        in_body: Option<String>,
        name: &'static str,
    ) -> Result<String, ApiError> {
        let is_given = |value: &String| !value.trim().is_empty();
        let (said, in_body) = match self {
            Self::OfPath(said) => (Some(said), None),
            Self::ByName(said) => (said.filter(is_given), in_body.filter(is_given)),
        };
        match (said, in_body) {
            (Some(said), Some(other)) if said != other => Err(ApiError::parameter(
                name,
                "must be the same in the query and in the body",
            )),
            (said, in_body) => said.or(in_body).ok_or_else(|| ApiError::missing(name)),
        }
    }
}

impl<S: Sync + Send> FromRequestParts<S> for ResourceId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Ok(style) = RouteStyle::from_request_parts(parts, state).await;
        match style {
            RouteStyle::Resource { .. } => {
                let path = Path::<String>::from_request_parts(parts, state).await;
                let Path(value) = path.map_err(|_| ApiError::NotFound)?;
                Ok(Self::OfPath(value))
            }
            RouteStyle::Operation { .. } => {
                let route = Some(parts.uri.path());
                let name = Operation::messages()
                    .find(|operation| operation.by_name == route)
                    .and_then(|operation| operation.fields().find(|m| m.location == Location::Path))
                    .map(|member| member.name)
                    .ok_or(ApiError::NotFound)?;
                let query = Query::parse(parts.uri.query())?;
                Ok(Self::ByName(query.get(name).map(str::to_owned)))
            }
        }
    }
}
