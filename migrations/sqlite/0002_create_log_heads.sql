-- The head of each partition. A writer locks the row and takes positions from it, in the transaction
-- that inserts the entries. So positions increase in commit order.
create table log_heads (
    partition integer primary key,
    next_position integer not null
) strict;
