-- For lists of unattributed billables. Only a report that bills nobody yet costs it something.
create index entries_without_pair on entries (occurred_at, billable_id) where kind = 1 and billed_account_id is null;
