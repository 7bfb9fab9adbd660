//! What surrounds every request, whatever its route: ids, deadline, access log, error bodies.

pub(super) mod access_log;
pub(super) mod context;
pub(super) mod trace;
