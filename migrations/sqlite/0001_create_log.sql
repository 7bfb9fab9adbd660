-- The log itself: one row. The epoch tells this log from every other, a restored copy included;
-- the number of partitions is fixed here, because an id's partition is computed from it.
create table log (
    id integer primary key check (id = 1),
    epoch blob not null,
    partitions integer not null check (partitions between 1 and 1024),
    -- microseconds since 1970, UTC, as in every table
    created_at integer not null
) strict;
