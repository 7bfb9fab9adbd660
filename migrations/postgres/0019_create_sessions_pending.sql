-- Attributions that a crash may have left unfinished.
create index sessions_pending on sessions (decided_at) where completed_at is null;
