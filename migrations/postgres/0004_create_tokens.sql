-- Secrets are kept as SHA-256 only. A revoked token stays, as a record.
create table tokens (
    id uuid primary key,
    client text collate "C" not null,
    secret_hash bytea not null,
    -- comma-separated: report, read, bill
    scopes text collate "C" not null,
    -- a JSON array of account ids; null for no limit
    accounts text collate "C",
    created_at bigint not null,
    expires_at bigint,
    revoked_at bigint
);
