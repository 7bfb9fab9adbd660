-- The account and customer that a session is billed to, decided once. A decision is complete when the
-- session's billables are attributed in every partition.
create table sessions (
    session_id text primary key,
    account_id text not null,
    customer_id text not null,
    client text not null,
    decided_at integer not null,
    is_complete integer not null
) strict;
