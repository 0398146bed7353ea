"""A TCP proxy between a verifier and its service that can be told to let nothing through."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import Enum, auto

from tests.listening import serving

_FEED = b"GET /api/v2/verifier/feed"
_PIECE = 64 * 1024


class Cut(Enum):
    """
    What is cut.

    `NOTHING`: all is let through. `FEED_STALLED`: nothing of a feed comes through, but all of it comes later; questions
    do. `STALLED`: nothing comes through, and all of it later. `DROPPED`: connections end, and new ones end at once.
    """

    NOTHING = auto()
    FEED_STALLED = auto()
    STALLED = auto()
    DROPPED = auto()


class Cutter:
    """
    Listens on a free port of its own, and forwards to one address.

    Args:
        host: Where to.
        port: Where to.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._cut = Cut.NOTHING
        self._changed = asyncio.Condition()
        self._open: set[asyncio.StreamWriter] = set()

    @asynccontextmanager
    async def forwarding(self) -> AsyncIterator[str]:
        """Forward what comes to the URL that is given, until the block ends, and every connection with it."""
        async with serving(self._serve) as port:
            yield f"http://127.0.0.1:{port}"

    async def set(self, cut: Cut) -> None:
        """Cut, or mend."""
        async with self._changed:
            self._cut = cut
            self._changed.notify_all()
        if cut is Cut.DROPPED:
            for writer in list(self._open):
                writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        upstream: asyncio.StreamWriter | None = None
        try:
            if self._cut is Cut.DROPPED:
                return
            first = await reader.read(_PIECE)
            is_feed = first.startswith(_FEED)
            await self._passable(is_feed=is_feed)
            answers, upstream = await asyncio.open_connection(self._host, self._port)
            self._open.add(upstream)
            upstream.write(first)
            await self._forward(reader, writer, answers, upstream, is_feed=is_feed)
        except OSError:
            # Whoever is at the other end sees its connection end.
            return
        finally:
            for end in (writer, upstream):
                if end is not None:
                    self._open.discard(end)
                    end.transport.abort()

    async def _forward(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        answers: asyncio.StreamReader,
        upstream: asyncio.StreamWriter,
        *,
        is_feed: bool,
    ) -> None:
        """Forward both ways until one of them ends."""
        ways = [
            asyncio.ensure_future(self._pump(reader, upstream, is_feed=is_feed)),
            asyncio.ensure_future(self._pump(answers, writer, is_feed=is_feed)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.wait(ways)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_feed: bool) -> None:
        with suppress(OSError):
            while piece := await reader.read(_PIECE):
                await self._passable(is_feed=is_feed)
                writer.write(piece)
                await writer.drain()

    async def _passable(self, *, is_feed: bool) -> None:
        async with self._changed:
            await self._changed.wait_for(
                lambda: self._cut is not Cut.STALLED and not (is_feed and self._cut is Cut.FEED_STALLED)
            )
