create index entries_by_customer on entries (coalesce(billed_customer_id, customer_id), occurred_at, billable_id);
