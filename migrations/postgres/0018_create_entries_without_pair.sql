create index entries_without_pair on entries (occurred_at, billable_id) where kind = 1 and billed_account_id is null;
