//! The layers around every route: ids, deadline, access log, error bodies.

pub(super) mod access_log;
pub(super) mod context;
pub(super) mod trace;
