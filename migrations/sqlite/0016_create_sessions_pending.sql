-- For attributions that a crash left unfinished.
create index sessions_pending on sessions (decided_at) where not is_complete;
