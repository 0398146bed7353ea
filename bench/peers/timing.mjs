// How long a call takes, for peers on Node: what protocol.py does for the others.
import { createHash } from 'node:crypto'
import { performance } from 'node:perf_hooks'

const ROUNDS = 3
const ROUND_MILLISECONDS = 300

/** Measure an awaited call in ns: the median of a few rounds. */
export async function nanoseconds(call) {
  const rounds = []
  for (let round = 0; round < ROUNDS; round += 1) {
    const began = performance.now()
    let count = 0
    for (; performance.now() - began < ROUND_MILLISECONDS; count += 1) await call()
    rounds.push((performance.now() - began) / count * 1e6)
  }
  return rounds.sort((a, b) => a - b)[1]
}

/** Measure what no checker can do without: a SHA-256 of the key and a look into a Map, in ns. */
export function bare(key) {
  const digest = () => createHash('sha256').update(key).digest('base64')
  const known = new Map([[digest(), 1]])
  const began = performance.now()
  let count = 0
  for (; performance.now() - began < ROUND_MILLISECONDS; count += 10) for (let each = 0; each < 10; each += 1) known.get(digest())
  return (performance.now() - began) / count * 1e6
}
