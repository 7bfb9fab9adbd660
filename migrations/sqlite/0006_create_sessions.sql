-- Whom a session is billed to, decided once. Its billables are attributed partition by partition;
-- until that is done in all of them, it is not complete.
create table sessions (
    session_id text primary key,
    account_id text not null,
    customer_id text not null,
    client text not null,
    decided_at integer not null,
    is_complete integer not null
) strict;
