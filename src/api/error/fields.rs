//! The errors of single fields that an error lists.

use super::ApiError;
use crate::billable::Field;
use crate::contract::errors;
use crate::formats::status::ResponseError;

impl ApiError {
    /// The errors of single fields.
    pub(super) fn errors(&self) -> Vec<ResponseError> {
        let of = |index: &Option<usize>, error_code, field: &Field, message| ResponseError {
            error_code,
            field_name: field.pascal(),
            message,
            index: *index,
        };
        match self {
            Self::Invalid(errors) => errors
                .iter()
                .map(|(index, error)| {
                    of(
                        index,
                        error.code.as_str(),
                        &error.field,
                        error.message.clone(),
                    )
                })
                .collect(),
            Self::IdempotencyConflict(conflicts) => {
                let differs =
                    |field: &Field| format!("{} differs from the stored value", field.camel());
                let fields = conflicts
                    .iter()
                    .flat_map(|(index, fields)| fields.iter().map(move |field| (index, field)));
                fields
                    .map(|(index, field)| {
                        of(
                            index,
                            errors::IDEMPOTENCY_CONFLICT.code,
                            field,
                            differs(field),
                        )
                    })
                    .collect()
            }
            Self::AttributionConflict(fields) => {
                let differs =
                    |field: &Field| format!("{} differs from the attributed value", field.camel());
                fields
                    .iter()
                    .map(|field| {
                        of(
                            &None,
                            errors::ATTRIBUTION_CONFLICT.code,
                            field,
                            differs(field),
                        )
                    })
                    .collect()
            }
            Self::Parameter {
                name,
                code,
                message,
            } => vec![ResponseError {
                error_code: code.as_str(),
                field_name: name,
                message: message.clone(),
                index: None,
            }],
            Self::Items(errors) => errors
                .iter()
                .map(|error| ResponseError {
                    error_code: error.code.as_str(),
                    field_name: error.name,
                    message: error.message.clone(),
                    index: error.index,
                })
                .collect(),
            _ => Vec::new(),
        }
    }
}
