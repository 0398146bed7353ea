"""
Following the changes: each process drops what it holds of a key as soon as the trail names it.

What is held counts only from the moment at which the last complete reading of the trail began, so a process that was
stopped, a slow database and a cut connection need no special case: trust lapses by itself.

What was read stands in one log. A feed begins at a position of that log and gets everything behind it, so what a feed
has sent and what this process has dropped come from the same readings.
"""

import asyncio
from collections.abc import Callable, Sequence
from math import inf
from typing import Any

from keywright.keys.known import BOUND_SECONDS, Known
from keywright.service.change_log import ChangeLog
from keywright.service.checking_ports import SESSION_SECONDS, Change, CheckingStore, Trail
from keywright.service.faults import StorageUnavailable
from keywright.service.limits import Seconds

READ_EVERY_SECONDS = 0.1
"""How often the trail is read when nothing calls; a tenth of the bound."""

STORED_SECONDS = SESSION_SECONDS - 20 * BOUND_SECONDS
"""
How long after its session was stored a process may trust what it reads.

Less than the time for which a receipt reckons with a session that is not renewed, by the bound and by what two clocks
may differ in an outage of a day.
"""

_PAUSE_SECONDS = 0.25

Listener = Callable[[Sequence[Change]], None]


class Following:
    """
    Reads the trail for one process.

    Args:
        store: Whose changes.
        known: What is to be emptied: memories by the digests that changes name.
        monotonic: The clock that they are told in.
    """

    def __init__(self, store: CheckingStore, known: Sequence[Known[Any]], *, monotonic: Seconds) -> None:
        self.log = ChangeLog()
        self._store = store
        self._known = known
        self._monotonic = monotonic
        self._listeners: set[Listener] = set()
        self._task: asyncio.Task[None] | None = None
        self._since: float | None = None
        self._stored_at = inf
        # Set once for each reading that gave something, and then replaced.
        self._news = asyncio.Event()
        self._begun = asyncio.Event()

    @property
    def since(self) -> float | None:
        """From when on nothing is known to have been missed, at the last reading; None before the first."""
        return self._since

    def start(self) -> None:
        """Begin to follow, in the background, unless that was done."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._follow(), name="following the changes")

    def session_stored(self, at: float) -> None:
        """
        Note that this process is known to receipts, and begin to follow.

        Args:
            at: When the database was asked to store it.
        """
        self._stored_at = at
        self.start()

    async def close(self) -> None:
        """Stop following; what is held lapses within the bound."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Have *listener* called with every batch of changes, after they were dropped here; gives the way to end it."""
        self._listeners.add(listener)
        return lambda: self._listeners.discard(listener)

    async def begun(self) -> None:
        """Wait for the first reading: before it the log has no position to begin at."""
        await self._begun.wait()

    async def news(self, position: int) -> None:
        """Wait until the log has something at *position*."""
        while self.log.end <= position:
            await self._news.wait()

    async def _follow(self) -> None:
        trail = await self._begin()
        for known in self._known:
            # What was looked up before the trail begins may have changed before it begins.
            known.drop_all()
        try:
            while True:
                await self._read(trail)
                await trail.wait(READ_EVERY_SECONDS)
        finally:
            await trail.close()

    async def _begin(self) -> Trail:
        while True:
            try:
                return await self._store.follow()
            except StorageUnavailable:
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _read(self, trail: Trail) -> None:
        # Before the trail is asked: what is acknowledged while it is being read may not be in its answer.
        since = min(self._monotonic(), self._stored_at + STORED_SECONDS)
        try:
            reading = await trail.read()
        except StorageUnavailable:
            # A later reading gives what this one could not.
            await asyncio.sleep(_PAUSE_SECONDS)
            return
        # From here to the end without a pause: whoever sees the new moment sees the changes before it.
        digests = [digest for change in reading.changes for digest in change.digests]
        for known in self._known:
            known.drop(digests)
            known.followed(since)
        self.log.add(reading)
        self._since = since
        self._tell(reading.changes)

    def _tell(self, changes: Sequence[Change]) -> None:
        self._begun.set()
        if not changes:
            return
        for listener in list(self._listeners):
            listener(changes)
        news, self._news = self._news, asyncio.Event()
        news.set()
