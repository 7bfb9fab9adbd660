-- The position up to which each partition's entries are in the buckets.
create table watermarks (
    partition integer primary key,
    position integer not null
) strict;
