"""
Renewals and acknowledgements of many sessions, written together: one transaction for all that come within a moment.

Without that, each of thousands of sessions would take a transaction for every change, and six a minute besides. A
transaction collects for a share of the time over which a fleet reports, so the number of them does not grow with it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar
from uuid import UUID

from keywright.service.faults import Overloaded
from keywright.service.verifier_sessions import Acknowledged, Session, SessionStore

MOST_TOGETHER = 2000
"""The most rows of one transaction."""

LONGEST_QUEUE = 50 * MOST_TOGETHER
"""The most rows that wait."""

_Item = TypeVar("_Item")


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
