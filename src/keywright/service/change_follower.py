"""
The change follower: each process invalidates its cached keys as soon as the change feed names them.

A cache is fresh for the bound after the begin of the last complete reading of the feed. So a process that was stopped,
a slow database and a cut connection need no special case: freshness ends by itself.

Every reading goes into one log. A feed to a verifier begins at a position of that log and sends everything behind it.
The acknowledgements of this process do the same. So the changes that are sent, dropped and acknowledged come from the
same readings.
"""

import asyncio
from collections.abc import Callable, Sequence
from math import inf
from typing import Any

from keywright.keys.cache import BOUND_SECONDS, DigestCache
from keywright.service.change_feed import ChangeFeed, ChangeStore, Reading
from keywright.service.change_log import ChangeLog
from keywright.service.checking.ports import Seconds
from keywright.service.faults import StorageUnavailable
from keywright.service.verifier_sessions import SESSION_SECONDS

READ_EVERY_SECONDS = 0.1
"""The pause between two readings when nothing wakes the reader, by default: a tenth of the bound."""

STORED_SECONDS = SESSION_SECONDS - 20 * BOUND_SECONDS
"""
How long after its session was stored a process may trust its readings.

A receipt counts a session for `SESSION_SECONDS` after its last renewal. This is less, by the bound and by the
difference of two clocks in an outage of a day.
"""

LONGEST_GAP_SECONDS = 12 * 3600.0
"""
The longest time between two readings after which nothing can be missing.

Retention removes changes after a day at the earliest, so a later reading may lack some of those in between.
"""

_PAUSE_SECONDS = 0.25


class ChangeFollower:
    """
    Reads the change feed for one process.

    Args:
        store: Gives the change feed.
        caches: The caches to invalidate, by the digests of the changes.
        monotonic: The clock of the caches, in seconds.
        read_every: The pause between two readings when nothing wakes the reader, in seconds, below half of the bound;
            by default `READ_EVERY_SECONDS`.
    """

    def __init__(
        self,
        store: ChangeStore,
        caches: Sequence[DigestCache[Any]],
        *,
        monotonic: Seconds,
        read_every: float | None = None,
    ) -> None:
        self.log = ChangeLog()
        self._store = store
        self._caches = caches
        self._monotonic = monotonic
        self._read_every = read_every
        self._task: asyncio.Task[None] | None = None
        self._since: float | None = None
        self._stored_at = inf
        # When the last reading began.
        self._read_at = inf
        # Set once for each reading with changes, and then replaced.
        self._news = asyncio.Event()
        self._listeners: list[Callable[[], object]] = []
        self._begun = asyncio.Event()

    @property
    def since(self) -> float | None:
        """When the last complete reading began: no earlier change is missing. None before the first reading."""
        return self._since

    def start(self) -> None:
        """Begin to follow in the background; a second call does nothing."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._follow(), name="following the changes")

    def session_stored(self, at: float) -> None:
        """
        Note that receipts name this process from now on, and begin to follow.

        Args:
            at: When the request to store the session was sent, by *monotonic*.
        """
        self._stored_at = at
        self.start()

    async def close(self) -> None:
        """Stop following; the caches are no longer fresh within the bound."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def listen(self, told: Callable[[], object]) -> None:
        """Have *told* called after each reading with changes, once the log has them; it must not raise."""
        self._listeners.append(told)

    async def begun(self) -> None:
        """Wait for the first reading: before it, the log has no position."""
        await self._begun.wait()

    async def news(self, position: int) -> None:
        """Wait until the log has a change at *position*."""
        while self.log.end <= position:
            await self._news.wait()

    async def _follow(self) -> None:
        feed = await self._begin()
        for cache in self._caches:
            # A key that was looked up before the feed begins may have changed in between.
            cache.drop_all()
        try:
            while True:
                if not await self._read(feed):
                    await feed.wait(self._read_every or READ_EVERY_SECONDS)
        finally:
            await feed.close()

    async def _begin(self) -> ChangeFeed:
        while True:
            try:
                return await self._store.follow()
            except StorageUnavailable:
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _read(self, feed: ChangeFeed) -> bool:
        """Read once; return whether there is more to read at once."""
        # Read before the reading begins: a change that is acknowledged during the reading may not be part of it.
        now = self._monotonic()
        since = min(now, self._stored_at + STORED_SECONDS)
        try:
            reading = await feed.read()
        except StorageUnavailable:
            # A later reading gives these changes.
            await asyncio.sleep(_PAUSE_SECONDS)
            return False
        # No await from here on: another task never sees `since` before the caches dropped the changes before it.
        if now - self._read_at > LONGEST_GAP_SECONDS:
            self._begin_anew()
        self._read_at = now
        digests = [digest for change in reading.changes for digest in change.digests]
        for cache in self._caches:
            cache.drop(digests)
        if reading.proven and not reading.more:
            self._synced(since)
        self._log(reading)
        return reading.more

    def _begin_anew(self) -> None:
        """Forget all, because retention may have removed changes that were not read."""
        for cache in self._caches:
            cache.drop_all()
        self.log.cut()

    def _synced(self, since: float) -> None:
        for cache in self._caches:
            cache.synced(since)
        self._since = since

    def _log(self, reading: Reading) -> None:
        self.log.add(reading)
        if self._since is not None:
            self._begun.set()
        if reading.changes:
            news, self._news = self._news, asyncio.Event()
            news.set()
            for told in self._listeners:
                told()
