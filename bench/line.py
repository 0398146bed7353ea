"""
A long and lossy line between a region and the service: a proxy for TCP, without the service's knowledge.

What is sent arrives after a delay and in order. A piece that is lost is sent again, as TCP does: it waits for some
time, and so does everything behind it. A cut line passes nothing and closes nothing, as a router that fails; what was
sent meanwhile arrives afterwards. `Line.reset` breaks all connections, as a router that starts again.

toxiproxy delays and cuts in this way, but its faults come to a whole connection or to none: no toxic of it makes one
write in a hundred wait.
"""

import asyncio
import random
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

_FEED = b"GET /api/v2/verifier/feed"
_PIECE_BYTES = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """
    How a line treats what is sent.

    Args:
        delay: Seconds in one direction.
        stalls: The share of pieces that wait longer.
        stall: For how many seconds, at least and at most.
    """

    delay: float = 0.06
    stalls: float = 0.01
    stall: tuple[float, float] = (0.2, 0.8)


class Line:
    """
    The line of one region.

    Args:
        host: The service.
        port: Of the service.
        weather: How it treats what is sent.
        seed: Decides what waits, and how long.
    """

    def __init__(self, host: str, port: int, weather: Weather, seed: int) -> None:
        self._upstream = host, port
        self._weather = weather
        self._random = random.Random(seed)
        self._open = asyncio.Event()
        self._open.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.feeds = 0
        """How many feeds were requested through it."""
        self.stalls = 0
        """How many pieces waited longer than the others."""

    async def start(self) -> int:
        """Listen on a port of its own, and give it."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def cut(self) -> None:
        """Pass nothing, from now on."""
        self._open.clear()

    def mend(self) -> None:
        """Pass what waits, and whatever comes."""
        self._open.set()

    def reset(self) -> None:
        """Break all connections, which both sides notice."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def close(self) -> None:
        """Stop listening, and break what is open."""
        if self._server is not None:
            self._server.close()
        self.reset()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._upstream)
        except OSError:
            self._writers.discard(writer)
            writer.transport.abort()
            return
        self._writers.add(far_writer)
        there = _Direction(self, self._weather, self._random, far_writer, counts_feeds=True)
        back = _Direction(self, self._weather, self._random, writer, counts_feeds=False)
        tasks = [asyncio.create_task(work) for work in (*there.work(reader), *back.work(far_reader))]
        self._tasks.update(tasks)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                # What a broken connection says is of no interest.
                task.add_done_callback(lambda done: done.cancelled() or done.exception())
                task.cancel()
            self._tasks.difference_update(tasks)
            for each in (writer, far_writer):
                self._writers.discard(each)
                each.transport.abort()

    async def opened(self) -> None:
        """Wait until the line passes something."""
        await self._open.wait()


class _Direction:
    """One direction of one connection."""

    def __init__(
        self, line: Line, weather: Weather, chance: random.Random, writer: asyncio.StreamWriter, *, counts_feeds: bool
    ) -> None:
        self._line = line
        self._weather = weather
        self._chance = chance
        self._writer = writer
        self._counts_feeds = counts_feeds
        self._pieces: deque[tuple[float, bytes]] = deque()
        self._arrived = asyncio.Event()
        self._due = 0.0

    def work(self, reader: asyncio.StreamReader) -> tuple[Coroutine[Any, Any, None], Coroutine[Any, Any, None]]:
        """Give what takes pieces in, and what sends them on."""
        return self._take(reader), self._pass_on()

    async def _take(self, reader: asyncio.StreamReader) -> None:
        loop = asyncio.get_running_loop()
        while piece := await reader.read(_PIECE_BYTES):
            if self._counts_feeds and piece.startswith(_FEED):
                self._line.feeds += 1
            due = loop.time() + self._weather.delay
            if self._chance.random() < self._weather.stalls:
                due += self._chance.uniform(*self._weather.stall)
                self._line.stalls += 1
            # In order: nothing overtakes a piece that waits.
            self._due = max(self._due, due)
            self._pieces.append((self._due, piece))
            self._arrived.set()
        # The end arrives like everything before it.
        await asyncio.sleep(max(0.0, self._due - loop.time()) + self._weather.delay)

    async def _pass_on(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            while not self._pieces:
                self._arrived.clear()
                await self._arrived.wait()
            due, piece = self._pieces[0]
            await asyncio.sleep(max(0.0, due - loop.time()))
            await self._line.opened()
            self._pieces.popleft()
            self._writer.write(piece)
            await self._writer.drain()
