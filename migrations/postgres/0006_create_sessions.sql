-- Whom a session is billed to, decided once. Its billables are attributed partition by partition;
-- until that is done in all of them, it is not complete.
create table sessions (
    session_id text collate "C" primary key,
    account_id text collate "C" not null,
    customer_id text collate "C" not null,
    client text collate "C" not null,
    decided_at bigint not null,
    is_complete boolean not null
);
