// One INSERT … ON CONFLICT per request, with Fastify and pg.

import cluster from 'node:cluster'
import { randomUUID } from 'node:crypto'
import { createRequire } from 'node:module'

const require = createRequire(`${process.env.NODE_ROOT}/`)
const fastify = require('fastify')
const { Pool } = require('pg')

const insert = `
insert into entries (partition, position, kind, billable_id, account_id, customer_id, session_id,
    call_sid, billed_account_id, billed_customer_id, occurred_at, recorded_at, client)
values (0, nextval('positions'), 1, $1, $2, $3, $4, $5, $2, $3, $6, $6, 'bench')
on conflict (partition, billable_id, kind) do nothing`

const text = { type: 'string' }
const schema = {
  body: {
    type: 'object',
    properties: { accountId: text, customerId: text, sessionId: text, callSid: text },
  },
}

if (cluster.isPrimary) {
  for (let worker = 0; worker < 2; worker++) cluster.fork()
} else {
  // Two workers share the 20 connections. The environment names the database.
  const pool = new Pool({ max: 10 })
  const app = fastify()
  app.post('/billables', { schema }, async (request, reply) => {
    const { accountId, customerId, sessionId, callSid } = request.body
    const now = Date.now() * 1000
    const values = [randomUUID(), accountId, customerId, sessionId, callSid, now]
    await pool.query({ name: 'insert', text: insert, values })
    return reply.code(201).send()
  })
  const [host, port] = process.env.LISTEN.split(':')
  await app.listen({ host, port: Number(port) })
}
