-- Totals of the entries up to each partition's watermark, by the time of the call. Derived from the
-- log: `billables rebuild-totals` rebuilds them. Without a rowid, the rows are in the tree of the
-- primary key, so a new bucket costs two pages and not three.
create table buckets (
    partition integer not null,
    -- 1: a quarter of an hour, 2: a day, 3: a calendar month; all in UTC
    level integer not null check (level between 1 and 3),
    -- Both are empty for billables that are billed to nobody.
    account_id text not null,
    customer_id text not null,
    starts_at integer not null,
    -- A voided billable is counted only in the second.
    billable_count integer not null,
    voided_count integer not null,
    primary key (level, account_id, starts_at, customer_id, partition)
) strict, without rowid;
