//! The handlers of the routes: each reads the input, makes one call and builds the response.

pub(super) mod accounts;
pub(super) mod billables;
pub(super) mod billing;
pub(super) mod bulk;
pub(super) mod check;
pub(super) mod docs;
pub(super) mod export;
pub(super) mod feed;
pub(super) mod health;
pub(super) mod list;
pub(super) mod metrics;
pub(super) mod refusals;
pub(super) mod report;
pub(super) mod sessions;
mod stream;
pub(super) mod tokens;
pub(super) mod void;
