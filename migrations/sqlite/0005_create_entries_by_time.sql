-- For lists and exports of all accounts, and for the comparison of totals. All entries of a billable
-- have its time, so they are adjacent. Calls are reported soon, so a report mostly appends to it.
create index entries_by_time on entries (occurred_at, billable_id);
