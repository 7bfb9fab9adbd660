-- The append-only log. No row is ever updated or deleted.
-- The primary key is the only unique index: the id is computed from the report's identity, so
-- the key is the de-duplication. Texts compare bytewise (the default collation).
create table entries (
    partition integer not null,
    id blob not null,
    position integer not null,
    -- 1 recorded, 2 attributed, 3 voided
    kind integer not null check (kind between 1 and 3),
    billable_id blob not null,
    -- the four fields as reported
    account_id text,
    customer_id text,
    session_id text,
    call_sid text,
    -- the pair it bills: both or none
    billed_account_id text,
    billed_customer_id text,
    occurred_at integer not null,
    recorded_at integer not null,
    client text not null,
    idempotency_key text,
    -- the index in the batch that the key came with
    key_index integer,
    -- why it was voided
    reason text,
    primary key (partition, id),
    check ((billed_account_id is null) = (billed_customer_id is null))
) strict;
