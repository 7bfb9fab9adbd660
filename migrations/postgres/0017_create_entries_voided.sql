-- Few of all entries, so it costs recording nothing.
create index entries_voided on entries (occurred_at, billable_id) where kind = 3;
