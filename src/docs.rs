//! The documentation that the service serves, generated from the [contract](crate::contract):
//! metadata pages, DTOs in several languages, OpenAPI, samples.

pub mod dto;
pub mod manual;
pub mod openapi;
pub mod pages;
pub mod samples;
