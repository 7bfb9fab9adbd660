//! Statements for pgbench and psql: a row as the baselines store it, and groups as the service
//! commits them.

use uuid::Uuid;

/// Creates the sequence that numbers the baselines' rows.
pub(crate) const POSITIONS: &str = "create sequence positions";

/// Inserts one row per transaction.
pub(crate) const INSERT: &str = "\
insert into entries (partition, position, kind, billable_id, account_id, customer_id, call_sid, \
billed_account_id, billed_customer_id, occurred_at, recorded_at, client) \
select 0, nextval('positions'), 1, id, 'account-17', 'customer-17-42', 'CA' || id, \
'account-17', 'customer-17-42', at, at, 'bench' \
from (select gen_random_uuid() as id, (extract(epoch from clock_timestamp()) * 1000000)::bigint as at) as made \
on conflict (partition, billable_id, kind) do nothing;
";

/// Returns the service's statements for a single report, without its `set local` statements.
/// The service itself sends `begin` and the lock of the log's head in one message.
pub(crate) fn group_of_one() -> String {
    group(
        "array[gen_random_uuid()]",
        "array['CA' || gen_random_uuid()]",
        1,
    )
}

/// Returns the statements for `batches` batches of `rows` reports each.
pub(crate) fn batches(batches: usize, rows: usize) -> String {
    let batch = |_| {
        let ids: Vec<_> = (0..rows).map(|_| Uuid::new_v4().to_string()).collect();
        let calls = format!("array['CA{}']", ids.join("','CA"));
        group(&format!("array['{}']", ids.join("','")), &calls, rows)
    };
    (0..batches).map(batch).collect()
}

/// Returns the service's statements to commit a group, as in src/store/ops/insertion.rs.
fn group(ids: &str, calls: &str, rows: usize) -> String {
    let of = |kind: &str, value: &str| format!("array_fill({value}::{kind}, array[{rows}])");
    let (ids, calls) = (format!("{ids}::uuid[]"), format!("{calls}::text[]"));
    let (account, customer) = (of("text", "'account-17'"), of("text", "'customer-17-42'"));
    let (none, at, client) = (
        of("text", "null"),
        of("bigint", "1790000000000000"),
        of("text", "'bench'"),
    );
    let (kind, index) = (of("smallint", "1"), of("bigint", "null"));
    format!(
        "begin isolation level read committed; \n\
         update log_heads set next_position = next_position + {rows} where partition = 0;\n\
         insert into entries (partition, position, billable_id, kind, account_id, customer_id, session_id, call_sid, \
         billed_account_id, billed_customer_id, occurred_at, recorded_at, client, idempotency_key, key_index, reason, \
         call_prefix) \
         select head.partition, head.next_position - {rows} + new.ordinal - 1, new.billable_id, new.kind, \
         new.account_id, new.customer_id, new.session_id, new.call_sid, \
         coalesce(new.billed_account_id, decided.account_id), coalesce(new.billed_customer_id, decided.customer_id), \
         new.occurred_at, new.recorded_at, new.client, new.idempotency_key, new.key_index, new.reason, \
         new.call_prefix \
         from log_heads as head cross join unnest({ids}, {kind}, {account}, {customer}, {none}, {calls}, \
         {account}, {customer}, {at}, {at}, {client}, {none}, {index}, {none}, {index}) with ordinality as new (billable_id, \
         kind, account_id, customer_id, session_id, call_sid, billed_account_id, billed_customer_id, \
         occurred_at, recorded_at, client, idempotency_key, key_index, reason, call_prefix, ordinal) \
         left join session_pairs as decided on decided.partition = head.partition \
         and decided.session_id = new.session_id and new.kind = 1 and new.billed_account_id is null \
         where head.partition = 0 on conflict (partition, billable_id, kind) do nothing \
         returning billable_id, billed_account_id, billed_customer_id;\n\
         commit;\n"
    )
}
