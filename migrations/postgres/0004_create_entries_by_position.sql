-- For the feed, the totals, verify and copy. Positions increase, so a report appends to it.
create index entries_by_position on entries (partition, position);
