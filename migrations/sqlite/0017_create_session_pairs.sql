-- Each partition's copy of the decisions, written under the lock of its head. Reports recorded later
-- under the same lock see it, so they get the pair immediately.
create table session_pairs (
    partition integer not null,
    session_id text not null,
    account_id text not null,
    customer_id text not null,
    primary key (partition, session_id)
) strict;
