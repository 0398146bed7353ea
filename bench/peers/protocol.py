"""
What a peer tells the benchmark, on one line of JSON. Runs in the peer's own environment: the standard library only.

    {"url": ..., "create": {...}, "verify": [{...}, ...]}

`create` is a request, `verify` one for each of some keys: method, path, headers, body.
"""

import asyncio
import json
import sqlite3
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

KEYS = 50


def request(method: str, path: str, body: object = None, **headers: str) -> dict[str, Any]:
    """Write a request down; header names with underscores for hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return {"method": method, "path": path, "headers": named, "body": "" if body is None else json.dumps(body)}


def announce(url: str, **fields: Any) -> None:
    """Tell the benchmark that the server answers, and how it is asked."""
    print(json.dumps({"url": url, **fields}), flush=True)


def durable_sqlite(path: Path) -> None:
    """Make a database whose journal is a write-ahead log, which the file remembers; commits are synced."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()


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
