-- Lists of an account: the one that is billed, or named where none is billed yet.
create index entries_by_account on entries (coalesce(billed_account_id, account_id), occurred_at, billable_id);
