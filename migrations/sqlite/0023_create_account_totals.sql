-- What each account has, up to `watermarks.accounts_position`. Derived from the log, like the next two:
-- `billables rebuild-totals` rebuilds them.
create table account_totals (
    partition integer not null,
    account_id text not null,
    -- A voided billable is counted only in the second.
    billable_count integer not null,
    voided_count integer not null,
    -- The times of the first and the last call that it was billed for, voided ones included.
    first_at integer not null,
    last_at integer not null,
    primary key (account_id, partition)
) strict, without rowid;
