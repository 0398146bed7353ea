"""
What a peer tells the benchmark, on one line of JSON. Runs in the peer's own environment: the standard library only.

    {"url", "create": {...}, "verify": {...}, "in_process_ns": 5100 | null, "bare_ns": 700}

`create` and `verify` are requests: method, path, headers, body. `in_process_ns` is one verification inside the process
that holds the peer, without HTTP, and `bare_ns` a SHA-256 of the same key and a look into a dict there.
"""

import asyncio
import hashlib
import json
import sqlite3
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

_ROUNDS = 3
_ROUND_SECONDS = 0.3


def request(method: str, path: str, body: object = None, **headers: str) -> dict[str, Any]:
    """Write a request down; header names with underscores for hyphens."""
    text = "" if body is None else json.dumps(body)
    return {
        "method": method,
        "path": path,
        "headers": {name.replace("_", "-"): value for name, value in headers.items()},
        "body": text,
    }


def announce(url: str, **fields: Any) -> None:
    """Tell the benchmark that the server answers, and how it is asked."""
    print(json.dumps({"url": url, **fields}), flush=True)


def versions(*packages: str) -> dict[str, str]:
    """Give the versions of installed packages."""
    return {name: version(name) for name in packages}


def durable_sqlite(path: Path) -> None:
    """Make a database whose journal is a write-ahead log, which the file remembers; commits are synced."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()


def bare_ns(key: str) -> float:
    """Measure what no checker can do without, in ns."""
    held = {hashlib.sha256(key.encode()).digest(): key}
    sha256 = hashlib.sha256
    return call_ns(lambda: held.get(sha256(key.encode()).digest()))


def call_ns(call: Callable[[], object]) -> float:
    """Measure a call in ns: the median of a few rounds."""
    found = []
    for _ in range(_ROUNDS):
        count, began = 0, time.perf_counter()
        while time.perf_counter() - began < _ROUND_SECONDS:
            # Ten calls to a look at the clock.
            for _ in range(10):
                call()
            count += 10
        found.append((time.perf_counter() - began) / count * 1e9)
    return statistics.median(found)


async def await_ns(call: Callable[[], Awaitable[object]]) -> float:
    """Measure an awaited call in ns: the median of a few rounds."""
    found = []
    for _ in range(_ROUNDS):
        count, began = 0, time.perf_counter()
        while time.perf_counter() - began < _ROUND_SECONDS:
            await call()
            count += 1
        found.append((time.perf_counter() - began) / count * 1e9)
    return statistics.median(found)


def serve(application: Any, when_up: Callable[[str], Awaitable[None]]) -> None:
    """Serve an ASGI application with uvicorn as in production, one worker, and call *when_up* with its URL."""
    # Not every peer is served by it.
    import uvicorn
    import uvloop

    config = uvicorn.Config(
        application, port=0, loop="uvloop", http="httptools", ws="none", log_level="warning", access_log=False
    )
    server = uvicorn.Server(config)

    async def run() -> None:
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.02)
            if serving.done():
                sys.exit("the server did not start")
        host, port = server.servers[0].sockets[0].getsockname()
        await when_up(f"http://{host}:{port}")
        await serving

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
