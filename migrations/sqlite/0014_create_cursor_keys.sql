-- The key that seals cursors, so that a client can neither read nor alter them. All processes on
-- this log use it.
create table cursor_keys (
    id integer primary key check (id = 1),
    secret blob not null
) strict;
