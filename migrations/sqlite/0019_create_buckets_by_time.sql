-- For totals of all accounts.
create index buckets_by_time on buckets (level, starts_at);
