-- For attributions, and for lists of a session. A report with a session costs it one random page.
create index entries_by_session on entries (session_id, occurred_at, billable_id) where session_id is not null;
