-- For lists of a customer: the one that is billed, or the one that is named while none is billed.
create index entries_by_customer on entries (coalesce(billed_customer_id, customer_id), occurred_at, billable_id);
