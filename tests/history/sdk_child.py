"""
A process that verifies in itself, as an API server does that was given a verifier; or by an agent, which it is itself.

Told on standard input: a line of JSON (`Orders`), then keys as `child.Keys` reads them.
"""

import asyncio
import json
import logging
import random
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from keywright.agent.application import create_app
from keywright.agent.settings import load
from keywright.api.server.first_sight import FirstSightProtocol
from keywright.cli.server.listening import listen
from keywright.client.errors import ServiceUnavailable
from keywright.client.verifier import AsyncVerifier, Verdict, Verifier
from keywright.keys.verdict import Code
from tests import seeds
from tests.history.checker import Outcome
from tests.history.child import Keys, Recording, wrong
from tests.history.nodes_child import Caller
from tests.history.wire import Connection

_REST_SECONDS = 0.01
_IN_A_BATCH = 10
OUTCOMES = {Code.VALID: Outcome.VALID, Code.REVOKED: Outcome.REVOKED, Code.NOT_FOUND: Outcome.NOT_FOUND}


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """
    What to do: verify with `tasks`, with `threads`, or by asking an `agent` that this process is; how many of them, or
    connections, and how long each pauses between two verifications.
    """

    name: str
    url: str
    credential: str
    recording: str
    way: str
    at_once: int
    pause: float
    outage_seconds: int


def outcome_of(orders: Orders, key: int, ended: Verdict | Exception) -> Outcome:
    """Say what a verification came to."""
    if isinstance(ended, ServiceUnavailable):
        return Outcome.UNAVAILABLE
    outcome = None if isinstance(ended, Exception) else OUTCOMES.get(ended.code)
    return wrong(orders.name, key, ended) if outcome is None else outcome


async def verify_awaiting(orders: Orders, keys: Keys, recording: Recording) -> None:
    """Verify in tasks of one event loop, as long as that is wanted."""

    async def go_on(verifier: AsyncVerifier) -> None:
        while keys.wanted:
            await asyncio.sleep(random.uniform(0.5, 1.5) * orders.pause)
            if (key := keys.pick()) is None:
                continue
            ended: Verdict | Exception
            start = time.monotonic()
            try:
                ended = await verifier.verify(key.text)
            except Exception as error:  # noqa: BLE001 - recorded as what it is
                ended = error
            end = time.monotonic()
            stale = isinstance(ended, Verdict) and ended.stale
            recording.note(start, end, orders.name, key.number, outcome_of(orders, key.number, ended), stale=stale)

    async with (
        AsyncVerifier(
            orders.url, orders.credential, name=orders.name, outage_seconds=orders.outage_seconds
        ) as verifier,
        asyncio.TaskGroup() as tasks,
    ):
        for _ in range(orders.at_once):
            tasks.create_task(go_on(verifier))


def verify_in_threads(orders: Orders, keys: Keys, recording: Recording) -> None:
    """Verify in threads that share one verifier, as long as that is wanted."""

    def go_on() -> None:
        while keys.wanted:
            time.sleep(random.uniform(0.5, 1.5) * orders.pause)
            if (key := keys.pick()) is None:
                continue
            ended: Verdict | Exception
            start = time.monotonic()
            try:
                ended = verifier.verify(key.text)
            except Exception as error:  # noqa: BLE001 - recorded as what it is
                ended = error
            end = time.monotonic()
            stale = isinstance(ended, Verdict) and ended.stale
            recording.note(start, end, orders.name, key.number, outcome_of(orders, key.number, ended), stale=stale)

    with Verifier(orders.url, orders.credential, name=orders.name, outage_seconds=orders.outage_seconds) as verifier:
        threads = [threading.Thread(target=go_on) for _ in range(orders.at_once)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


async def verify_by_agent(orders: Orders, keys: Keys, recording: Recording) -> None:
    """Be an agent, and ask it over its port, as long as that is wanted."""
    settings = load(
        url=orders.url,
        verifier=orders.credential,
        agent_name=orders.name,
        agent_access="open",
        outage_seconds=orders.outage_seconds,
    )
    with listen("127.0.0.1", 0) as listener:
        app, port = create_app(settings), listener.getsockname()[1]
        server = uvicorn.Server(uvicorn.Config(app, http=FirstSightProtocol, lifespan="on", log_config=None))
        serving = asyncio.create_task(server.serve([listener]))
        callers = [
            Caller(orders.name, Connection("127.0.0.1", port, {}), keys, recording) for _ in range(orders.at_once)
        ]
        async with asyncio.TaskGroup() as tasks:
            for place, caller in enumerate(callers):
                in_a_batch = None if place else _IN_A_BATCH
                tasks.create_task(caller.go_on(in_a_batch, orders.pause, lambda: keys.wanted))
        server.should_exit = True
        await serving


def main() -> None:
    """Do as ordered."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    orders = Orders(**json.loads(sys.stdin.readline()))
    seeds.begin(orders.name)
    keys, recording = Keys(), Recording(Path(orders.recording), [orders.name])
    while not keys.ended.wait(_REST_SECONDS):
        if keys.resting.is_set():
            continue
        if orders.way == "threads":
            verify_in_threads(orders, keys, recording)
        else:
            verify = verify_by_agent if orders.way == "agent" else verify_awaiting
            asyncio.run(verify(orders, keys, recording))
    recording.close()


if __name__ == "__main__":
    main()
