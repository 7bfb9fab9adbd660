-- The feed of a token that is limited to accounts: what others write costs it no time.
create index entries_by_account_position on entries (coalesce(billed_account_id, account_id), partition, position);
