"""
The feeds of one process: how they wait for changes, and over which time their readers spread acknowledgements.

A change wakes all feeds, some at a time, so that thousands of them do not keep other requests waiting.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from keywright.service.change_follower import ChangeFollower

WOKEN_AT_ONCE = 50
"""The feeds that a change wakes before other work of the process has its turn; a feed takes some 50 µs."""

ACKNOWLEDGEMENTS_A_SECOND = 1000
"""The rate at which all readers of a process acknowledge one change; each takes some 150 µs of the process."""

TRANSACTIONS = 8
"""The number of transactions in which they are stored, about."""

SHORTEST_SPREAD_SECONDS = 0.05
LONGEST_SPREAD_SECONDS = 5.0


class Fanout:
    """
    Wakes the feeds of one process.

    Args:
        follower: Reads the changes.
    """

    def __init__(self, follower: ChangeFollower) -> None:
        self._follower = follower
        self._feeds = 0
        # A dict for its order: whoever waits for longest is woken first.
        self._waiting: dict[asyncio.Future[None], None] = {}
        follower.listen(self._wake)

    @property
    def spread(self) -> float:
        """The seconds over which readers acknowledge a change: the more there are, the longer."""
        seconds = self._feeds / ACKNOWLEDGEMENTS_A_SECOND
        return min(max(seconds, SHORTEST_SPREAD_SECONDS), LONGEST_SPREAD_SECONDS)

    @property
    def collect(self) -> float:
        """The seconds for which acknowledgements are collected for one transaction."""
        return self.spread / TRANSACTIONS

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count a feed as open for the duration of the block."""
        self._feeds += 1
        try:
            yield
        finally:
            self._feeds -= 1

    async def news(self, position: int, seconds: float) -> None:
        """Return when the log of the changes has one at *position*, and after *seconds* at the latest."""
        if self._follower.log.end > position:
            return
        loop = asyncio.get_running_loop()
        woken = loop.create_future()
        # A timer and no `asyncio.timeout`, which cancels: that takes five times as long, for each feed and beat.
        timer = loop.call_later(seconds, _finish, woken)
        self._waiting[woken] = None
        try:
            await woken
        finally:
            timer.cancel()
            self._waiting.pop(woken, None)

    def _wake(self) -> None:
        waiting, self._waiting = list(self._waiting), {}
        self._wake_some(waiting)

    def _wake_some(self, waiting: "list[asyncio.Future[None]]") -> None:
        """Wake the first of them, and the rest once other work had its turn."""
        for woken in waiting[:WOKEN_AT_ONCE]:
            _finish(woken)
        if len(waiting) > WOKEN_AT_ONCE:
            asyncio.get_running_loop().call_soon(self._wake_some, waiting[WOKEN_AT_ONCE:])


def _finish(woken: "asyncio.Future[None]") -> None:
    if not woken.done():
        woken.set_result(None)
