// The same verification as bench/reference_asgi.py on Node's own HTTP server: JSON in, SHA-256, a look into a map, JSON out.
//
//     node bench/reference_node.mjs KEY ANSWER
//
// Its URL is printed once it answers. Nobody is recognised, nothing is counted, nothing expires.

import { createHash } from "node:crypto";
import { createServer } from "node:http";

const [key, answer] = process.argv.slice(2);
const digest = (text) => createHash("sha256").update("keywright.v1\0").update(text).digest("base64");
const known = new Map([[digest(key), JSON.parse(answer)]]);
const unknown = { valid: false, code: "not_found", api_key: null };

const server = createServer((request, response) => {
  const pieces = [];
  request.on("data", (piece) => pieces.push(piece));
  request.on("end", () => {
    const asked = JSON.parse(pieces.length === 1 ? pieces[0] : Buffer.concat(pieces));
    const body = JSON.stringify(known.get(digest(asked.key)) ?? unknown);
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
