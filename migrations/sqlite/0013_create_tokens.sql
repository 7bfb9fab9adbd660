-- The accounts that a token is limited to belong to its client: see `clients`. Secrets are stored as
-- SHA-256 only. A revoked token is kept as a record.
create table tokens (
    id blob primary key,
    client text not null,
    secret_hash blob not null,
    -- Comma-separated: report, read, bill.
    scopes text not null,
    created_at integer not null,
    expires_at integer,
    revoked_at integer,
    -- How many requests it may send, such as 100/s; null for no limit.
    rate text,
    -- Written at most once a minute; null for never.
    last_used_at integer
) strict;
