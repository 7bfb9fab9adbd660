-- Totals of the entries up to each partition's watermark, by the time of the call. Derived from the
-- log: `billables rebuild-totals` makes them anew.
create table buckets (
    partition integer not null,
    -- 1: a quarter of an hour, 2: a day, 3: a calendar month; all UTC
    level integer not null check (level between 1 and 3),
    -- both empty for billables that nobody is billed for yet
    account_id text not null,
    customer_id text not null,
    starts_at integer not null,
    -- a voided billable is in the second only
    billable_count integer not null,
    voided_count integer not null,
    primary key (level, account_id, starts_at, customer_id, partition)
) strict;
