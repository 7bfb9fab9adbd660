-- The log itself: one row. The epoch is a random id, replaced after a restore. The number of
-- partitions never changes, because an id's partition is computed from it.
create table log (
    id integer primary key check (id = 1),
    epoch blob not null,
    partitions integer not null check (partitions = 1),
    -- In microseconds since 1970, UTC, like every timestamp in this schema.
    created_at integer not null
) strict;
