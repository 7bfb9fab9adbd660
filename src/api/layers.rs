//! What surrounds every request, whatever its route.

pub(super) mod access_log;
pub(super) mod context;
pub(super) mod path;
pub(super) mod trace;
