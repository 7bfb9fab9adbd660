//! The operations of a store and their statements, generic over the database. `operations.rs`
//! documents each.

pub(super) mod append;
pub(super) mod calls;
pub(super) mod copy;
pub(super) mod derived;
pub(super) mod feed;
pub(super) mod find;
pub(super) mod insertion;
pub(super) mod log;
pub(super) mod scan;
pub(super) mod sessions;
pub(super) mod state;
pub(super) mod tokens;
pub(super) mod totals;
pub(super) mod verify;
pub(super) mod void_attribute;
