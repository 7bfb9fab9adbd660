//! What a store can do, generic over the database. Every statement that both databases run is here.

pub(super) mod append;
pub(super) mod calls;
pub(super) mod copy;
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
