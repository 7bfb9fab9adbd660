-- The unattributed billables of each session, by the account that their reports name, or an empty one.
-- A row without any is deleted, so the size is that of what is undecided now.
create table undecided (
    partition integer not null,
    session_id text collate "C" not null,
    account_id text collate "C" not null,
    billable_count bigint not null,
    -- The time of the first call that the row has counted.
    first_at bigint not null,
    primary key (session_id, account_id, partition)
);
