-- The account and customer that a session is billed to, decided once. A decision is complete when the
-- session's billables are attributed in every partition.
create table sessions (
    session_id text collate "C" primary key,
    account_id text collate "C" not null,
    customer_id text collate "C" not null,
    client text collate "C" not null,
    decided_at bigint not null,
    is_complete boolean not null
);
