-- Up to here the entries are in the tables of accounts and undecided sessions. It is separate from the
-- position of the buckets, because an older program that still runs moves only that one.
alter table watermarks add column accounts_position integer not null default 0;
