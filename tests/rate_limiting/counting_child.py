"""
A process that counts with others; its arguments: URL CHECKS TASKS KEY LIMIT WINDOW [KEY LIMIT WINDOW ...].

Says `ready` when it is connected, begins when a line comes in, and gives as JSON how many of its checks passed for each
key and how many Redis did not count. Every task takes the keys in turn.
"""

import asyncio
import json
import sys

import uvloop

from keywright.keys.rate_limits import RateLimit
from tests.rate_limiting.making import limiter


async def main(url: str, checks: int, tasks: int, keys: list[tuple[bytes, RateLimit]]) -> None:
    """Check the given number of times, then print the results."""
    passed, uncounted = [0] * len(keys), 0

    def count() -> None:
        nonlocal uncounted
        uncounted += 1

    async def check(rounds: int) -> None:
        for _ in range(rounds):
            for number, (key_id, limit) in enumerate(keys):
                allowed = (await shared.acquire(key_id, (limit,), 1)).allowed
                passed[number] += allowed

    async with limiter(url, on_uncounted=count) as shared:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        await asyncio.gather(*(check(checks // tasks // len(keys)) for _ in range(tasks)))
    print(json.dumps({"passed": passed, "uncounted": uncounted}))


if __name__ == "__main__":
    url, checks, tasks, *rest = sys.argv[1:]
    of = [
        (bytes.fromhex(key_id), RateLimit("limit", int(size), int(window)))
        for key_id, size, window in zip(*[iter(rest)] * 3, strict=True)
    ]
    uvloop.run(main(url, int(checks), int(tasks), of))
