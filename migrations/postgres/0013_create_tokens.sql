-- The accounts that a token is limited to belong to its client: see `clients`. Secrets are stored as
-- SHA-256 only. A revoked token is kept as a record.
create table tokens (
    id uuid primary key,
    client text collate "C" not null,
    secret_hash bytea not null,
    -- Comma-separated: report, read, bill.
    scopes text collate "C" not null,
    created_at bigint not null,
    expires_at bigint,
    revoked_at bigint,
    -- How many requests it may send, such as 100/s; null for no limit.
    rate text collate "C",
    -- Written at most once a minute; null for never.
    last_used_at bigint
);
