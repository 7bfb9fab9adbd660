-- The head of each partition. A writer locks the row and takes positions from it, in the transaction
-- that inserts the entries. So positions increase in commit order.
create table log_heads (
    partition integer primary key,
    next_position integer not null,
    -- The latest recorded_at that a server wrote, in microseconds since 1970; 0 for none. A server
    -- whose clock is far behind it stores nothing. Imports do not change it.
    recorded_at integer not null default 0,
    -- A random number for each start of a server. The WAL has it with every commit, and the file since
    -- the WAL was first copied into it. If they differ, the WAL belongs to another file.
    generation integer not null default 0,
    -- The one that the file had before, until it has the present one.
    previous_generation integer not null default 0
) strict;
