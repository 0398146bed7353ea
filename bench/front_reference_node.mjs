// The least that forward auth and a batch cost on Node's own http server; see front_reference_asgi.py.
// node front_reference_node.mjs KEYS ANSWERS HEADERS (all JSON); the URL is printed once it answers.
import { createHash } from 'node:crypto'
import { createServer } from 'node:http'

const [keys, answers, headers] = process.argv.slice(2).map((text) => JSON.parse(text))
const digest = (text) => createHash('sha256').update('keywright.v1\0').update(text).digest('base64')
const known = new Map(keys.map((key, place) => [digest(key), answers[place]]))
const identity = headers.flat()

function batch(request, response) {
  let text = ''
  request.setEncoding('utf8')
  request.on('data', (piece) => { text += piece })
  request.on('end', () => {
    const results = JSON.parse(text).keys.map((each) => known.get(digest(each.key)) ?? null)
    const body = JSON.stringify({ results })
    response.writeHead(200, {
      'content-type': 'application/json', 'cache-control': 'no-store', 'content-length': Buffer.byteLength(body),
    })
    response.end(body)
  })
}

const server = createServer((request, response) => {
  if (request.url === '/batch') return batch(request, response)
  if (!known.has(digest(request.headers.authorization.slice(7)))) return response.writeHead(401).end()
  response.writeHead(200, identity).end()
})
server.keepAliveTimeout = 0
server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`))
