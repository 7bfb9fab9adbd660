-- What a session has of others takes a token that is limited to accounts no time.
create index entries_by_session_account on entries (session_id, coalesce(billed_account_id, account_id), occurred_at, billable_id) where session_id is not null;
