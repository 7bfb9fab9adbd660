-- For the feed of a token that is limited to accounts, so that others' entries do not slow it down.
-- The index contains the rowid, which is the position. A report appends to its account's range.
create index entries_by_account_position on entries (coalesce(billed_account_id, account_id));
