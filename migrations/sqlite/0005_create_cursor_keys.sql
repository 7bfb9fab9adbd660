-- The key that cursors are sealed with, so that a client can neither read nor alter one. It stays
-- with the log: every process on it opens the cursors of every other.
create table cursor_keys (
    id integer primary key check (id = 1),
    secret blob not null
) strict;
