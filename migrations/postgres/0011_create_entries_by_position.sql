-- The feed, and the totals' tail.
create index entries_by_position on entries (partition, position);
