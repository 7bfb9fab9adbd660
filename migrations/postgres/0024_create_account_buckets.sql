-- What each account has in each quarter of an hour, whatever the customer.
create table account_buckets (
    partition integer not null,
    account_id text collate "C" not null,
    starts_at bigint not null,
    -- A voided billable is counted only in the second.
    billable_count bigint not null,
    voided_count bigint not null,
    -- The position of the last entry that changed it.
    last_position bigint not null,
    primary key (account_id, starts_at, partition)
);
