"""
What a process does for all of its feeds together: it wakes them for changes, and writes for their sessions.

A change wakes all feeds, some at a time, so that thousands of them do not keep other requests waiting. Renewals and
acknowledgements that come within a moment share a transaction. Otherwise each of thousands of sessions would take one
for every change, and six a minute besides. A transaction collects for a share of the time over which the sessions
report, so the number of them does not grow with the fleet.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar
from uuid import UUID

from keywright.service.change_follower import ChangeFollower
from keywright.service.faults import Overloaded
from keywright.service.verifier_sessions import Acknowledged, Session, SessionStore

WOKEN_AT_ONCE = 50
"""The feeds that a change wakes before other work of the process has its turn; a feed takes some 50 µs."""

ACKNOWLEDGEMENTS_A_SECOND = 1000
"""The rate at which all readers of a process acknowledge one change; each takes some 150 µs of the process."""

TRANSACTIONS = 8
"""The number of transactions in which they are stored, about."""

SHORTEST_SPREAD_SECONDS = 0.05
LONGEST_SPREAD_SECONDS = 5.0

MOST_TOGETHER = 2000
"""The most rows of one transaction."""

LONGEST_QUEUE = 50 * MOST_TOGETHER
"""The most rows that wait."""

_Item = TypeVar("_Item")


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


class SessionWrites:
    """
    Writes for the sessions of one process's feeds.

    A call returns once its rows are committed, and raises what the store raises.

    Args:
        store: Stores sessions.
        collect: Gives the seconds that a write waits for others.
    """

    def __init__(self, store: SessionStore, collect: Callable[[], float]) -> None:
        self._renewals = _Together[Session](store.renew_sessions, collect)
        self._acknowledged = _Together[Acknowledged](store.confirm_together, collect)

    async def renew(self, session: Session) -> None:
        """
        Store a session, or renew it; see `SessionStore.renew_sessions`.

        Raises:
            StorageUnavailable: It may be stored or not.
            Overloaded: Too many wait; it is not stored.
        """
        await self._renewals.add(session, 1)

    async def acknowledge(self, session_id: UUID, seqs: Sequence[int]) -> None:
        """
        Store that a session acknowledged these changes; see `SessionStore.confirm_together`.

        Raises:
            StorageUnavailable: Some may be stored and others not.
            Overloaded: Too many wait; as above.
        """
        for start in range(0, len(seqs), MOST_TOGETHER):
            some = tuple(seqs[start : start + MOST_TOGETHER])
            await self._acknowledged.add(Acknowledged(session_id, some), len(some))


class _Batch(Generic[_Item]):
    """Items that are written together, and the outcome for all of them."""

    def __init__(self) -> None:
        self.items: list[_Item] = []
        self.rows = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Read here: every caller may have gone, and asyncio logs an exception that nobody has retrieved.
        self.done.add_done_callback(lambda done: done.cancelled() or done.exception())


class _Together(Generic[_Item]):
    """Collects items in batches, and writes one batch at a time."""

    def __init__(self, write: Callable[[list[_Item]], Awaitable[None]], collect: Callable[[], float]) -> None:
        self._write = write
        self._collect = collect
        self._waiting: list[_Batch[_Item]] = []
        self._writer: asyncio.Task[None] | None = None

    async def add(self, item: _Item, rows: int) -> None:
        """Add an item of so many rows, and wait until it is written."""
        if sum(batch.rows for batch in self._waiting) + rows > LONGEST_QUEUE:
            raise Overloaded("too many sessions report at once")
        if not self._waiting or self._waiting[-1].rows + rows > MOST_TOGETHER:
            self._waiting.append(_Batch())
        batch = self._waiting[-1]
        batch.items.append(item)
        batch.rows += rows
        if self._writer is None:
            self._writer = asyncio.get_running_loop().create_task(self._write_all(), name="writing for sessions")
        # Shielded: a caller that goes away takes nothing from the others.
        await asyncio.shield(batch.done)

    async def _write_all(self) -> None:
        batch: _Batch[_Item] | None = None
        try:
            while self._waiting:
                await asyncio.sleep(self._collect())
                batch = self._waiting.pop(0)
                await self._write_batch(batch)
        finally:
            self._writer = None
            # Something is left only where this task was cancelled, at the end of the process.
            for left in [*self._waiting, *([] if batch is None else [batch])]:
                left.done.cancel()
            self._waiting.clear()

    async def _write_batch(self, batch: _Batch[_Item]) -> None:
        try:
            await self._write(batch.items)
        except Exception as error:  # noqa: BLE001 - whatever it is, each caller gets it
            batch.done.set_exception(error)
        else:
            batch.done.set_result(None)


def _finish(woken: "asyncio.Future[None]") -> None:
    if not woken.done():
        woken.set_result(None)
