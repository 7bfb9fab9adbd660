// ServiceStack's TypeScript client against a running server, with both forms of the DTO: the one on
// Evo Voice's page, and the one that the server serves.
import { JsonApiClient, JsonServiceClient } from "@servicestack/client";
import * as dtos from "./dtos.js";
import * as page from "./page.js";
import { check, equal, round } from "./round.js";

declare const process: { env: Record<string, string> };

const { BILLABLES_URL: url, BILLABLES_LOCKED_URL: lockedUrl, BILLABLES_TOKEN: token } = process.env;

type Fields = { accountId?: string; customerId?: string; sessionId?: string; callSid?: string };

function client(base = url) {
    const client = new JsonServiceClient(base);
    client.bearerToken = token;
    return client;
}

/** Checks that exactly this report is stored: a repeat is recognised. */
async function assertStored(fields: Fields) {
    const response = await fetch(`${url}/billables`, {
        method: "POST",
        headers: { "Authorization": `Bearer ${token}`, "Content-Type": "application/json" },
        body: JSON.stringify(fields),
    });
    equal([response.status, response.headers.get("Idempotent-Replayed")], [200, "true"], JSON.stringify(fields));
}

/** Returns the error that a call is rejected with. */
async function rejection(call: Promise<unknown>) {
    try {
        await call;
    } catch (error) {
        return (error as { responseStatus: any }).responseStatus;
    }
    throw new Error("the call must fail, but it succeeded");
}

let calls = 0;
function report(): Fields {
    calls += 1;
    return { accountId: "acc", customerId: "cus", callSid: `TS${calls}` };
}

async function checkForm(form: string, dto: (fields: Fields) => any) {
    // Each way to send one report, and its result.
    const singles: Record<string, (dto: any) => Promise<unknown>> = {
        "post": (dto) => client().post(dto),
        "send": (dto) => client().send(dto),
        "sendVoid": (dto) => client().sendVoid(dto),
        "publish": (dto) => client().publish(dto),
        "apiVoid": async (dto) => check((await client().apiVoid(dto)).succeeded, "apiVoid"),
        "api": async (dto) => check(!(await client().api(dto)).failed, "api"),
        "post without base path": (dto) => client().apply((c) => { c.basePath = null as any; }).post(dto),
        "publish without base path": (dto) => client().apply((c) => { c.basePath = null as any; }).publish(dto),
        "JsonApiClient": (dto) => {
            const client = JsonApiClient.create(url);
            client.bearerToken = token;
            return client.post(dto);
        },
        "credentials": (dto) => {
            const client = new JsonServiceClient(url);
            client.setCredentials("anyone", token);
            return client.post(dto);
        },
        "form": (dto) => {
            const data = new FormData();
            data.append("callSid", dto.callSid);
            const { callSid, ...rest } = dto;
            return client().postBody(Object.assign(Object.create(Object.getPrototypeOf(dto)), rest), data);
        },
    };
    for (const [way, send] of Object.entries(singles)) {
        const fields = report();
        const result = await send(dto(fields));
        check(result == null, `${form} ${way} returns ${JSON.stringify(result)}`);
        await assertStored(fields);
    }

    const shown = report();
    const billable = await client().postToUrl("/billables", dto(shown)) as any;
    equal([billable.state, billable.callSid], ["billable", shown.callSid], "postToUrl");
    await assertStored(shown);

    const batches: Record<string, (dtos: any[]) => Promise<unknown>> = {
        "sendAll": (dtos) => client().sendAll(dtos),
        "sendAllOneWay": (dtos) => client().sendAllOneWay(dtos),
        "sendAll without base path": (dtos) => client().apply((c) => { c.basePath = null as any; }).sendAll(dtos),
        "sendAllOneWay without base path": (dtos) => client().apply((c) => { c.basePath = null as any; }).sendAllOneWay(dtos),
    };
    for (const [way, send] of Object.entries(batches)) {
        const fields = [report(), report(), report()];
        const result = await send(fields.map(dto));
        if (way.startsWith("sendAll ") || way === "sendAll") equal(result, [null, null, null], `${form} ${way}`);
        for (const each of fields) await assertStored(each);
    }

    // Errors, as the client shows them.
    const invalid = await rejection(client().post(dto({ callSid: "CA1" })));
    equal([invalid.errorCode, invalid.errors[0].fieldName], ["NotEmpty", "SessionId"], "field errors");
    const batch = await rejection(client().sendAll([dto(report()), dto({ sessionId: "S", callSid: "\u0001" })]));
    equal([batch.errorCode, batch.errors[0].fieldName, batch.meta.AutoBatchIndex], ["InvalidCharacter", "CallSid", "1"], "a batch's errors");
    const stranger = client();
    stranger.bearerToken = "bil_nobody";
    equal((await rejection(stranger.post(dto(report())))).errorCode, "Unauthorized", "401");
    equal((await stranger.apiVoid(dto(report()))).error?.errorCode, "Unauthorized", "401 of apiVoid");
    const keyed = client();
    keyed.headers.set("Idempotency-Key", `ts-${form}`);
    await keyed.post(dto(report()));
    const conflict = await rejection(keyed.post(dto(report())));
    equal([conflict.errorCode, conflict.errors[0].fieldName], ["IdempotencyConflict", "CallSid"], "422");
    const locked = await rejection(client(lockedUrl).post(dto(report())));
    equal(locked.errorCode, "StoreUnavailable", "503");
}

await checkForm("page", (fields) => new page.NewBillable(fields));
await checkForm("served", (fields) => new dtos.NewBillable(fields));
await round("ts", dtos, client());
console.log(`TypeScript client: ${calls} reports, all operations called, all responses as expected`);
