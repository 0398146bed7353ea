// The same as bench/reference_asgi.py on Node's own HTTP server.
//
//     node bench/reference_node.mjs KEYS ANSWERS HEADERS
//
// All three are JSON; the URL is printed once it answers. Nobody is recognised, nothing is counted, nothing expires.

import { createHash } from "node:crypto";
import { createServer } from "node:http";

const [keys, answers, headers] = process.argv.slice(2).map((text) => JSON.parse(text));
const digest = (text) => createHash("sha256").update("keywright.v1\0").update(text).digest("base64");
const known = new Map(keys.map((key, place) => [digest(key), answers[place]]));
const identity = headers.flat();
const unknown = { valid: false, code: "not_found", api_key: null };
const said = (key) => known.get(digest(key)) ?? unknown;

const server = createServer((request, response) => {
  if (request.url === "/forward-auth") {
    if (!known.has(digest(request.headers.authorization.slice(7)))) return response.writeHead(401).end();
    return response.writeHead(200, identity).end();
  }
  const pieces = [];
  request.on("data", (piece) => pieces.push(piece));
  request.on("end", () => {
    const asked = JSON.parse(pieces.length === 1 ? pieces[0] : Buffer.concat(pieces));
    const answer = request.url === "/batch" ? { results: asked.keys.map((each) => said(each.key)) } : said(asked.key);
    const body = JSON.stringify(answer);
    response.writeHead(200, {
      "content-type": "application/json",
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
      "content-length": Buffer.byteLength(body),
    });
    response.end(body);
  });
});
server.keepAliveTimeout = 60_000;
server.listen(0, "127.0.0.1", 2048, () => console.log(`http://127.0.0.1:${server.address().port}`));
