"""
The in-process verifier, in a process of its own with a tree's `src` in PYTHONPATH. No other file imports Keywright.

    python bench/in_tree.py calls URL CREDENTIAL KEYS
    python bench/in_tree.py watch URL CREDENTIAL verifier|http

`calls` caches the keys of the file KEYS and prints the bytes of memory that each takes; for every line on its standard
input it measures each kind of call: CPU ns a call, and the p99 of what a caller waits. `watch` reads a key, prints
"passing" once it passes, and then the time of the first refusal, on the clock that all processes of a machine share.
"""

import asyncio
import gc
import json
import random
import resource
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx

from keywright.client import AsyncVerifier, KeywrightError, Verifier

CALLS = 20_000
IN_TURN = 1000
PIECE = 500
POLL_SECONDS = 0.0005


async def measure_calls(url: str, credential: str, path: str) -> None:
    """Cache the keys, each with one address, and measure whenever a line comes."""
    lines = [line.split() for line in Path(path).read_text().splitlines()]
    addresses = {text: f"{network}.7" for text, _, network, *_ in lines}
    known = {sha256(text.encode()).digest(): text for text in addresses}
    texts = list(addresses)
    orders = {"varied": random.choices(texts, k=CALLS), "repeated": texts[:IN_TURN] * (CALLS // IN_TURN)}
    with Verifier(url, credential) as verifier:
        async with AsyncVerifier(url, credential) as asynchronous:
            print(await _fill(partial(asyncio.to_thread, verifier.verify), addresses), flush=True)
            await _fill(asynchronous.verify, addresses)
            # What the middlewares call; a tree without it is measured by the other verifier twice.
            at_once = getattr(asynchronous, "verify_now", verifier.verify)
            scopes = ("reports:read",)
            calls: dict[str, Callable[[str], Any]] = {
                "bare loop": lambda text: known[sha256(text.encode()).digest()],
                "Verifier": lambda text: verifier.verify(text, scopes=scopes, client_ip=addresses[text]),
                "AsyncVerifier": lambda text: at_once(text, scopes=scopes, client_ip=addresses[text]),
            }
            while await asyncio.to_thread(sys.stdin.readline):
                found = {
                    f"{name}, {order}": await _measured(call, sequence)
                    for order, sequence in orders.items()
                    for name, call in calls.items()
                }
                print(json.dumps(found), flush=True)


async def _fill(verify: Callable[..., Awaitable[Any]], addresses: Mapping[str, str]) -> float:
    """Check every key once, and give the resident bytes that a key takes; what the first tenth takes does not count."""
    early, before = len(addresses) // 10, 0
    for place, (text, address) in enumerate(addresses.items()):
        if place == early:
            before = _resident_bytes()
        passes = False
        while not passes:
            # A busy machine may keep the service from answering in time.
            with suppress(KeywrightError):
                passes = bool(await verify(text, client_ip=address))
    return (_resident_bytes() - before) / (len(addresses) - early)


def _resident_bytes() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


async def _measured(call: Callable[[str], Any], texts: Sequence[str]) -> dict[str, float]:
    """Measure CPU time in pieces, between which the feed is heard, then the wait of each call."""
    spent, waits = [], []
    for start in range(0, len(texts), PIECE):
        piece = texts[start : start + PIECE]
        # While a busy machine keeps the feed away, nothing is answered from memory.
        while not call(piece[0]):
            await asyncio.sleep(0.01)
        began = time.thread_time_ns()
        for text in piece:
            call(text)
        spent.append((time.thread_time_ns() - began) / len(piece))
        for text in piece:
            asked = time.perf_counter_ns()
            call(text)
            waits.append(time.perf_counter_ns() - asked)
        await asyncio.sleep(0.001)
    return {"cpu_ns": sorted(spent)[len(spent) // 2], "p99_ns": sorted(waits)[len(waits) * 99 // 100]}


def watch(url: str, credential: str, way: str) -> None:
    """Say of each key that is read when it passes, and when it no longer does."""
    headers = {"Authorization": f"Bearer {credential}"}
    with Verifier(url, credential) as verifier, httpx.Client(base_url=url, headers=headers, trust_env=False) as http:

        def passes(text: str) -> bool:
            if way == "verifier":
                return bool(verifier.verify(text))
            return bool(http.post("/api/v2/api-keys/verify", json={"key": text}).json()["valid"])

        for line in sys.stdin:
            assert passes(line.strip())
            print("passing", flush=True)
            while passes(line.strip()):
                time.sleep(POLL_SECONDS)
            print(time.monotonic(), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "calls":
        asyncio.run(measure_calls(*sys.argv[2:]))
    else:
        watch(*sys.argv[2:])
