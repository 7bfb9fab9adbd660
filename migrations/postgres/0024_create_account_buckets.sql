-- What each account has in each quarter of an hour, whatever the customer. There are many rows, so the
-- order of the columns leaves no gaps between them.
create table account_buckets (
    starts_at bigint not null,
    -- The position of the last entry that changed it.
    last_position bigint not null,
    -- A voided billable is counted only in the second.
    billable_count integer not null,
    voided_count integer not null,
    partition integer not null,
    account_id text collate "C" not null,
    primary key (account_id, starts_at, partition)
);
