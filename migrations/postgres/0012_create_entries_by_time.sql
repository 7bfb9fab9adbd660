-- Lists, newest first. All entries of a billable have its time, so they are neighbours here.
create index entries_by_time on entries (occurred_at, billable_id);
