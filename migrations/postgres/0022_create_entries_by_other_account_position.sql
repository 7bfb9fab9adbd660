create index entries_by_other_account_position on entries (account_id, partition, position) where account_id <> billed_account_id;
