create index entries_by_call on entries (call_sid) where call_sid is not null;
