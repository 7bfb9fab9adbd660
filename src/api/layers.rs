//! What surrounds every request, whatever its route.

pub(super) mod context;
pub(super) mod observe;
pub(super) mod path;
pub(super) mod trace;
