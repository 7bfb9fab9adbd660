//! Limits on clients: bytes in memory, concurrent requests, and requests in a period.
//!
//! A client holds at most half of the permits that are not for reports, and half of the bytes for
//! small bodies, so that no client can block the others.

pub mod bytes;
pub mod concurrency;
pub mod in_flight;
mod per_client;
pub mod rate;
pub mod streams;

pub use bytes::{Budget, Claim};

/// A limit is reached. Nothing was done, and a retry may succeed a moment later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server is overloaded")]
pub struct Overloaded;
