-- For lists of a customer: the one that is billed, or the one that is named while none is billed.
-- There may be very many customers, so their keys are random. The UTC day of the call comes first, so
-- that a report costs it one page among those of the day, and not one of the whole log.
create index entries_by_customer on entries (
    (occurred_at / 86400000000), coalesce(billed_customer_id, customer_id), occurred_at, billable_id
);
