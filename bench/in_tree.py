"""
The in-process verifier, in a process of its own with a tree's `src` in PYTHONPATH. No other file imports Keywright.

    python bench/in_tree.py calls URL CREDENTIAL KEYS
    python bench/in_tree.py watch URL CREDENTIAL verifier|http

`calls` caches the keys of the file KEYS and prints the bytes of memory that each takes; for every line on its standard
input it measures each kind of call: CPU ns a call, p50 and p99 of what a caller waits. `watch` reads a key, prints
"passing" once it passes, and then the time of the first refusal, on the clock that all processes of a machine share.
"""

import asyncio
import gc
import json
import random
import resource
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
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
SCOPES = ("reports:read",)
Check = Callable[[str, str], Any]
"""Checks a key and its client's address."""


async def measure_calls(url: str, credential: str, path: str) -> None:
    """Cache the keys, and measure whenever a line comes."""
    lines = [line.split() for line in Path(path).read_text().splitlines()]
    first = [(text, network.removesuffix("0/24") + "7") for text, _, network, *_ in lines]
    varied = [_question(*random.choice(lines)) for _ in range(CALLS)]
    orders = {"varied": varied, "repeated": first[:IN_TURN] * (CALLS // IN_TURN)}
    expires_at, granted = time.time() + 86_400, frozenset({"reports:read", "orders:write"})
    known = {sha256(text.encode()).digest(): (text, expires_at, granted) for text, _ in first}

    def reference(text: str, _: str) -> Any:
        """Check as barely as is correct, networks left out."""
        record = known.get(sha256(text.encode()).digest())
        return record if record is not None and record[1] > time.time() and record[2].issuperset(SCOPES) else None

    with Verifier(url, credential) as verifier:
        async with AsyncVerifier(url, credential) as asynchronous:
            print(await _fill(partial(asyncio.to_thread, verifier.verify), first), flush=True)
            await _fill(asynchronous.verify, first)
            # What the middlewares call; a tree without it is measured by the other verifier twice.
            at_once = getattr(asynchronous, "verify_now", verifier.verify)
            calls: dict[str, Check] = {
                "reference": reference,
                "Verifier": lambda text, address: verifier.verify(text, scopes=SCOPES, client_ip=address),
                "AsyncVerifier": lambda text, address: at_once(text, scopes=SCOPES, client_ip=address),
            }
            while await asyncio.to_thread(sys.stdin.readline):
                found = {
                    f"{name}, {order}": await _measured(call, sequence)
                    for order, sequence in orders.items()
                    for name, call in calls.items()
                }
                print(json.dumps(found), flush=True)


def _question(text: str, _: str, *networks: str) -> tuple[str, str]:
    return text, random.choice(networks).removesuffix("0/24") + str(random.randrange(1, 255))


async def _fill(verify: Callable[..., Awaitable[Any]], questions: Sequence[tuple[str, str]]) -> float:
    """Check every key once, and give the resident bytes that a key takes; what the first tenth takes does not count."""
    early, before = len(questions) // 10, 0
    for place, (text, address) in enumerate(questions):
        if place == early:
            before = _resident_bytes()
        passes = False
        while not passes:
            # A busy machine may keep the service from answering in time.
            with suppress(KeywrightError):
                passes = bool(await verify(text, client_ip=address))
    return (_resident_bytes() - before) / (len(questions) - early)


def _resident_bytes() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


async def _measured(call: Check, questions: Sequence[tuple[str, str]]) -> dict[str, float]:
    """Measure CPU time in pieces, between which the feed is heard, then the wait of each call."""
    spent, waits = [], []
    for start in range(0, len(questions), PIECE):
        piece = questions[start : start + PIECE]
        # While a busy machine keeps the feed away, nothing is answered from memory.
        while not call(*piece[0]):
            await asyncio.sleep(0.01)
        began = time.thread_time_ns()
        for text, address in piece:
            call(text, address)
        spent.append((time.thread_time_ns() - began) / len(piece))
        for text, address in piece:
            asked = time.perf_counter_ns()
            call(text, address)
            waits.append(time.perf_counter_ns() - asked)
        await asyncio.sleep(0.001)
    waits.sort()
    p50, p99 = (waits[len(waits) * share // 100] / 1000 for share in (50, 99))
    return {"cpu_ns": sorted(spent)[len(spent) // 2], "p50_us": p50, "p99_us": p99}


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
