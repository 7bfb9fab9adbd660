create index entries_by_call on entries (call_sid, coalesce(billed_account_id, account_id), occurred_at, billable_id) where call_sid is not null;
