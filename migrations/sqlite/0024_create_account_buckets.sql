-- What each account has in each quarter of an hour, whatever the customer.
create table account_buckets (
    starts_at integer not null,
    -- The position of the last entry that changed it.
    last_position integer not null,
    -- A voided billable is counted only in the second.
    billable_count integer not null,
    voided_count integer not null,
    partition integer not null,
    account_id text not null,
    primary key (account_id, starts_at, partition)
) strict, without rowid;
