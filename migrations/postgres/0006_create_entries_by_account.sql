-- For lists of an account: the one that is billed, or the one that is named while none is billed.
-- A report appends to its account's range.
create index entries_by_account on entries (coalesce(billed_account_id, account_id), occurred_at, billable_id);
