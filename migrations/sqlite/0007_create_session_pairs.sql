-- Each partition's copy of the decisions, written under the lock of its head. Whoever records under
-- the same lock sees it, so no billable of a decided session stays without its pair.
create table session_pairs (
    partition integer not null,
    session_id text not null,
    account_id text not null,
    customer_id text not null,
    primary key (partition, session_id)
) strict;
