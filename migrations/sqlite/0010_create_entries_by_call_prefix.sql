-- For lookups by call, of entries that the primary key does not have beside the others of their call:
-- reports with both a key and a callSid, and imported ids. Other reports cost it nothing.
create index entries_by_call_prefix on entries (call_prefix) where call_prefix is not null;
