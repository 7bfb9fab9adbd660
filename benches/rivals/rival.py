"""One `INSERT … ON CONFLICT` per request, with FastAPI and asyncpg."""

import time
import uuid
from contextlib import asynccontextmanager

import asyncpg
from fastapi import FastAPI, Response
from pydantic import BaseModel

INSERT = """
insert into entries (partition, position, kind, billable_id, account_id, customer_id, session_id,
    call_sid, billed_account_id, billed_customer_id, occurred_at, recorded_at, client)
values (0, nextval('positions'), 1, $1, $2, $3, $4, $5, $2, $3, $6, $6, 'bench')
on conflict (partition, billable_id, kind) do nothing
"""


class Report(BaseModel):
    accountId: str | None = None
    customerId: str | None = None
    sessionId: str | None = None
    callSid: str | None = None


@asynccontextmanager
async def lifespan(app: FastAPI):
    # Two workers share the 20 connections. The environment names the database.
    app.state.pool = await asyncpg.create_pool(min_size=10, max_size=10)
    yield


app = FastAPI(lifespan=lifespan)


@app.post("/billables", status_code=201)
async def new_billable(report: Report) -> Response:
    now = time.time_ns() // 1000
    await app.state.pool.execute(
        INSERT, uuid.uuid4(), report.accountId, report.customerId, report.sessionId, report.callSid, now
    )
    return Response(status_code=201)
