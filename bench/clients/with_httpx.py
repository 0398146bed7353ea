"""
Verify through httpx, which most callers in Python use.

    BENCH_KEYS=keys.txt BENCH_CREDENTIAL=kw_vk_... python bench/clients/with_httpx.py URL CONNECTIONS
"""

import asyncio
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import httpx


async def main(url: str, connections: int) -> None:
    """Ask on every connection until an interrupt comes, and print what was seen."""
    random.seed(os.environ.get("BENCH_SEED", "1"))
    keys = [line.split() for line in Path(os.environ["BENCH_KEYS"]).read_text().splitlines()]
    latencies: list[float] = []
    bad = 0
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, over.set)
    headers = {"Authorization": f"Bearer {os.environ['BENCH_CREDENTIAL']}"}
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)

    async def ask() -> None:
        nonlocal bad
        while not over.is_set():
            text, _, *networks = random.choice(keys)
            address = random.choice(networks).removesuffix("0/24") + "7"
            body = {"key": text, "client_ip": address, "scopes": ["reports:read"]}
            asked = time.perf_counter()
            answer = await client.post("/api/v2/api-keys/verify", json=body)
            latencies.append(1000 * (time.perf_counter() - asked))
            bad += answer.status_code != httpx.codes.OK

    print("loaded", flush=True)
    async with httpx.AsyncClient(base_url=url, headers=headers, limits=limits, trust_env=False, timeout=30) as client:
        began = time.perf_counter()
        await asyncio.gather(*(ask() for _ in range(connections)))
        took = time.perf_counter() - began
    latencies.sort()
    shares = {"p50": 0.5, "p99": 0.99, "p999": 0.999}
    found = {name: latencies[int(len(latencies) * share)] if latencies else 0 for name, share in shares.items()}
    print(json.dumps({"answers": len(latencies), "microseconds": 1e6 * took, "bad": bad, **found}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
