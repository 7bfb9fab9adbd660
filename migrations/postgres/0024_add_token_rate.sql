-- How many requests a token may send, such as 100/s; null for no limit.
alter table tokens add column rate text collate "C";
