// The same as bench/reference_asgi.py on Node's own HTTP server.
//
//     node bench/reference_node.mjs KEYS ANSWER

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";

const [keys, answer] = process.argv.slice(2).map((path) => readFileSync(path, "utf8"));
const { body, headers } = JSON.parse(answer);
const digest = (text) => createHash("sha256").update(text).digest("base64");
const one = body?.results ? body.results[0] : body;
const known = new Map(keys.trim().split("\n").map((line) => [digest(line.split(" ")[0]), one]));
const unknown = { valid: false, code: "not_found", api_key: null };
const said = (key) => known.get(digest(key)) ?? unknown;
const copied = Object.fromEntries(headers);

const server = createServer((request, response) => {
  if (request.url === "/forward-auth") {
    const status = known.has(digest(request.headers.authorization.slice(7))) ? 200 : 401;
    return response.writeHead(status, { ...copied, "content-length": 0 }).end();
  }
  const pieces = [];
  request.on("data", (piece) => pieces.push(piece));
  request.on("end", () => {
    const asked = JSON.parse(pieces.length === 1 ? pieces[0] : Buffer.concat(pieces));
    const text = JSON.stringify(asked.keys ? { results: asked.keys.map((each) => said(each.key)) } : said(asked.key));
    response.writeHead(200, {
      ...copied, "content-type": "application/json", "content-length": Buffer.byteLength(text),
    });
    response.end(text);
  });
});
server.keepAliveTimeout = 60_000;
server.listen(0, "127.0.0.1", 2048, () => console.log(`http://127.0.0.1:${server.address().port}`));
