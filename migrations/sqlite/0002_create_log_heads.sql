-- One head a partition. A writer takes a group's positions from it under the row's lock, inside
-- the transaction that inserts the group, so positions increase in commit order.
create table log_heads (
    partition integer primary key,
    next_position integer not null
) strict;
