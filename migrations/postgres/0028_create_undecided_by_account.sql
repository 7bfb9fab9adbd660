-- For clients that are limited to accounts, so that others' undecided sessions do not slow them down.
create index undecided_by_account on undecided (account_id, session_id);
