-- Secrets are kept as SHA-256 only. A revoked token stays, as a record.
create table tokens (
    id blob primary key,
    client text not null,
    secret_hash blob not null,
    -- comma-separated: report, read, bill
    scopes text not null,
    -- a JSON array of account ids; null for no limit
    accounts text,
    created_at integer not null,
    expires_at integer,
    revoked_at integer
) strict;
