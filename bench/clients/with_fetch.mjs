// Verify through the fetch of Node, which is undici.
//
//     BENCH_KEYS=keys.txt BENCH_CREDENTIAL=kw_vk_... node bench/clients/with_fetch.mjs URL CONNECTIONS

import { readFileSync } from "node:fs";

const [url, connections] = process.argv.slice(2);
const keys = readFileSync(process.env.BENCH_KEYS, "utf8").trim().split("\n").map((line) => line.split(" "));
const headers = { authorization: `Bearer ${process.env.BENCH_CREDENTIAL}`, "content-type": "application/json" };
const latencies = [];
let bad = 0;
let over = false;
process.on("SIGINT", () => { over = true; });

// The same choices for the same seed (mulberry32), which Math.random does not offer.
let state = Number(process.env.BENCH_SEED ?? 1);
const below = (number) => {
  state = (state + 0x6d2b79f5) | 0;
  let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
  return ((mixed ^ (mixed >>> 14)) >>> 0) % number;
};

async function ask() {
  while (!over) {
    const [key, , ...networks] = keys[below(keys.length)];
    const address = networks[below(networks.length)].replace("0/24", "7");
    const body = JSON.stringify({ key, client_ip: address, scopes: ["reports:read"] });
    const asked = performance.now();
    const answer = await fetch(`${url}/api/v2/api-keys/verify`, { method: "POST", headers, body });
    await answer.text();
    latencies.push(performance.now() - asked);
    bad += answer.status !== 200;
  }
}

console.log("loaded");
const began = performance.now();
await Promise.all(Array.from({ length: Number(connections) }, ask));
const microseconds = 1000 * (performance.now() - began);
latencies.sort((one, other) => one - other);
const at = (share) => latencies[Math.floor(latencies.length * share)] ?? 0;
console.log(JSON.stringify({
  answers: latencies.length, microseconds, bad, p50: at(0.5), p99: at(0.99), p999: at(0.999),
}));
process.exit();
