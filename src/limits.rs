//! What clients may use: bytes in memory, requests at once, requests in a time.
//!
//! A client holds at most half of the permits that are not for reports, and half of the bytes for
//! small bodies, so that none keeps the others out.

pub mod bytes;
pub mod concurrency;
pub mod in_flight;
mod per_client;
pub mod rate;

pub use bytes::{Budget, Claim};

/// Too much is held or under way. Nothing was done, and the same may work a moment later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too much is under way")]
pub struct Overloaded;
