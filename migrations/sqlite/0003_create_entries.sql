-- The append-only log. No row is ever updated or deleted. Texts compare bytewise (the default
-- collation). The position is the rowid, so a report is appended to the table, and the feed, the
-- totals, verify and copy read the table itself.
--
-- The index of the key finds repeats of a report, because the billable's id is computed from the
-- report's identity. It also serves reads by id, voids, checks and, because the ids of a call begin
-- alike, lookups by call. Its keys are random: a report costs it one page.
create table entries (
    position integer primary key,
    -- A file has one partition.
    partition integer not null check (partition = 0),
    billable_id blob not null,
    -- 1 recorded, 2 attributed, 3 voided
    kind integer not null check (kind between 1 and 3),
    -- The four fields as reported.
    account_id text,
    customer_id text,
    session_id text,
    call_sid text,
    -- The account and customer that it bills: both or none.
    billed_account_id text,
    billed_customer_id text,
    occurred_at integer not null,
    recorded_at integer not null,
    client text not null,
    idempotency_key text,
    -- The index in the batch that the key came with.
    key_index integer,
    -- Why it was voided.
    reason text,
    -- The first six bytes of the ids of its call, as a number, if its own id begins otherwise.
    call_prefix integer,
    unique (billable_id, kind),
    check ((billed_account_id is null) = (billed_customer_id is null))
) strict;
