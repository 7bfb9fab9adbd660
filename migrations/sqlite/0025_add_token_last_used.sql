-- When a token was last used, written at most once a minute; null for never.
alter table tokens add column last_used_at integer;
