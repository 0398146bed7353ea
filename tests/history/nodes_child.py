"""
A process that verifies over HTTP at every node, on several connections to each.

Told on standard input: a line of JSON (`Orders`), then keys as `child.Keys` reads them.
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import seeds
from tests.history.checker import Outcome
from tests.history.child import Key, Keys, Recording, wrong
from tests.history.wire import Broken, Connection, Response

VERIFY = "/api/v2/api-keys/verify"
# A stopped node answers what it was asked meanwhile when it goes on: some wait for that, some come again.
PATIENCE_SECONDS = (2.0, 15.0)
PAUSE_AFTER_TROUBLE_SECONDS = 0.1
OUTCOMES = {"valid": Outcome.VALID, "revoked": Outcome.REVOKED, "not_found": Outcome.NOT_FOUND}


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """
    What to do.

    `nodes` has name, host and port of each. `singles` and `batches` are connections to each node; each pauses between
    two requests. `in_a_batch` is how many keys a batch has.
    """

    nodes: list[tuple[str, str, int]]
    credential: str
    recording: str
    singles: int
    batches: int
    in_a_batch: int
    single_pause: float
    batch_pause: float


class Caller:
    """Verifies on one connection until the end."""

    def __init__(self, name: str, connection: Connection, keys: Keys, recording: Recording) -> None:
        self._name = name
        self._connection = connection
        self._keys = keys
        self._recording = recording

    async def go_on(self, in_a_batch: int | None, pause: float, wanted: Callable[[], bool]) -> None:
        """Verify, singly or in batches, while it is *wanted*."""
        while wanted():
            keys = [key for key in (self._keys.pick() for _ in range(in_a_batch or 1)) if key is not None]
            fine = not keys or await self._verify(keys, batch=in_a_batch is not None)
            await asyncio.sleep(random.uniform(0.5, 1.5) * pause if fine else PAUSE_AFTER_TROUBLE_SECONDS)
        self._connection.close()

    async def _verify(self, keys: list[Key], *, batch: bool) -> bool:
        path, body = VERIFY, {"key": keys[0].text}
        if batch:
            path, body = f"{VERIFY}/batch", {"keys": [{"key": key.text} for key in keys]}
        start = time.monotonic()
        try:
            response = await self._connection.request("POST", path, body, patience=random.choice(PATIENCE_SECONDS))
        except Broken:
            response = None
        end = time.monotonic()
        for key, (outcome, stale) in zip(keys, self._read(keys, response, batch=batch), strict=True):
            self._recording.note(start, end, self._name, key.number, outcome, stale=stale)
        return response is not None and response.status == 200

    def _read(self, keys: list[Key], response: Response | None, *, batch: bool) -> list[tuple[Outcome, bool]]:
        if response is None:
            return [(Outcome.UNAVAILABLE, False)] * len(keys)
        if response.status == 503:
            named = response.json()["code"] == "storage_unavailable" and "retry-after" in response.headers
            failed = Outcome.UNAVAILABLE if named else wrong(self._name, keys[0].number, response)
            return [(failed, False)] * len(keys)
        if response.status != 200:
            return [(wrong(self._name, keys[0].number, response), False)] * len(keys)
        answers = response.json()["results"] if batch else [response.json()]
        read = [self._outcome(key, answer) for key, answer in zip(keys, answers, strict=True)]
        if any(stale for _, stale in read) is not ("keywright-stale" in response.headers):
            wrong(self._name, keys[0].number, "the header contradicts the body")
            return [(Outcome.WRONG, False)] * len(keys)
        return read

    def _outcome(self, key: Key, answer: dict[str, Any]) -> tuple[Outcome, bool]:
        outcome = OUTCOMES.get(answer["code"])
        if outcome is None or answer["valid"] is not (outcome is Outcome.VALID):
            outcome = wrong(self._name, key.number, answer)
        return outcome, answer.get("stale", False)


async def main() -> None:
    """Do as ordered."""
    orders = Orders(**json.loads(sys.stdin.readline()))
    seeds.begin("nodes")
    keys, recording = Keys(), Recording(Path(orders.recording), [name for name, *_ in orders.nodes])
    headers = {"Authorization": f"Bearer {orders.credential}"}
    async with asyncio.TaskGroup() as tasks:
        for name, host, port in orders.nodes:
            for place in range(orders.singles + orders.batches):
                caller = Caller(name, Connection(host, port, headers), keys, recording)
                single = place < orders.singles
                in_a_batch, pause = (None, orders.single_pause) if single else (orders.in_a_batch, orders.batch_pause)
                tasks.create_task(caller.go_on(in_a_batch, pause, lambda: not keys.ended.is_set()))
    recording.close()


if __name__ == "__main__":
    asyncio.run(main())
