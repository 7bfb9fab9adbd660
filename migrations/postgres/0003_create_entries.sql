-- The append-only log. No row is ever updated or deleted. Texts compare bytewise (collate "C").
--
-- The primary key is the only unique index. It finds repeats of a report, because the billable's id
-- is computed from the report's identity. It also serves reads by id, voids, checks and, because the
-- ids of a call begin alike, lookups by call. Its keys are random: a report costs it one page.
create table entries (
    position bigint not null,
    occurred_at bigint not null,
    recorded_at bigint not null,
    -- The index in the batch that the key came with.
    key_index bigint,
    -- The first six bytes of the ids of its call, as a number, if its own id begins otherwise.
    call_prefix bigint,
    billable_id uuid not null,
    partition integer not null,
    -- 1 recorded, 2 attributed, 3 voided
    kind smallint not null check (kind between 1 and 3),
    -- The four fields as reported.
    account_id text collate "C",
    customer_id text collate "C",
    session_id text collate "C",
    call_sid text collate "C",
    -- The account and customer that it bills: both or none.
    billed_account_id text collate "C",
    billed_customer_id text collate "C",
    client text collate "C" not null,
    idempotency_key text collate "C",
    -- Why it was voided.
    reason text collate "C",
    primary key (partition, billable_id, kind),
    check ((billed_account_id is null) = (billed_customer_id is null))
);
