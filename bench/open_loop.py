"""
Requests at fixed times, whatever becomes of those before: a caller that does not slow down when the server does.

A latency counts from the moment at which its request was due, so a server that stands still is seen by every request
that was due meanwhile, and not by one alone.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from bench.processes import PATIENCE_SECONDS

Request = Callable[[], bytes]
"""Gives the next request of a kind, as it goes over the wire."""


@dataclass(slots=True)
class Seen:
    """The latencies of the answers that were a success, in ms, and how many were none, by status; 0 is no answer."""

    latencies: list[float] = field(default_factory=list)
    failures: Counter[int] = field(default_factory=Counter)

    def percentile(self, share: float) -> float:
        """Give a latency that the *share* of the answers does not exceed."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("inf")


def ask(url: str, kinds: Mapping[str, Request], *, each_second: float, samples: int) -> dict[str, Seen]:
    """Send so many requests of every kind, each kind so often in a second, and give what was seen of each."""
    return asyncio.run(_ask(url, kinds, each_second, samples))


async def _ask(url: str, kinds: Mapping[str, Request], each_second: float, samples: int) -> dict[str, Seen]:
    place = urlsplit(url)
    connections = _Connections(place.hostname or "", place.port or 80)
    seen = {kind: Seen() for kind in kinds}
    async with asyncio.TaskGroup() as tasks:
        for kind, request in kinds.items():
            tasks.create_task(_paced(connections, request, seen[kind], 1 / each_second, samples))
    connections.close()
    return seen


async def _paced(connections: "_Connections", request: Request, seen: Seen, pause: float, samples: int) -> None:
    # Each kind begins somewhere else within the pause, so that no two kinds always come at once.
    due = time.perf_counter() + random.random() * pause
    async with asyncio.TaskGroup() as tasks:
        for _ in range(samples):
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.create_task(_once(connections, request(), seen, due))
            due += pause


async def _once(connections: "_Connections", request: bytes, seen: Seen, due: float) -> None:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            status = await connections.answer(request)
    except (OSError, EOFError, TimeoutError):
        status = 0
    if 200 <= status < 300:
        seen.latencies.append(1000 * (time.perf_counter() - due))
    else:
        seen.failures[status] += 1


class _Connections:
    """Connections that are kept, one more whenever all of them wait for an answer."""

    def __init__(self, host: str, port: int) -> None:
        self._address = host, port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def answer(self, request: bytes) -> int:
        """Send a request, read the whole answer, and give its status; once more where the server had hung up before."""
        while self._idle:
            try:
                return await self._answer(request, *self._idle.pop())
            except (ConnectionError, EOFError):
                continue
        return await self._answer(request, *await asyncio.open_connection(*self._address))

    async def _answer(self, request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
        try:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(_length(head.split(b"\r\n")))
        except BaseException:
            writer.close()
            raise
        if b"connection: close" in head.lower():
            writer.close()
        else:
            self._idle.append((reader, writer))
        return int(head.split(b" ", 2)[1])

    def close(self) -> None:
        for _, writer in self._idle:
            writer.close()


def _length(lines: Sequence[bytes]) -> int:
    return next((int(line[15:]) for line in lines if line[:15].lower() == b"content-length:"), 0)
