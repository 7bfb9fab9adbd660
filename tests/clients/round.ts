// Calls every operation with its DTO, for the DTOs in TypeScript and for those in JavaScript.
import type { JsonServiceClient } from "@servicestack/client";
import type * as types from "./dtos.js";

export function check(holds: unknown, what: string): asserts holds {
    if (!holds) throw new Error(what);
}

export function equal(found: unknown, expected: unknown, what: string) {
    const [one, other] = [JSON.stringify(found), JSON.stringify(expected)];
    check(one === other, `${what}: ${one} instead of ${other}`);
}

export async function round(name: string, dtos: typeof types, client: JsonServiceClient) {
    // A call of a session that is not attributed yet.
    const [sessionId, callSid] = [`${name}-session`, `${name}-round`];
    const [accountId, customerId] = [`${name}-acc`, `${name}-cus`];
    const occurredAt = "2026-03-01T08:30:00.123456Z";
    equal(await client.post(new dtos.NewBillable({ sessionId, callSid, occurredAt })) ?? null, null, "NewBillable");

    const [from, to] = ["2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z"];
    const page: types.ListOfBillable = await client.get(new dtos.ListBillables({ sessionId, from, to }));
    const [billable] = page.items;
    equal(page.items.length, 1, "ListBillables");
    equal([billable.state, billable.occurredAt], ["unattributed", occurredAt], "ListBillables");
    const { items: later } = await client.get(new dtos.ListBillables({ sessionId, from: to }));
    const { items: earlier } = await client.get(new dtos.ListBillables({ sessionId, to: from }));
    equal([later, earlier], [[], []], "ListBillables from and to");

    const one = await client.api(new dtos.GetBillable({ id: billable.id }));
    // Only one billable says who reported it.
    const { client: reporter, ...known } = one.response as types.Billable;
    equal(known, billable, "GetBillable");
    equal(typeof reporter, "string", "GetBillable");
    const checks = new dtos.CheckBillables({ callSids: [callSid, `${name}-none`], ids: [billable.id] });
    const checked: types.ListOfCheckedBillable = await client.post(checks);
    equal(checked.items.map((item) => item.state), ["present", "missing", "present"], "CheckBillables");
    equal(checked.items[0].ids, [billable.id], "CheckBillables");

    const session: types.Session = await client.put(new dtos.AttributeSession({ sessionId, accountId, customerId }));
    equal([session.accountId, session.customerId, session.isComplete], [accountId, customerId, true], "AttributeSession");
    equal(await client.send(new dtos.GetSession({ sessionId })), session, "GetSession");

    const days = { startDate: "2026-03-01", endDate: "2026-03-31", timeZone: "Europe/Rome", groupBy: "day" } as const;
    const billing: types.BillingInfo = await client.get(new dtos.GetBilling({ accountId, ...days }));
    const [row] = billing.customers;
    equal([row.customerId, row.date, row.billableCount, row.voidedCount], [customerId, "2026-03-01", 1, 0], "GetBilling");

    const voided: types.Billable = await client.post(new dtos.VoidBillable({ id: billable.id, reason: "a test call" }));
    equal([voided.id, voided.state, voided.voidReason], [billable.id, "voided", "a test call"], "VoidBillable");
    const log: types.ListOfLogEntry = await client.get(new dtos.ReadLog({ after: billing.asOf, limit: 10, wait: 0 }));
    equal(log.items.map((entry) => [entry.kind, entry.billableId]), [["voided", billable.id]], "ReadLog");
    equal((await client.get(new dtos.ReadLog({ after: log.nextCursor }))).items, [], "ReadLog");
}
