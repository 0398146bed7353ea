// Better Auth's API-key plugin on SQLite, behind its own Node handler; keys are created with a signed-in user's session.
// node peer_better_auth.mjs FOLDER ENVIRONMENT
// Keys are in the database and in secondary storage, a Map of this process.
import { createRequire } from 'node:module'
import { createServer } from 'node:http'
import { join } from 'node:path'

const [folder, environment] = process.argv.slice(2)
const require = createRequire(join(environment, 'package.json'))
const load = (name) => import(require.resolve(name))
const { betterAuth } = await load('better-auth')
const { toNodeHandler } = await load('better-auth/node')
const { getMigrations } = await load('better-auth/db/migration')
const { apiKey } = await load('@better-auth/api-key')
const Database = require('better-sqlite3')

const database = new Database(join(folder, 'better-auth.db'))
database.pragma('journal_mode = WAL')
database.pragma('synchronous = FULL')

const held = new Map()
const storage = {
  get: async (name) => held.get(name) ?? null,
  set: async (name, value) => { held.set(name, value) },
  delete: async (name) => { held.delete(name) },
}
let handler
const server = createServer(answer)
server.keepAliveTimeout = 0
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
const url = `http://127.0.0.1:${server.address().port}`

const auth = betterAuth({
  baseURL: url,
  secret: 'a secret of the benchmark that is long enough',
  database,
  secondaryStorage: storage,
  emailAndPassword: { enabled: true },
  session: { cookieCache: { enabled: true, maxAge: 3600 } },
  rateLimit: { enabled: false },
  telemetry: { enabled: false },
  logger: { disabled: true },
  advanced: { backgroundTasks: { handler: (task) => { task.catch(() => {}) } } },
  plugins: [apiKey({
    storage: 'secondary-storage', fallbackToDatabase: true, customStorage: storage, rateLimit: { enabled: false },
  })],
})
handler = toNodeHandler(auth)
await (await getMigrations(auth.options)).runMigrations()

const signedUp = await fetch(`${url}/api/auth/sign-up/email`, {
  method: 'POST',
  headers: { 'content-type': 'application/json', origin: url },
  body: JSON.stringify({ email: 'bench@example.com', password: 'a password of the benchmark', name: 'bench' }),
})
if (!signedUp.ok) throw new Error(await signedUp.text())
const cookie = signedUp.headers.getSetCookie().map((each) => each.split(';')[0]).join('; ')
const create = {
  method: 'POST', path: '/api/auth/api-key/create',
  headers: { 'Content-Type': 'application/json', Origin: url, Cookie: cookie }, body: '{"name":"bench"}',
}
const verify = []
for (let count = 0; count < 50; count += 1) {
  const made = await fetch(`${url}${create.path}`, { ...create, headers: create.headers })
  if (!made.ok) throw new Error(await made.text())
  const { key } = await made.json()
  verify.push({
    method: 'POST', path: '/verify', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ key }),
  })
}

function answer(request, response) {
  if (request.url !== '/verify') return handler(request, response)
  let text = ''
  request.setEncoding('utf8')
  request.on('data', (piece) => { text += piece })
  request.on('end', async () => {
    const verdict = await auth.api.verifyApiKey({ body: JSON.parse(text) })
    const body = JSON.stringify(verdict)
    response.writeHead(verdict.valid ? 200 : 401, {
      'content-type': 'application/json', 'content-length': Buffer.byteLength(body),
    })
    response.end(body)
  })
}

console.log(JSON.stringify({ url, create, verify }))
