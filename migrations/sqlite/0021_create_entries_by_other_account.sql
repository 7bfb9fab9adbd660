-- Entries that name an account and bill another: few, and still for the eyes of the former.
create index entries_by_other_account on entries (account_id, occurred_at, billable_id) where account_id <> billed_account_id;
