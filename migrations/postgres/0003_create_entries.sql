-- The append-only log. No row is ever updated or deleted.
-- The primary key is the only unique index: the id is computed from the report's identity, so
-- the key is the de-duplication. Texts compare bytewise (collate "C").
create table entries (
    partition integer not null,
    id uuid not null,
    position bigint not null,
    -- 1 recorded, 2 attributed, 3 voided
    kind smallint not null check (kind between 1 and 3),
    billable_id uuid not null,
    -- the four fields as reported
    account_id text collate "C",
    customer_id text collate "C",
    session_id text collate "C",
    call_sid text collate "C",
    -- the pair it bills: both or none
    billed_account_id text collate "C",
    billed_customer_id text collate "C",
    occurred_at bigint not null,
    recorded_at bigint not null,
    client text collate "C" not null,
    idempotency_key text collate "C",
    -- the index in the batch that the key came with
    key_index bigint,
    -- why it was voided
    reason text collate "C",
    primary key (partition, id),
    check ((billed_account_id is null) = (billed_customer_id is null))
);
