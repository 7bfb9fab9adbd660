// Calls every operation with the DTOs as a JavaScript module, which Node loads unchanged.
import { JsonServiceClient } from "@servicestack/client";
import * as dtos from "./dtos.mjs";
import { round } from "./round.js";

const client = new JsonServiceClient(process.env.BILLABLES_URL);
client.bearerToken = process.env.BILLABLES_TOKEN;
await round("mjs", dtos, client);
console.log("JavaScript module: all operations called, all responses as expected");
