-- The log itself: one row. The epoch is a random id, replaced after a restore. The number of
-- partitions never changes, because an id's partition is computed from it.
create table log (
    id integer primary key check (id = 1),
    epoch uuid not null,
    partitions integer not null check (partitions between 1 and 256),
    -- In microseconds since 1970, UTC, like every timestamp in this schema.
    created_at bigint not null
);
