// keypal on PostgreSQL through Drizzle, as its README sets it up, with its cache in memory, on Node's http server.
// node peer_keypal.mjs FOLDER DATABASE_URL ENVIRONMENT
import { createRequire } from 'node:module'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { bare, nanoseconds } from './timing.mjs'

const [, databaseUrl, environment] = process.argv.slice(2)
const require = createRequire(join(environment, 'package.json'))
const load = (name) => import(require.resolve(name))
const { createKeys } = await load('keypal')
const { DrizzleStore } = await load('keypal/drizzle')
const { drizzle } = await load('drizzle-orm/node-postgres')
const { index, jsonb, pgTable, text, unique } = await load('drizzle-orm/pg-core')
const { Pool } = require('pg')

const apikey = pgTable(
  'apikey',
  { id: text().primaryKey().notNull(), keyHash: text('key_hash').notNull(), metadata: jsonb('metadata').notNull() },
  (table) => [index('apikey_key_hash_idx').on(table.keyHash), unique('apikey_key_hash_unique').on(table.keyHash)],
)
const pool = new Pool({ connectionString: databaseUrl })
await pool.query(`CREATE TABLE apikey (id text PRIMARY KEY, key_hash text NOT NULL UNIQUE, metadata jsonb NOT NULL);
  CREATE INDEX apikey_key_hash_idx ON apikey (key_hash)`)
const keys = createKeys({
  prefix: 'sk_prod_',
  storage: new DrizzleStore({ db: drizzle(pool, { schema: { apikey } }), table: apikey }),
  cache: true,
})
const { key } = await keys.create({ ownerId: 'bench', name: 'bench' })

const server = createServer(async (request, response) => {
  const creates = request.method === 'POST'
  const result = creates ? await keys.create({ ownerId: 'bench', name: 'bench' }) : await keys.verify(request.headers)
  const body = JSON.stringify(result)
  response.writeHead(creates ? 201 : result.valid ? 200 : 401, {
    'content-type': 'application/json', 'content-length': Buffer.byteLength(body),
  })
  response.end(body)
})
server.keepAliveTimeout = 0
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
console.log(JSON.stringify({
  url: `http://127.0.0.1:${server.address().port}`,
  create: { method: 'POST', path: '/keys', headers: {}, body: '' },
  verify: { method: 'GET', path: '/verify', headers: { 'X-API-Key': key }, body: '' },
  in_process_ns: await nanoseconds(() => keys.verify(key)),
  bare_ns: bare(key),
}))
