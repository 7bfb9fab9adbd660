-- For lists of voided billables. A report costs it nothing.
create index entries_voided on entries (occurred_at, billable_id) where kind = 3;
