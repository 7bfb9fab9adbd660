-- The account comes before the time, so that what a session has of others takes a limited token no time.
create index entries_by_session on entries (session_id, coalesce(billed_account_id, account_id), occurred_at, billable_id) where session_id is not null;
